/* SPDX-License-Identifier: MIT */
#include <malloc.h>

#include <git2.h>
#include <git2/sys/alloc.h>

#include "git/allocator.h"

/* One thread: libgit2 makes none for a fetch or a checkout. */
static struct {
        uint64_t block_max, total_max, total, refused;
        bool refused_total;
} memory = { .block_max = UINT64_MAX, .total_max = UINT64_MAX };

static bool may_have(size_t size) {
        bool total = size > memory.total_max || memory.total > memory.total_max - size;

        if (size <= memory.block_max && !total)
                return true;
        if (memory.refused == 0) {
                memory.refused = size;
                memory.refused_total = size <= memory.block_max;
        }
        /* libgit2 reports "out of memory"; errno is for callers that check it. */
        errno = ENOMEM;
        return false;
}

static void *counted(void *p) {
        memory.total += malloc_usable_size(p);
        return p;
}

static void *bounded_malloc(size_t n, const char *file, int line) {
        return may_have(n) ? counted(malloc(n > 0 ? n : 1)) : NULL;
}

static void *bounded_realloc(void *p, size_t n, const char *file, int line) {
        size_t before = malloc_usable_size(p);
        void *q;

        if (!may_have(n))
                return NULL;
        q = realloc(p, n > 0 ? n : 1);
        if (q)
                memory.total = memory.total - before + malloc_usable_size(q);
        return q;
}

static void bounded_free(void *p) {
        memory.total -= malloc_usable_size(p);
        free(p);
}

#if LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR < 8
/* Until 1.7 each way to allocate is a function of its own. */
static void *bounded_calloc(size_t n, size_t size, const char *file, int line) {
        size_t all;

        if (__builtin_mul_overflow(n, size, &all) || !may_have(all))
                return NULL;
        return counted(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

static void *bounded_realloc_array(void *p, size_t n, size_t size, const char *file, int line) {
        size_t all;

        return __builtin_mul_overflow(n, size, &all) ? NULL : bounded_realloc(p, all, file, line);
}

static void *bounded_malloc_array(size_t n, size_t size, const char *file, int line) {
        return bounded_realloc_array(NULL, n, size, file, line);
}

static char *bounded_substrdup(const char *s, size_t n, const char *file, int line) {
        char *copy = n < SIZE_MAX ? bounded_malloc(n + 1, file, line) : NULL;

        if (copy) {
                memcpy(copy, s, n);
                copy[n] = 0;
        }
        return copy;
}

static char *bounded_strndup(const char *s, size_t n, const char *file, int line) {
        return bounded_substrdup(s, strnlen(s, n), file, line);
}

static char *bounded_strdup(const char *s, const char *file, int line) {
        return bounded_substrdup(s, strlen(s), file, line);
}
#endif

int allocator_install(uint64_t block_max) {
        static git_allocator allocator = {
                .gmalloc = bounded_malloc,
                .grealloc = bounded_realloc,
                .gfree = bounded_free,
#if LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR < 8
                .gcalloc = bounded_calloc,
                .gstrdup = bounded_strdup,
                .gstrndup = bounded_strndup,
                .gsubstrdup = bounded_substrdup,
                .greallocarray = bounded_realloc_array,
                .gmallocarray = bounded_malloc_array,
#endif
        };

        memory.block_max = block_max;
        return git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &allocator);
}

void allocator_set_total(uint64_t total_max) {
        memory.total_max = total_max;
}

uint64_t allocator_refused(bool *ret_total) {
        *ret_total = memory.refused_total;
        return memory.refused;
}
