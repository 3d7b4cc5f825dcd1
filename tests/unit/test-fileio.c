/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"

typedef struct Fixture {
        char path[64];
        int fd;
} Fixture;

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-fileio.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        safe_close(f->fd);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->path), 0);
        assert_int_equal(access(f->path, F_OK), -1);
        free(f);
        return 0;
}

static int count_entries(int dirfd) {
        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
        DIR *d = fdopendir(fd);

        assert_non_null(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n - 2;
}

static void test_read(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL, *large = NULL, *back = NULL;
        const size_t n = 100000;
        size_t size = 0;

        assert_int_equal(read_file_at(f->fd, "missing", 100, &text, NULL), -ENOENT);
        assert_int_equal(write_file_atomic_at(f->fd, "f", "a\0b", 3, 0640), 0);
        assert_int_equal(read_file_at(f->fd, "f", 3, &text, &size), 0);
        assert_int_equal(size, 3);
        assert_memory_equal(text, "a\0b", 4);
        assert_int_equal(read_file_at(f->fd, "f", 2, &back, &size), -E2BIG);
        assert_null(back);
        large = malloc(n);
        memset(large, 'x', n);
        assert_int_equal(write_file_atomic_at(f->fd, "g", large, n, 0600), 0);
        assert_int_equal(read_file_at(f->fd, "g", n, &back, &size), 0);
        assert_int_equal(size, n);
        assert_memory_equal(back, large, n);
        free(back);
        back = NULL;
        assert_int_equal(read_file_at(f->fd, "g", n - 1, &back, &size), -E2BIG);
        assert_int_equal(write_file_atomic_at(f->fd, "empty", "", 0, 0600), 0);
        assert_int_equal(read_file_at(f->fd, "empty", 0, &back, &size), 0);
        assert_int_equal(size, 0);
        assert_string_equal(back, "");
}

static void test_read_follows_no_link(void **state) {
        Fixture *f = *state;
        char *text = NULL;

        assert_int_equal(write_file_atomic_at(f->fd, "f", "x", 1, 0600), 0);
        assert_int_equal(symlinkat("f", f->fd, "link"), 0);
        assert_int_equal(read_file_at(f->fd, "link", 10, &text, NULL), -ELOOP);
        assert_int_equal(read_file_at(f->fd, ".", 10, &text, NULL), -EISDIR);
        assert_null(text);
}

static void test_write_atomic(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        mode_t old = umask(0);

        assert_int_equal(write_file_atomic_at(f->fd, "f", "old", 3, 0640), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "f", "new!", 4, 0604), 0);
        (void) umask(old);
        assert_int_equal(read_file_at(f->fd, "f", 10, &text, NULL), 0);
        assert_string_equal(text, "new!");
        assert_int_equal(fstatat(f->fd, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0604);
        assert_int_equal(count_entries(f->fd), 1);
        /* A folder of that name cannot be replaced, and nothing is left over. */
        assert_int_equal(mkdirat(f->fd, "d", 0700), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "d", "x", 1, 0600), -EISDIR);
        assert_int_equal(count_entries(f->fd), 2);
        /* A link is replaced, not followed. */
        assert_int_equal(symlinkat("f", f->fd, "link"), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "link", "x", 1, 0600), 0);
        free(text);
        text = NULL;
        assert_int_equal(read_file_at(f->fd, "f", 10, &text, NULL), 0);
        assert_string_equal(text, "new!");
}

static void test_pwrite(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = openat(f->fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(write_all(fd, "0123456789", 10), 0);
        assert_int_equal(pwrite_all(fd, "ab", 2, 4), 0);
        assert_int_equal(write_all(fd, "!", 1), 0);
        assert_int_equal(pwrite_all(fd, "", 0, 100), 0);
        assert_int_equal(read_file_at(f->fd, "f", 100, &text, NULL), 0);
        assert_string_equal(text, "0123ab6789!");
        _cleanup_close_ int reader = openat(f->fd, "f", O_RDONLY | O_CLOEXEC);
        assert_int_equal(write_all(reader, "x", 1), -EBADF);
        assert_int_equal(pwrite_all(reader, "x", 1, 0), -EBADF);
        _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        assert_int_equal(write_all(full, "x", 1), -ENOSPC);
}

static void test_mkdir_open(void **state) {
        Fixture *f = *state;
        struct stat a, b;

        int fd = mkdir_open_at(f->fd, "d", 0700);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &a), 0);
        assert_true(S_ISDIR(a.st_mode));
        assert_int_equal(a.st_mode & 0777, 0700);
        safe_close(fd);
        fd = mkdir_open_at(f->fd, "d", 0700);
        assert_int_equal(fstat(fd, &b), 0);
        assert_true(a.st_ino == b.st_ino);
        safe_close(fd);
        assert_int_equal(symlinkat("d", f->fd, "link"), 0);
        int r = mkdir_open_at(f->fd, "link", 0700);
        assert_true(r == -ENOTDIR || r == -ELOOP);
        assert_int_equal(write_file_atomic_at(f->fd, "file", "", 0, 0600), 0);
        assert_int_equal(mkdir_open_at(f->fd, "file", 0700), -ENOTDIR);
        assert_int_equal(mkdir_open_at(f->fd, "no/such", 0700), -ENOENT);
}

