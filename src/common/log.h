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

/* Fields that every line of this scope gets: NORTHFLARE_CONVERSATION_ID= and the like. Names and values are
 * borrowed until the pop; a NULL value is left out. At most LOG_CONTEXT_MAX at a time, more are dropped. */
#define LOG_CONTEXT_MAX 16
typedef struct LogContext {
        unsigned pushed;
} LogContext;
void log_context_push(LogContext *c, const char *field, const char *value);
void log_context_done(LogContext *c);
#define LOG_CONTEXT(c) _cleanup_(log_context_done) LogContext c = {}

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

#define log_full(level, error, id, ...)                                                               \
        ({                                                                                            \
                int _l = (level), _e = (error);                                                       \
                _l <= log_get_max_level() ?                                                           \
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
