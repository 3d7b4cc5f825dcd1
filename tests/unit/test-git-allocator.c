/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <git2.h>
#include <git2/sys/alloc.h>

#include "git/allocator.h"

/* The allocator that northflare-git gives to libgit2, without libgit2: each way to a block at its bound and one byte past it. */

#define BLOCK_MAX ((size_t) 1000)
/* One of them and two do not fit beside the smallest overhead of malloc(). */
#define TOTAL_MAX ((uint64_t) 2500)

static git_allocator *allocator;

/* In libgit2's place: takes what it would be given. */
int git_libgit2_opts(int option, ...) {
        va_list ap;

        assert_int_equal(option, GIT_OPT_SET_ALLOCATOR);
        va_start(ap, option);
        allocator = va_arg(ap, git_allocator *);
        va_end(ap);
        return 0;
}

static void *get(size_t size) {
        return allocator->gmalloc(size, __FILE__, __LINE__);
}

static void *resize(void *p, size_t size) {
        return allocator->grealloc(p, size, __FILE__, __LINE__);
}

static void put(void *p) {
        allocator->gfree(p);
}

static void install(void **state) {
        bool total;

        assert_int_equal(allocator_install(BLOCK_MAX), 0);
        assert_non_null(allocator);
        assert_int_equal(allocator_refused(&total), 0);
}

static void test_a_block_at_the_bound_is_given(void **state) {
        bool total;
        void *p = get(BLOCK_MAX);

        assert_non_null(p);
        p = resize(p, BLOCK_MAX - 1);
        assert_non_null(p);
        p = resize(p, BLOCK_MAX);
        assert_non_null(p);
        put(p);
        put(NULL);
        p = get(0);
        assert_non_null(p);
        put(p);
        assert_int_equal(allocator_refused(&total), 0);
}

static void test_all_blocks_together_have_a_bound_of_their_own(void **state) {
        void *a, *b;

        allocator_set_total(TOTAL_MAX);
        for (unsigned i = 0; i < 100; i++) { /* what is given back may be given again */
                a = get(BLOCK_MAX);
                b = get(BLOCK_MAX);
                assert_non_null(a);
                assert_non_null(b);
                errno = 0;
                assert_null(get(BLOCK_MAX));
                assert_int_equal(errno, ENOMEM);
                b = resize(b, 10);
                assert_non_null(b);
                b = resize(b, BLOCK_MAX);
                assert_non_null(b);
                put(a);
                put(b);
        }
        allocator_set_total(UINT64_MAX);
}

static void test_the_first_refusal_is_kept_with_its_reason(void **state) {
        bool total = false;

        assert_int_equal(allocator_refused(&total), BLOCK_MAX);
        assert_true(total);
        assert_null(get(BLOCK_MAX + 1));
        assert_int_equal(allocator_refused(&total), BLOCK_MAX);
}

static void test_a_block_one_byte_past_the_bound_is_refused(void **state) {
        void *p = get(1);

        errno = 0;
        assert_null(get(BLOCK_MAX + 1));
        assert_int_equal(errno, ENOMEM);
        assert_null(get(SIZE_MAX));
        assert_null(resize(NULL, BLOCK_MAX + 1));
        /* Who asked for more has what there was. */
        assert_non_null(p);
        memset(p, 'x', 1);
        assert_null(resize(p, BLOCK_MAX + 1));
        assert_int_equal(*(char *) p, 'x');
        put(p);
}

#if LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR < 8
static void test_the_other_ways_to_a_block_have_the_same_bound(void **state) {
        char text[BLOCK_MAX + 1], *s;
        unsigned char *p;

        memset(text, 'x', sizeof(text));
        p = allocator->gcalloc(BLOCK_MAX / 10, 10, __FILE__, __LINE__);
        assert_non_null(p);
        for (size_t i = 0; i < BLOCK_MAX; i++)
                assert_int_equal(p[i], 0);
        p = allocator->greallocarray(p, BLOCK_MAX / 4, 4, __FILE__, __LINE__);
        assert_non_null(p);
        put(p);
        p = allocator->gmallocarray(BLOCK_MAX, 1, __FILE__, __LINE__);
        assert_non_null(p);
        put(p);
        assert_null(allocator->gcalloc(BLOCK_MAX + 1, 1, __FILE__, __LINE__));
        assert_null(allocator->greallocarray(NULL, BLOCK_MAX / 4 + 1, 4, __FILE__, __LINE__));
        assert_null(allocator->gmallocarray(BLOCK_MAX + 1, 1, __FILE__, __LINE__));
        /* A product that goes round. */
        assert_null(allocator->gcalloc(SIZE_MAX / 2 + 1, 2, __FILE__, __LINE__));
        assert_null(allocator->greallocarray(NULL, SIZE_MAX / 2 + 1, 2, __FILE__, __LINE__));
        assert_null(allocator->gmallocarray(SIZE_MAX / 2 + 1, 2, __FILE__, __LINE__));
        /* The end of a text counts. */
        assert_null(allocator->gsubstrdup(text, BLOCK_MAX, __FILE__, __LINE__));
        assert_null(allocator->gstrndup(text, BLOCK_MAX, __FILE__, __LINE__));
        assert_null(allocator->gsubstrdup(text, SIZE_MAX, __FILE__, __LINE__));
        s = allocator->gsubstrdup(text, BLOCK_MAX - 1, __FILE__, __LINE__);
        assert_non_null(s);
        assert_int_equal(strlen(s), BLOCK_MAX - 1);
        put(s);
        text[BLOCK_MAX] = 0;
        assert_null(allocator->gstrdup(text, __FILE__, __LINE__));
        text[BLOCK_MAX - 1] = 0;
        s = allocator->gstrdup(text, __FILE__, __LINE__);
        assert_string_equal(s, text);
        put(s);
        s = allocator->gstrndup(text, 3, __FILE__, __LINE__);
        assert_string_equal(s, "xxx");
        put(s);
}
#endif

/* In this order: there is one allocator to a process, and its first refusal stays. */
int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(install),
                cmocka_unit_test(test_a_block_at_the_bound_is_given),
                cmocka_unit_test(test_all_blocks_together_have_a_bound_of_their_own),
                cmocka_unit_test(test_the_first_refusal_is_kept_with_its_reason),
                cmocka_unit_test(test_a_block_one_byte_past_the_bound_is_refused),
#if LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR < 8
                cmocka_unit_test(test_the_other_ways_to_a_block_have_the_same_bound),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
