/* SPDX-License-Identifier: MIT */
#pragma once

/* Small things that every file uses: cleanup attributes, ownership transfer, allocation, time. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _warn_unused_result_ __attribute__((warn_unused_result))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define STR_IN_SET_MAX 16

/* Hands a pointer or descriptor over and forgets it here, so that the cleanup attribute does nothing. */
#define TAKE_PTR(p)                 \
        ({                          \
                typeof(p) _p = (p); \
                (p) = NULL;         \
                _p;                 \
        })
#define TAKE_FD(fd)             \
        ({                      \
                int _fd = (fd); \
                (fd) = -EBADF;  \
                _fd;            \
        })

#define DEFINE_TRIVIAL_CLEANUP_FUNC(type, func)        \
        static inline _unused_ void func##p(type *p) { \
                if (*p)                                \
                        func(*p);                      \
        }

#define new0(type, n) ((type *) calloc((n), sizeof(type)))
#define streq(a, b) (strcmp((a), (b)) == 0)

static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline bool isempty(const char *s) {
        return !s || !*s;
}

static inline const char *strempty(const char *s) {
        return s ? s : "";
}

/* The text behind prefix, or NULL where s does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t l = strlen(prefix);
        return strncmp(s, prefix, l) == 0 ? s + l : NULL;
}

bool endswith(const char *s, const char *suffix);

static inline void freep(void *p) {
        free(*(void **) p);
}

/* Closes fd if it is one; keeps errno; returns -EBADF to assign back. */
int safe_close(int fd);
static inline void closep(int *fd) {
        safe_close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Replaces *p by a copy of s (NULL allowed). Returns 0 or -ENOMEM; *p is untouched on failure. */
int free_and_strdup(char **p, const char *s);

/* printf into a new string; NULL where memory is out. */
char *xasprintf(const char *format, ...) _printf_(1, 2);

/* A NULL-terminated vector of strings: free it whole, copy it, append a copy (or take s over) to it. */
char **strv_free(char **v);
static inline void strv_freep(char ***v) {
        strv_free(*v);
}
#define _cleanup_strv_free_ _cleanup_(strv_freep)
size_t strv_length(char *const *v);
char **strv_copy(char *const *v);
int strv_extend(char ***v, const char *s);
int strv_consume(char ***v, char *s);
bool strv_contains(char *const *v, const char *s);
#define STRV_FOREACH(s, v) for (char *const *s = (char *const *) (v); s && *s; s++)

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

/* Microseconds of the given clock (CLOCK_REALTIME, CLOCK_MONOTONIC, …). */
uint64_t now_usec(clockid_t clock);

/* "2026-11-22T15:04:05.123Z" of a CLOCK_REALTIME value. */
#define TIMESTAMP_MAX 32
const char *format_timestamp(uint64_t realtime_usec, char buf[static TIMESTAMP_MAX]);

/* Whole decimal number without sign, blanks or prefix. Returns 0, -EINVAL or -ERANGE. */
int safe_atou64(const char *s, uint64_t *ret);

/* A number from the kernel's random source. */
uint64_t random_u64(void);
