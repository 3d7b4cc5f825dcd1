/* SPDX-License-Identifier: MIT */
#pragma once

#include <syslog.h>

#include "common/util.h"

/* To journald with fields where we run under systemd (or stderr is the journal), to the terminal in colour with
 * time and level otherwise. Only program code logs above debug: a library function returns its error and the
 * caller that ends the error's journey logs it, once. */

typedef enum LogTarget {
        LOG_TARGET_AUTO,
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
} LogTarget;

void log_open(const char *identifier, LogTarget target);
void log_set_max_level(int level);
int log_get_max_level(void);
LogTarget log_get_target(void);
/* Lines of that level and more urgent ones, and none where it is -1, go to the journal by the stream that stderr is, without
 * fields: for what a program says right before it exits. journald looks up the unit of a sender by its pid, and on a busy
 * machine the pid is gone by then; a stream has its unit. A line with an id of its own needs fields and goes as ever. */
void log_set_stream(int level);
int log_level_from_string(const char *s); /* "debug" … "emerg", or -EINVAL */
const char *log_level_to_string(int level);

/* Fields that every line gets until the end of the block: NORTHFLARE_REASON= and the like. Contexts nest: the innermost value
 * of a field counts, and the outer one is back when the block is left. At most so many fields in one context, and on one line;
 * more are dropped. */
#define LOG_CONTEXT_MAX 12
#define LOG_LINE_FIELDS_MAX 24
/* Of copied values, with a zero byte each; one that does not fit is dropped. */
#define LOG_COPIES_MAX 384
typedef struct LogField {
        const char *name, *value;
} LogField;
typedef struct LogContext {
        struct LogContext *outer;
        unsigned n, copied; /* n: 0 where it is not on the stack of contexts */
        LogField fields[LOG_CONTEXT_MAX];
        char copies[LOG_COPIES_MAX];
} LogContext;
/* The name is static. The value is borrowed until the end of the block; NULL is left out. */
void log_context_push(LogContext *c, const char *field, const char *value);
/* The same with a copy of the value, for one that may go before the block ends. */
void log_context_push_copy(LogContext *c, const char *field, const char *value);
void log_context_done(LogContext *c);
#define LOG_CONTEXT(c) _cleanup_(log_context_done) LogContext c = {}
/* The value that a line written now gets for that field, borrowed; NULL: none. */
const char *log_context_get(const char *field);

/* The conversation that lines are about, in the fields that northflare-journal-fields(7) has of it. All of it is copied; what
 * is NULL or empty is left out, and not taken from an outer context that is about another one. Nothing else pushes these fields. */
typedef struct LogSubject {
        const char *conversation, *task, *workspace, *unit;
} LogSubject;
void log_context_push_subject(LogContext *c, const LogSubject *s);
/* Until the end of the block all lines are about that one: LOG_ABOUT(.conversation = id). Every function that the event loop, or a
 * caller who knows no conversation, calls for a conversation begins with it; tools/lib/log-context holds the sources to that. */
#define LOG_ABOUT(...) LOG_ABOUT_COUNTED(__COUNTER__, __VA_ARGS__)
#define LOG_ABOUT_COUNTED(n, ...) LOG_ABOUT_NAMED(n, __VA_ARGS__)
#define LOG_ABOUT_NAMED(n, ...)  \
        LOG_CONTEXT(_about_##n); \
        log_context_push_subject(&_about_##n, &(const LogSubject){ __VA_ARGS__ })

/* For tests: is called for each line, before it is written. NULL: nothing is. */
typedef void (*LogObserver)(int level, const char *file, int line, const char *message);
void log_set_observer(LogObserver observer);

/* error: 0, or an errno (either sign) that %m in the format then names. message_id: 32 hex digits of a
 * MESSAGE_ID (see log-ids.h), or NULL. Returns -|error|, so that `return log_error_errno(r, …)` reads well. */
int log_internal(
        int level,
        int error,
        const char *message_id,
        const char *file,
        int line,
        const char *func,
        const char *format,
        ...) _printf_(7, 8);

#define log_full(level, error, id, ...)                                                       \
        ({                                                                                    \
                int _l = (level), _e = (error);                                               \
                _l <= log_get_max_level() ?                                                   \
                        log_internal(_l, _e, id, __FILE__, __LINE__, __func__, __VA_ARGS__) : \
                        -abs(_e);                                                             \
        })

#define log_debug(...) log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, 0, NULL, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, 0, NULL, __VA_ARGS__)
#define log_error(...) log_full(LOG_ERR, 0, NULL, __VA_ARGS__)
#define log_debug_errno(e, ...) log_full(LOG_DEBUG, e, NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, e, NULL, __VA_ARGS__)
#define log_error_errno(e, ...) log_full(LOG_ERR, e, NULL, __VA_ARGS__)
#define log_oom() log_full(LOG_ERR, ENOMEM, NULL, "Out of memory.")
