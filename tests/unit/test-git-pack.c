/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "git/pack.h"

/* The sizes that stand in a pack, by files that are made here: what libgit2 would write, what only a pack of gigabytes has, and
 * what nobody writes. */

#define BLOB 3U
#define OFS_DELTA 6U
#define REF_DELTA 7U
#define LARGE UINT32_C(0x80000000)
#define MAX_SIZE UINT64_C(1000)

typedef struct Fixture {
        char path[64];
        int fd, packs;
        Buffer pack, index;
} Fixture;

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);
        int objects;

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/nf-pack-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        objects = mkdir_open_at(f->fd, "objects", 0700);
        f->packs = mkdir_open_at(objects, "pack", 0700);
        assert_true(f->packs >= 0);
        safe_close(objects);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        buffer_done(&f->pack);
        buffer_done(&f->index);
        safe_close(f->fd);
        safe_close(f->packs);
        (void) remove_tree_at(AT_FDCWD, f->path);
        free(f);
        return 0;
}

static void put(int dirfd, const char *name, const Buffer *b) {
        _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, b->data, b->size), 0);
}

/* What stands in front of an object. Returns where. */
static uint32_t add_object(Fixture *f, unsigned type, uint64_t size) {
        uint32_t at = (uint32_t) f->pack.size;
        uint8_t byte = (uint8_t) (type << 4 | (size & 15));

        for (size >>= 4; size > 0; size >>= 7) {
                byte |= 128;
                (void) buffer_append(&f->pack, &byte, 1);
                byte = size & 127;
        }
        assert_int_equal(buffer_append(&f->pack, &byte, 1), 0);
        return at;
}

static void add_u32(Buffer *b, uint32_t v) {
        v = htobe32(v);
        assert_int_equal(buffer_append(b, &v, sizeof(v)), 0);
}

/* An index of n objects at these offsets, and of the large ones behind them. */
static void
make_index(Fixture *f, const uint32_t *offsets, uint32_t n, const uint64_t *large, size_t n_large) {
        buffer_done(&f->index);
        f->index = (Buffer){};
        add_u32(&f->index, UINT32_C(0xff744f63));
        add_u32(&f->index, 2);
        for (unsigned i = 0; i < 256; i++)
                add_u32(&f->index, n);
        for (uint32_t i = 0; i < n * 6; i++) /* ids and checksums, which nobody looks at */
                add_u32(&f->index, 0);
        for (uint32_t i = 0; i < n; i++)
                add_u32(&f->index, offsets[i]);
        for (size_t i = 0; i < n_large; i++) {
                add_u32(&f->index, (uint32_t) (large[i] >> 32));
                add_u32(&f->index, (uint32_t) large[i]);
        }
}

static int look(Fixture *f, uint64_t *ret_size) {
        char *none[] = { NULL };

        put(f->packs, "pack-a.pack", &f->pack);
        put(f->packs, "pack-a.idx", &f->index);
        return pack_check_new(f->fd, none, MAX_SIZE, ret_size);
}

static void test_an_object_at_the_bound_is_taken_and_one_of_a_byte_more_is_not(void **state) {
        Fixture *f = *state;
        uint64_t size;
        uint32_t offsets[3];

        offsets[0] = add_object(f, BLOB, 1);
        offsets[1] = add_object(f, BLOB, MAX_SIZE);
        make_index(f, offsets, 2, NULL, 0);
        assert_int_equal(look(f, &size), 0);
        offsets[2] = add_object(f, BLOB, MAX_SIZE + 1);
        make_index(f, offsets, 2, NULL, 0);
        assert_int_equal(look(f, &size), 0); /* the index has it not */
        make_index(f, offsets, 3, NULL, 0);
        assert_int_equal(look(f, &size), 1);
        assert_int_equal(size, MAX_SIZE + 1);
}

static void test_sizes_of_any_length_are_read(void **state) {
        Fixture *f = *state;

        for (unsigned bits = 10; bits <= 60; bits++) {
                uint64_t size = 0;
                uint32_t at = add_object(f, BLOB, UINT64_C(1) << bits);

                make_index(f, &at, 1, NULL, 0);
                if (bits < 60) {
                        assert_int_equal(look(f, &size), 1);
                        assert_int_equal(size, UINT64_C(1) << bits);
                } else /* longer than any file */
                        assert_int_equal(look(f, &size), -EBADMSG);
        }
}

static void test_the_size_of_a_delta_is_not_that_of_an_object(void **state) {
        Fixture *f = *state;
        uint64_t size;
        uint32_t offsets[2];

        offsets[0] = add_object(f, OFS_DELTA, MAX_SIZE + 1);
        offsets[1] = add_object(f, REF_DELTA, MAX_SIZE + 1);
        make_index(f, offsets, 2, NULL, 0);
        assert_int_equal(look(f, &size), 0);
}

