/* SPDX-License-Identifier: MIT */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include <systemd/sd-journal.h>

#include "common/log.h"

#define LINE_MAX_BYTES 2048

static struct {
        const char *identifier;
        LogTarget target;
        int max_level;
        int stream_level;
        bool colour;
        LogContext *context; /* the innermost */
        LogObserver observer;
} state = {
        .identifier = "northflare",
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_INFO,
        .stream_level = -1,
};

static const char *const level_names[] = {
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

/* $JOURNAL_STREAM names the journal's socket by device and inode; it may be inherited by a program whose
 * stderr has been pointed elsewhere since (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
                st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *identifier, LogTarget target) {
        state.identifier = identifier;
        if (target == LOG_TARGET_AUTO)
                target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;
        state.target = target;
        state.colour = isatty(STDERR_FILENO) && isempty(getenv("NO_COLOR")) &&
                !streq_ptr(getenv("TERM"), "dumb");
}

void log_set_max_level(int level) {
        state.max_level = level;
}

int log_get_max_level(void) {
        return state.max_level;
}

LogTarget log_get_target(void) {
        return state.target;
}

int log_level_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
                if (streq(level_names[i], s))
                        return (int) i;
        return streq(s, "error") ? LOG_ERR : -EINVAL;
}

const char *log_level_to_string(int level) {
        return level >= 0 && (size_t) level < ELEMENTSOF(level_names) ? level_names[level] : NULL;
}

void log_context_push(LogContext *c, const char *field, const char *value) {
        if (!value || c->n >= LOG_CONTEXT_MAX)
                return;
        if (c->n == 0) {
                c->outer = state.context;
                state.context = c;
        }
        c->fields[c->n++] = (LogField){ field, value };
}

void log_context_push_copy(LogContext *c, const char *field, const char *value) {
        size_t size = isempty(value) ? 0 : strlen(value) + 1;

        if (size == 0 || size > sizeof(c->copies) - c->copied)
                return;
        log_context_push(c, field, memcpy(c->copies + c->copied, value, size));
        c->copied += (unsigned) size;
}

void log_context_push_subject(LogContext *c, const LogSubject *s) {
        const char *outer = log_context_get("NORTHFLARE_CONVERSATION_ID");
        bool other = outer && !streq_ptr(outer, s->conversation);
        const struct {
                const char *field, *value;
        } list[] = {
                { "NORTHFLARE_CONVERSATION_ID", s->conversation },
                { "NORTHFLARE_TASK_ID", s->task },
                { "NORTHFLARE_WORKSPACE_ID", s->workspace },
                { "NORTHFLARE_UNIT", s->unit },
        };

        for (size_t i = 0; i < ELEMENTSOF(list); i++)
                if (!isempty(list[i].value))
                        log_context_push_copy(c, list[i].field, list[i].value);
                else if (other)
                        /* That of the other one is not its. */
                        log_context_push(c, list[i].field, "");
}

void log_context_done(LogContext *c) {
        if (c->n == 0)
                return;
        assert(state.context == c);
        state.context = c->outer;
        c->n = 0;
}

static const LogField *find_field(const char *name) {
        for (const LogContext *c = state.context; c; c = c->outer)
                for (unsigned i = c->n; i > 0; i--)
                        if (streq(c->fields[i - 1].name, name))
                                return &c->fields[i - 1];
        return NULL;
}

const char *log_context_get(const char *field) {
        const LogField *f = find_field(field);

        return f && !isempty(f->value) ? f->value : NULL;
}

void log_set_observer(LogObserver observer) {
        state.observer = observer;
}

static void to_stderr(int level, const char *message) {
        static const char *const colours[] = {
                "\033[31m", "\033[31m", "\033[31m", "\033[31m", "\033[33m", "\033[1m", "", "\033[2m",
        };
        char stamp[32] = "";
        time_t t = time(NULL);
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void) strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
        (void) fprintf(
                stderr,
                "%s%s %-7s %s%s\n",
                state.colour ? colours[level] : "",
                stamp,
                level_names[level],
                message,
                state.colour ? "\033[0m" : "");
}

void log_set_stream(int level) {
        state.stream_level = level;
}

/* An entry of the journal. What fits lies in `text`. */
typedef struct Entry {
        struct iovec fields[LOG_LINE_FIELDS_MAX + 8];
        char *allocated[LOG_LINE_FIELDS_MAX + 8];
        int n;
        size_t used;
        char text[4096];
} Entry;

static void entry_done(Entry *e) {
        for (int i = 0; i < e->n; i++)
                free(e->allocated[i]);
}

static void entry_add(Entry *e, const char *name, const char *value) {
        size_t head = strlen(name), size = head + 1 + strlen(value);
        char *at = e->text + e->used;

        if ((size_t) e->n >= ELEMENTSOF(e->fields))
                return;
        e->allocated[e->n] = NULL;
        if (size > sizeof(e->text) - e->used) {
                at = e->allocated[e->n] = malloc(size);
                if (!at)
                        return;
        } else
                e->used += size;
        memcpy(at, name, head);
        at[head] = '=';
        memcpy(at + head + 1, value, size - head - 1);
        e->fields[e->n++] = (struct iovec){ at, size };
}

static void entry_add_number(Entry *e, const char *name, int value) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%d", value);
        entry_add(e, name, text);
}

static void to_journal(
        int level,
        int error,
        const char *message_id,
        const char *file,
        int line,
        const char *func,
        const char *message) {
        _cleanup_(entry_done) Entry e;

        e.n = 0;
        e.used = 0;
        entry_add(&e, "MESSAGE", message);
        entry_add_number(&e, "PRIORITY", level);
        entry_add(&e, "SYSLOG_IDENTIFIER", state.identifier);
        entry_add(&e, "CODE_FILE", file);
        entry_add_number(&e, "CODE_LINE", line);
        entry_add(&e, "CODE_FUNC", func);
        if (error != 0)
                entry_add_number(&e, "ERRNO", abs(error));
        if (message_id)
                entry_add(&e, "MESSAGE_ID", message_id);
        for (const LogContext *c = state.context; c; c = c->outer)
                for (const LogField *f = c->fields; f < c->fields + c->n; f++)
                        if (!isempty(f->value) && find_field(f->name) == f)
                                entry_add(&e, f->name, f->value);
        if (sd_journal_sendv(e.fields, e.n) < 0)
                to_stderr(level, message);
}

int log_internal(
        int level,
        int error,
        const char *message_id,
        const char *file,
        int line,
        const char *func,
        const char *format,
        ...) {
        char message[LINE_MAX_BYTES];
        int saved = errno;
        va_list ap;

        errno = abs(error);
        va_start(ap, format);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) vsnprintf(message, sizeof(message), format, ap);
#pragma GCC diagnostic pop
        va_end(ap);

        if (state.observer)
                state.observer(level, file, line, message);
        if (state.target == LOG_TARGET_JOURNAL && level <= state.stream_level && !message_id)
                (void) fprintf(stderr, "<%d>%s\n", level, message);
        else if (state.target == LOG_TARGET_JOURNAL)
                to_journal(level, error, message_id, file, line, func, message);
        else
                to_stderr(level, message);
        errno = saved;
        return -abs(error);
}
