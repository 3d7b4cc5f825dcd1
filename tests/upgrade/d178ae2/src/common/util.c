/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "common/util.h"

bool endswith(const char *s, const char *suffix) {
        size_t l = strlen(s), k = strlen(suffix);
        return l >= k && streq(s + l - k, suffix);
}

int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

int free_and_strdup(char **p, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

char *xasprintf(const char *format, ...) {
        va_list ap;
        char *s = NULL;

        va_start(ap, format);
        int r = vasprintf(&s, format, ap);
        va_end(ap);
        return r < 0 ? NULL : s;
}

char **strv_free(char **v) {
        for (char **s = v; s && *s; s++)
                free(*s);
        free(v);
        return NULL;
}

size_t strv_length(char *const *v) {
        size_t n = 0;

        STRV_FOREACH(s, v)
                n++;
        return n;
}

int strv_consume(char ***v, char *s) {
        size_t n = strv_length(*v);
        char **t;

        if (!s)
                return -ENOMEM;
        t = reallocarray(*v, n + 2, sizeof(char *));
        if (!t) {
                free(s);
                return -ENOMEM;
        }
        t[n] = s;
        t[n + 1] = NULL;
        *v = t;
        return 0;
}

int strv_extend(char ***v, const char *s) {
        return strv_consume(v, strdup(s));
}

char **strv_copy(char *const *v) {
        char **copy = new0(char *, strv_length(v) + 1);
        size_t i = 0;

        if (!copy)
                return NULL;
        STRV_FOREACH(s, v) {
                copy[i] = strdup(*s);
                if (!copy[i++])
                        return strv_free(copy);
        }
        return copy;
}

bool strv_contains(char *const *v, const char *s) {
        STRV_FOREACH(t, v)
                if (streq(*t, s))
                        return true;
        return false;
}

uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

const char *format_timestamp(uint64_t realtime_usec, char buf[static TIMESTAMP_MAX]) {
        time_t t = (time_t) (realtime_usec / USEC_PER_SEC);
        unsigned ms = (unsigned) (realtime_usec % USEC_PER_SEC / USEC_PER_MSEC);
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(buf, TIMESTAMP_MAX - 6, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
                buf[0] = 0;
                return buf;
        }
        size_t n = strlen(buf);
        (void) snprintf(buf + n, TIMESTAMP_MAX - n, ".%03uZ", ms);
        return buf;
}

int safe_atou64(const char *s, uint64_t *ret) {
        uint64_t v = 0;

        if (isempty(s))
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
                    __builtin_add_overflow(v, (uint64_t) (*s - '0'), &v))
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

uint64_t random_u64(void) {
        uint64_t v = 0;

        while (getrandom(&v, sizeof(v), 0) != sizeof(v))
                ;
        return v;
}