static void test_an_offset_above_two_gigabytes_is_looked_up(void **state) {
        Fixture *f = *state;
        const uint32_t offsets[] = { LARGE | 0, LARGE | 1 };
        uint64_t large[2], size;

        large[0] = add_object(f, BLOB, 1);
        large[1] = add_object(f, BLOB, MAX_SIZE + 1);
        make_index(f, offsets, 2, large, 2);
        assert_int_equal(look(f, &size), 1);
        assert_int_equal(size, MAX_SIZE + 1);
        /* One entry fewer than is asked for. */
        large[1] = large[0];
        make_index(f, offsets, 2, large, 2);
        assert_int_equal(look(f, &size), 0);
        make_index(f, offsets, 2, large, 1);
        assert_int_equal(look(f, &size), -EBADMSG);
        large[1] = UINT64_C(1) << 32; /* all but its upper half is the first object's offset */
        make_index(f, offsets, 2, large, 2);
        assert_int_equal(look(f, &size), -EBADMSG);
}

static void test_a_pack_that_is_none_is_refused(void **state) {
        static const char endless[] = "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        Fixture *f = *state;
        uint64_t size;
        uint32_t at = add_object(f, BLOB, MAX_SIZE);

        /* An object behind the end; a size that the end cuts off; one that has no end. */
        make_index(f, (const uint32_t[]){ (uint32_t) f->pack.size }, 1, NULL, 0);
        assert_int_equal(look(f, &size), -EBADMSG);
        make_index(f, &at, 1, NULL, 0);
        assert_int_equal(look(f, &size), 0);
        f->pack.size--;
        assert_int_equal(look(f, &size), -EBADMSG);
        f->pack.size = 0;
        (void) buffer_append(&f->pack, endless, sizeof(endless) - 1);
        assert_int_equal(look(f, &size), -EBADMSG);
        f->pack.size = 0;
        assert_int_equal(look(f, &size), -EBADMSG);
}

static void test_an_index_that_is_none_is_refused(void **state) {
        Fixture *f = *state;
        uint64_t size;
        uint32_t at = add_object(f, BLOB, MAX_SIZE);
        size_t whole;

        make_index(f, &at, 1, NULL, 0);
        whole = f->index.size;
        for (size_t n = 0; n <= whole; n++) {
                f->index.size = n;
                assert_int_equal(look(f, &size), n < whole ? -EBADMSG : 0);
        }
        f->index.data[0] = 0;
        assert_int_equal(look(f, &size), -EBADMSG);
        assert_int_equal(unlinkat(f->packs, "pack-a.idx", 0), 0);
        assert_int_equal(symlinkat("pack-b.idx", f->packs, "pack-a.idx"), 0);
        put(f->packs, "pack-b.idx", &f->index);
        assert_int_equal(pack_check_new(f->fd, (char *[]){ NULL }, MAX_SIZE, &size), -ELOOP);
}

static void test_only_new_packs_are_looked_at_and_removed(void **state) {
        Fixture *f = *state;
        char *known[] = { (char *) "pack-a.pack", NULL };
        _cleanup_strv_free_ char **names = NULL;
        uint32_t at = add_object(f, BLOB, MAX_SIZE + 1);
        uint64_t size;

        make_index(f, &at, 1, NULL, 0);
        assert_int_equal(look(f, &size), 1);
        assert_int_equal(pack_check_new(f->fd, known, MAX_SIZE, &size), 0);
        put(f->packs, "pack-b.pack", &f->pack);
        put(f->packs, "pack-b.idx", &f->index);
        put(f->packs, "tmp_pack_c", &f->pack);
        assert_int_equal(pack_check_new(f->fd, known, MAX_SIZE, &size), 1);
        pack_remove_new(f->fd, known);
        assert_int_equal(pack_list(f->fd, &names), 0);
        assert_string_equal(names[0], "pack-a.pack");
        assert_null(names[1]);
        assert_int_equal(faccessat(f->packs, "pack-a.idx", F_OK, 0), 0);
        assert_int_equal(faccessat(f->packs, "pack-b.idx", F_OK, 0), -1);
        assert_int_equal(faccessat(f->packs, "tmp_pack_c", F_OK, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(an_object_at_the_bound_is_taken_and_one_of_a_byte_more_is_not),
                TEST(sizes_of_any_length_are_read),
                TEST(the_size_of_a_delta_is_not_that_of_an_object),
                TEST(an_offset_above_two_gigabytes_is_looked_up),
                TEST(a_pack_that_is_none_is_refused),
                TEST(an_index_that_is_none_is_refused),
                TEST(only_new_packs_are_looked_at_and_removed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
