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
        struct {
                const char *field, *value;
        } context[LOG_CONTEXT_MAX];
        unsigned n_context;
} state = {
        .identifier = "northflare",
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_INFO,
        .stream_level = -1,
};

static const char *const level_names[] = { "emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug" };

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
        if (!value || state.n_context >= LOG_CONTEXT_MAX)
                return;
        state.context[state.n_context].field = field;
        state.context[state.n_context++].value = value;
        c->pushed++;
}

void log_context_done(LogContext *c) {
        state.n_context -= c->pushed;
        c->pushed = 0;
}

static void to_stderr(int level, const char *message) {
        static const char *const colours[] = { "\033[31m", "\033[31m", "\033[31m", "\033[31m",
                                               "\033[33m", "\033[1m",  "",         "\033[2m" };
        char stamp[32] = "";
        time_t t = time(NULL);
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void) strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
        (void) fprintf(stderr,
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

/* What was said further out already: the journal would keep both. */
static bool is_repeated(unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (streq(state.context[i].field, state.context[n].field) &&
                    streq(state.context[i].value, state.context[n].value))
                        return true;
        return false;
}

static void
to_journal(int level,
           int error,
           const char *message_id,
           const char *file,
           int line,
           const char *func,
           const char *message) {
        struct iovec iov[LOG_CONTEXT_MAX + 8];
        char *fields[ELEMENTSOF(iov)];
        size_t n = 0;

        fields[n++] = xasprintf("MESSAGE=%s", message);
        fields[n++] = xasprintf("PRIORITY=%d", level);
        fields[n++] = xasprintf("SYSLOG_IDENTIFIER=%s", state.identifier);
        fields[n++] = xasprintf("CODE_FILE=%s", file);
        fields[n++] = xasprintf("CODE_LINE=%d", line);
        fields[n++] = xasprintf("CODE_FUNC=%s", func);
        if (error != 0)
                fields[n++] = xasprintf("ERRNO=%d", abs(error));
        if (message_id)
                fields[n++] = xasprintf("MESSAGE_ID=%s", message_id);
        for (unsigned i = 0; i < state.n_context; i++)
                fields[n++] = is_repeated(i) ?
                                NULL :
                                xasprintf("%s=%s", state.context[i].field, state.context[i].value);
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
                if (fields[i])
                        iov[k++] = (struct iovec){ fields[i], strlen(fields[i]) };
        if (sd_journal_sendv(iov, (int) k) < 0)
                to_stderr(level, message);
        for (size_t i = 0; i < n; i++)
                free(fields[i]);
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

        if (state.target == LOG_TARGET_JOURNAL && level <= state.stream_level && !message_id)
                (void) fprintf(stderr, "<%d>%s\n", level, message);
        else if (state.target == LOG_TARGET_JOURNAL)
                to_journal(level, error, message_id, file, line, func, message);
        else
                to_stderr(level, message);
        errno = saved;
        return -abs(error);
}