static void test_mkdir_parents(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/a/b//c/", f->path), *bad = xasprintf("%s/file/x", f->path);
        struct stat st;

        assert_int_equal(mkdir_parents(path, 0700), 0);
        assert_int_equal(mkdir_parents(path, 0700), 0);
        assert_int_equal(fstatat(f->fd, "a/b/c", &st, 0), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(write_file_atomic_at(f->fd, "file", "", 0, 0600), 0);
        assert_int_equal(mkdir_parents(bad, 0700), -ENOTDIR);
        assert_int_equal(mkdir_parents("/", 0700), 0);
        assert_int_equal(fchdir(f->fd), 0);
        assert_int_equal(mkdir_parents("relative/x", 0700), 0);
        assert_int_equal(fstatat(f->fd, "relative/x", &st, 0), 0);
        assert_int_equal(chdir("/"), 0);
}

static void test_remove_tree(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/t/a/b/c", f->path);
        struct stat st;

        assert_int_equal(remove_tree_at(f->fd, "missing"), 0);
        assert_int_equal(write_file_atomic_at(f->fd, "outside", "x", 1, 0600), 0);
        assert_int_equal(mkdir_parents(path, 0700), 0);
        assert_int_equal(symlinkat("../outside", f->fd, "t/file-link"), 0);
        assert_int_equal(symlinkat("../kept", f->fd, "t/a/dir-link"), 0);
        assert_int_equal(mkdirat(f->fd, "kept", 0700), 0);
        assert_int_equal(mkdirat(f->fd, "kept/inner", 0700), 0);
        assert_int_equal(mkfifoat(f->fd, "t/a/bell", 0600), 0);
        assert_int_equal(remove_tree_at(f->fd, "t"), 0);
        assert_int_equal(fstatat(f->fd, "t", &st, 0), -1);
        assert_int_equal(fstatat(f->fd, "outside", &st, 0), 0);
        assert_int_equal(fstatat(f->fd, "kept/inner", &st, 0), 0);
        /* A link as the name itself: the link goes. */
        assert_int_equal(symlinkat("kept", f->fd, "link"), 0);
        assert_int_equal(remove_tree_at(f->fd, "link"), 0);
        assert_int_equal(fstatat(f->fd, "kept/inner", &st, 0), 0);
        assert_int_equal(remove_tree_at(f->fd, "outside"), 0);
}

static void test_remove_contents_ends_when_it_is_stopped(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/t/a", f->path);
        volatile bool stop = true;

        assert_int_equal(mkdir_parents(path, 0700), 0);
        assert_int_equal(
                remove_contents(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, false, &stop),
                -ECANCELED);
        assert_int_equal(
                remove_contents(open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, false, &stop),
                -ECANCELED);
        assert_int_equal(count_entries(f->fd), 1);
        stop = false;
        assert_int_equal(
                remove_contents(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, false, &stop), 0);
}

static mode_t mode_after_remove_contents(Fixture *f, bool own) {
        struct stat st;

        assert_int_equal(fstat(f->fd, &st), 0);
        assert_int_equal(
                remove_contents(open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), st.st_dev, own, NULL),
                -EXDEV);
        assert_int_equal(fstatat(f->fd, "t", &st, 0), 0);
        return st.st_mode & 07777;
}

/* A directory of the caller's own without permission to write. It stays because of the file system in it. */
static void test_remove_contents_changes_modes_of_own_directories_alone(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *mounted = xasprintf("%s/t/mounted", f->path);

        assert_int_equal(mkdir_parents(mounted, 0700), 0);
        if (mount("tmpfs", mounted, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0) {
                print_message("skipped: cannot mount: %s\n", strerror(errno));
                skip();
        }
        assert_int_equal(fchmodat(f->fd, "t", 0500, 0), 0);
        assert_int_equal(mode_after_remove_contents(f, false), 0500);
        assert_int_equal(mode_after_remove_contents(f, true), 0700);
        assert_int_equal(umount(mounted), 0);
}

static void test_remove_tree_stays_on_its_file_system(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *mounted = xasprintf("%s/t/mounted", f->path),
                            *inner = xasprintf("%s/t/mounted/x", f->path);

        assert_int_equal(mkdir_parents(mounted, 0700), 0);
        if (mount("tmpfs", mounted, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0) {
                print_message("skipped: cannot mount: %s\n", strerror(errno));
                skip();
        }
        assert_int_equal(mkdir(inner, 0700), 0);
        assert_int_equal(remove_tree_at(f->fd, "t"), -EXDEV);
        assert_int_equal(access(inner, F_OK), 0);
        assert_int_equal(umount2(mounted, MNT_DETACH), 0);
        assert_int_equal(remove_tree_at(f->fd, "t"), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_read),
                CASE(test_read_follows_no_link),
                CASE(test_write_atomic),
                CASE(test_pwrite),
                CASE(test_mkdir_open),
                CASE(test_mkdir_parents),
                CASE(test_remove_tree),
                CASE(test_remove_tree_stays_on_its_file_system),
                CASE(test_remove_contents_ends_when_it_is_stopped),
                CASE(test_remove_contents_changes_modes_of_own_directories_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
