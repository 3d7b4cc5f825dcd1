/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "common/ident.h"
#include "runner/store/store.h"

typedef struct Fixture {
        char path[64];
        int fd;
        Store *store;
} Fixture;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-store.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        store_close(f->store);
        safe_close(f->fd);
        (void) nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

static void open_store(Fixture *f) {
        _cleanup_free_ char *error = NULL;
        int r = store_open(f->fd, f->path, &f->store, &error);

        if (r < 0)
                print_error("%s\n", error);
        assert_int_equal(r, 0);
        assert_null(error);
}

static void reopen_store(Fixture *f) {
        f->store = store_close(f->store);
        open_store(f);
}

static void expect_open_error(Fixture *f, int error, const char *words) {
        _cleanup_free_ char *text = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(f->fd, f->path, &s, &text), error);
        assert_null(s);
        assert_non_null(text);
        assert_non_null(strstr(text, words));
        assert_non_null(strstr(text, f->path));
}

static InboundMessage message(const char *id, const char *conversation) {
        return (InboundMessage){
                .envelope_id = (char *) id,
                .conversation = (char *) conversation,
                .method = (char *) "message.user",
                .params = (char *) "{\"content\":\"hi\"}",
                .received_usec = 1000,
        };
}

static int64_t accept_message(Store *s, const char *id, const char *conversation) {
        InboundMessage m = message(id, conversation);
        int64_t seq = 0;

        assert_int_equal(store_accept(s, &m, NULL, false, &seq), 1);
        assert_true(seq > 0);
        return seq;
}

static void assert_value(Store *s, const char *key, const char *expected) {
        _cleanup_free_ char *value = NULL;

        assert_int_equal(store_get(s, key, &value), expected ? 1 : 0);
        if (expected)
                assert_string_equal(value, expected);
        else
                assert_null(value);
}

static void put_run(Store *s, const char *conversation, unsigned run) {
        RunRow row = {
                .conversation = (char *) conversation,
                .run = run,
                .run_id = "0123456789abcdef",
                .state = (char *) "live",
                .spec = (char *) "{}",
                .out_bytes = UINT64_MAX,
        };

        assert_int_equal(store_put_run(s, &row), 0);
}

static ConversationRow conversation(const char *id) {
        return (ConversationRow){
                .id = (char *) id,
                .workspace = (char *) "w",
                .agent = (char *) "shell",
                .origin = (char *) "orchestrator",
                .params = (char *) "{}",
                .state = (char *) "live",
                .run = 1,
                .created_usec = 5,
        };
}

/* ---- opening ---- */

static void test_new_store_has_identity(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *first = NULL, *second = NULL;
        struct stat st;

        open_store(f);
        assert_int_equal(store_get(f->store, "storeId", &first), 1);
        assert_true(uuid_is_valid(first));
        assert_int_equal(fstatat(f->fd, "store.db", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        reopen_store(f);
        assert_int_equal(store_get(f->store, "storeId", &second), 1);
        assert_string_equal(first, second);
}

static void test_values(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_value(f->store, "cursor", NULL);
        assert_int_equal(store_set(f->store, "cursor", "c-1"), 0);
        assert_int_equal(store_set(f->store, "cursor", "c-2"), 0);
        assert_int_equal(store_set(f->store, "cursor", "c-2"), 0);
        assert_int_equal(store_set(f->store, "draining", ""), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", "c-2");
        assert_value(f->store, "draining", "");
        assert_int_equal(store_set(f->store, "cursor", NULL), 0);
        assert_int_equal(store_set(f->store, "cursor", NULL), 0);
        assert_value(f->store, "cursor", NULL);
}

static void test_generation_grows(void **state) {
        Fixture *f = *state;
        uint64_t n = 0;

        open_store(f);
        for (uint64_t i = 1; i <= 3; i++) {
                assert_int_equal(store_next_generation(f->store, &n), 0);
                assert_int_equal(n, i);
                reopen_store(f);
        }
        assert_int_equal(store_set(f->store, "generation", "seven"), 0);
        assert_int_equal(store_next_generation(f->store, &n), -EUCLEAN);
}

/* The child's end: no exit, since a leak checker would then look at what it has inherited. */
static void report(int fd, char c) {
        (void) !write(fd, &c, 1);
        (void) raise(SIGKILL);
}

static void test_second_open_is_busy(void **state) {
        Fixture *f = *state;
        int result[2];
        char c = 0;

        open_store(f);
        expect_open_error(f, -EBUSY, "another northflare-runner");
        assert_int_equal(pipe2(result, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Store *s = NULL;
                char *error = NULL;

                /* A descriptor of its own: the lock must not be shared by inheriting one. */
                int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                report(result[1], store_open(fd, f->path, &s, &error) == -EBUSY ? 'y' : 'n');
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(read(result[0], &c, 1), 1);
        assert_int_equal(c, 'y');
        (void) close(result[0]);
        (void) close(result[1]);
        /* The refused attempts did not take the lock away from us. */
        expect_open_error(f, -EBUSY, "another northflare-runner");
        assert_int_equal(store_set(f->store, "cursor", "x"), 0);
        reopen_store(f);
}

static void test_foreign_lock_is_busy(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3 *db;

        open_store(f);
        f->store = store_close(f->store);
        /* A program that knows nothing of our lock, in the middle of a change. */
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(
                        sqlite3_exec(db,
                                     "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE",
                                     NULL,
                                     NULL,
                                     NULL),
                        SQLITE_OK);
        expect_open_error(f, -EBUSY, "locked by another program");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        open_store(f);
}

static void run_sql(Fixture *f, const char *sql) {
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_newer_schema_is_refused(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *before = NULL, *after = NULL;
        size_t n, m;

        open_store(f);
        f->store = store_close(f->store);
        run_sql(f, "PRAGMA user_version = 99");
        assert_int_equal(read_file_at(f->fd, "store.db", 1 << 20, &before, &n), 0);
        expect_open_error(f, -EPROTONOSUPPORT, "newer");
        assert_int_equal(read_file_at(f->fd, "store.db", 1 << 20, &after, &m), 0);
        assert_int_equal(n, m);
        assert_memory_equal(before, after, n);
}

static void test_impossible_schema_is_refused(void **state) {
        Fixture *f = *state;

        open_store(f);
        f->store = store_close(f->store);
        run_sql(f, "PRAGMA user_version = -1");
        expect_open_error(f, -EMEDIUMTYPE, "impossible");
}

static void test_foreign_database_is_refused(void **state) {
        Fixture *f = *state;

        run_sql(f, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
        expect_open_error(f, -EMEDIUMTYPE, "not one of this program");
}

static void test_no_database_is_refused(void **state) {
        Fixture *f = *state;
        char junk[8192];

        memset(junk, 'x', sizeof(junk));
        assert_int_equal(write_file_atomic_at(f->fd, "store.db", junk, sizeof(junk), 0600), 0);
        expect_open_error(f, -EUCLEAN, "damaged");
}

static void fill_store(Store *s) {
        char id[32];

        assert_int_equal(store_begin(s), 0);
        for (int i = 0; i < 500; i++) {
                (void) snprintf(id, sizeof(id), "m-%d", i);
                (void) accept_message(s, id, "c-1");
        }
        assert_int_equal(store_commit(s), 0);
}

static void test_damaged_page_is_found(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int fd = -EBADF;
        char junk[4096];
        struct stat st;

        open_store(f);
        fill_store(f->store);
        f->store = store_close(f->store);
        fd = openat(f->fd, "store.db", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        /* The last page is a leaf of a table or an index: nothing that opening needs. */
        memset(junk, 0xa5, sizeof(junk));
        assert_int_equal(pwrite_all(fd, junk, sizeof(junk), (uint64_t) st.st_size - sizeof(junk)), 0);
        expect_open_error(f, -EUCLEAN, "damaged");
}

static void test_truncated_file_is_found(void **state) {
        Fixture *f = *state;
        struct stat st;

        open_store(f);
        fill_store(f->store);
        f->store = store_close(f->store);
        _cleanup_close_ int fd = openat(f->fd, "store.db", O_RDWR | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
        expect_open_error(f, -EUCLEAN, "damaged");
}

static void test_made_anew(void **state) {
        _cleanup_free_ char *id = NULL, *again = NULL, *name = NULL, *text = NULL;
        Fixture *f = *state;
        uint64_t n, before;
        int64_t old_seq, seq;
        size_t size;

        open_store(f);
        assert_int_equal(store_get(f->store, "storeId", &id), 1);
        assert_int_equal(store_next_generation(f->store, &before), 0);
        old_seq = accept_message(f->store, "m-1", "c-1");
        f->store = store_close(f->store);
        assert_int_equal(store_set_aside_damaged(f->fd, &name), 0);
        assert_non_null(startswith(name, "store.db.corrupt-"));
        assert_int_equal(faccessat(f->fd, name, F_OK, 0), 0);
        assert_true(faccessat(f->fd, "store.db", F_OK, 0) < 0);
        assert_int_equal(read_file_at(f->fd, STORE_RECOVER_FILE, 4096, &text, &size), 0);
        assert_non_null(strstr(text, id));

        open_store(f);
        assert_int_equal(store_begin_anew(f->store, id, before), 0);
        assert_int_equal(store_get(f->store, "storeId", &again), 1);
        assert_string_equal(id, again);
        assert_int_equal(store_next_generation(f->store, &n), 0);
        assert_true(n > before);
        seq = accept_message(f->store, "m-1", "c-1");
        assert_true(seq > old_seq + 1000);
        /* A second time changes nothing. */
        before = n;
        assert_int_equal(store_begin_anew(f->store, id, 0), 0);
        assert_int_equal(store_next_generation(f->store, &n), 0);
        assert_int_equal(n, before + 1);
}

static void test_suspected_is_read_whole(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_suspect(f->store), 0);
        f->store = store_close(f->store);
        assert_int_equal(faccessat(f->fd, STORE_CHECK_FILE, F_OK, 0), 0);
        open_store(f);
        assert_true(faccessat(f->fd, STORE_CHECK_FILE, F_OK, 0) < 0);
}

static void test_link_is_refused(void **state) {
        Fixture *f = *state;

        assert_int_equal(symlinkat("/tmp/nothing-there", f->fd, "store.db"), 0);
        expect_open_error(f, -ELOOP, "cannot be opened");
        assert_int_equal(unlinkat(f->fd, "store.db", 0), 0);
        assert_int_equal(mkdirat(f->fd, "store.db", 0700), 0);
        expect_open_error(f, -EISDIR, "cannot be opened");
}

/* ---- transactions ---- */

static void test_rollback_undoes_all(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "lost"), 0);
        (void) accept_message(f->store, "m-1", "c-1");
        store_rollback(f->store);
        assert_value(f->store, "cursor", NULL);
        assert_int_equal(store_is_accepted(f->store, "m-1"), 0);
}

static void test_transactions_nest(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(store_commit(f->store), 0);
        assert_int_equal(store_set(f->store, "runnerId", "b"), 0);
        assert_int_equal(store_commit(f->store), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", "a");
        assert_value(f->store, "runnerId", "b");
}

static void test_inner_rollback_spoils_the_outer(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(store_begin(f->store), 0);
        store_rollback(f->store);
        assert_int_equal(store_set(f->store, "cursor", "b"), -ECANCELED);
        assert_int_equal(store_commit(f->store), -ECANCELED);
        assert_value(f->store, "cursor", NULL);
        assert_int_equal(store_set(f->store, "cursor", "c"), 0);
}

static void test_error_spoils_the_transaction(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(store_set_driven(f->store, "no-such", 1, 10, "{}"), -ENOENT);
        assert_int_equal(store_set(f->store, "cursor", "b"), -ENOENT);
        assert_int_equal(store_commit(f->store), -ENOENT);
        assert_value(f->store, "cursor", NULL);
}

static void test_close_rolls_back(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", NULL);
}

static void test_kill_keeps_what_was_committed(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-1", "c-1");
        uint64_t total, written;
        int status;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                char *error;
                Store *s;

                if (store_open(fd, f->path, &s, &error) < 0)
                        _exit(1);
                if (store_accept(s, &m, "cursor-1", false, NULL) != 1)
                        _exit(2);
                if (store_begin(s) < 0 || store_set(s, "cursor", "cursor-2") < 0 ||
                    store_render(s, "c-1", 1, "line\n", 5, 1, NULL) < 0)
                        _exit(3);
                (void) raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        open_store(f);
        assert_value(f->store, "cursor", "cursor-1");
        assert_int_equal(store_is_accepted(f->store, "m-1"), 1);
        assert_int_equal(store_count_pending(f->store, "c-1"), 1);
        assert_int_equal(store_input_size(f->store, "c-1", 1, &total, &written), 0);
        assert_int_equal(total, 0);
}

/* A copy of the files at any moment is what a power cut leaves, or more. */
static void test_torn_wal_is_cut_off(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *db = NULL, *wal = NULL;
        size_t db_size, wal_size;
        _cleanup_close_ int copy = -EBADF;
        _cleanup_free_ char *path = NULL, *error = NULL, *cursor = NULL;
        Store *s;

        open_store(f);
        assert_int_equal(store_set(f->store, "cursor", "1"), 0);
        assert_int_equal(store_set(f->store, "cursor", "2"), 0);
        assert_int_equal(read_file_at(f->fd, "store.db", 1 << 24, &db, &db_size), 0);
        assert_int_equal(read_file_at(f->fd, "store.db-wal", 1 << 24, &wal, &wal_size), 0);
        assert_true(wal_size > 4096);
        copy = mkdir_open_at(f->fd, "copy", 0700);
        assert_true(copy >= 0);
        assert_int_equal(write_file_atomic_at(copy, "store.db", db, db_size, 0600), 0);
        assert_int_equal(write_file_atomic_at(copy, "store.db-wal", wal, wal_size - 100, 0600), 0);
        path = xasprintf("%s/copy", f->path);
        assert_int_equal(store_open(copy, path, &s, &error), 0);
        assert_int_equal(store_get(s, "cursor", &cursor), 1);
        assert_string_equal(cursor, "1");
        store_close(s);
}

/* A small disk of our own; skipped where we may not make one. */
static void test_full_disk(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *disk = xasprintf("%s/disk", f->path), *error = NULL, *big = NULL;
        const size_t big_size = 64 * 1024;
        uint64_t total, written, before;
        Store *s = NULL;
        int r = 0, n;

        assert_int_equal(mkdirat(f->fd, "disk", 0700), 0);
        if (mount("tmpfs", disk, "tmpfs", MS_NOSUID | MS_NODEV, "size=2m,mode=0700") < 0) {
                print_message("skipped: cannot mount a small tmpfs: %s\n", strerror(errno));
                skip();
        }
        fd = open(disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        big = malloc(big_size);
        memset(big, 'b', big_size);
        assert_int_equal(write_file_atomic_at(fd, "ballast", big, big_size, 0600), 0);
        r = store_open(fd, disk, &s, &error);
        assert_int_equal(r, 0);
        assert_int_equal(store_set(s, "cursor", "before"), 0);
        for (n = 0; n < 100 && r >= 0; n++)
                r = store_render(s, "c-1", 1, big, big_size, 0, NULL);
        assert_int_equal(r, -ENOSPC);
        assert_true(n > 5);
        assert_int_equal(store_input_size(s, "c-1", 1, &before, NULL), 0);
        assert_int_equal(before, (uint64_t) (n - 1) * big_size);

        /* Inside a transaction the first error is the commit's, and all of it is gone. */
        assert_int_equal(store_begin(s), 0);
        r = store_set(s, "cursor", "lost");
        for (n = 0; n < 100 && r >= 0; n++)
                r = store_render(s, "c-1", 1, big, big_size, 0, NULL);
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(store_set(s, "runnerId", "lost too"), -ENOSPC);
        assert_int_equal(store_commit(s), -ENOSPC);
        assert_value(s, "cursor", "before");
        assert_value(s, "runnerId", NULL);

        /* It goes on as soon as there is room again. */
        assert_int_equal(unlinkat(fd, "ballast", 0), 0);
        assert_int_equal(store_set(s, "cursor", "after"), 0);
        s = store_close(s);
        assert_int_equal(store_open(fd, disk, &s, &error), 0);
        assert_value(s, "cursor", "after");
        assert_int_equal(store_input_size(s, "c-1", 1, &total, &written), 0);
        assert_int_equal(total, before);
        store_close(s);
        assert_int_equal(umount2(disk, MNT_DETACH), 0);
}

/* ---- inbound ---- */

static void test_accept_stores_message_and_cursor(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-1", "c-1");
        int64_t seq = 0;

        open_store(f);
        assert_int_equal(store_accept(f->store, &m, "cur-1", false, &seq), 1);
        reopen_store(f);
        assert_value(f->store, "cursor", "cur-1");
        assert_int_equal(store_is_accepted(f->store, "m-1"), 1);
        assert_int_equal(store_is_accepted(f->store, "m-2"), 0);
        /* No cursor given: the old one stays. */
        m.envelope_id = (char *) "m-2";
        assert_int_equal(store_accept(f->store, &m, NULL, false, NULL), 1);
        assert_value(f->store, "cursor", "cur-1");
}

typedef struct Seen {
        char text[512];
        int n, stop_at;
} Seen;

static int see_message(const InboundMessage *m, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        (void) snprintf(s->text + n,
                        sizeof(s->text) - n,
                        "%s/%s ",
                        m->envelope_id,
                        strempty(m->conversation));
        return ++s->n == s->stop_at ? -ECANCELED : 0;
}

static void test_pending_in_order_of_acceptance(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-0", NULL);
        Seen seen = {}, one = {}, stopped = { .stop_at = 2 };
        int64_t second;

        open_store(f);
        assert_int_equal(store_accept(f->store, &m, NULL, false, NULL), 1);
        (void) accept_message(f->store, "m-9", "c-1");
        second = accept_message(f->store, "m-1", "c-2");
        (void) accept_message(f->store, "m-5", "c-1");
        m.envelope_id = (char *) "m-done";
        assert_int_equal(store_accept(f->store, &m, NULL, true, NULL), 1);

        assert_int_equal(store_pending_inbound(f->store, NULL, see_message, &seen), 0);
        assert_string_equal(seen.text, "m-0/ m-9/c-1 m-1/c-2 m-5/c-1 ");
        assert_int_equal(store_pending_inbound(f->store, "c-1", see_message, &one), 0);
        assert_string_equal(one.text, "m-9/c-1 m-5/c-1 ");
        assert_int_equal(store_pending_inbound(f->store, NULL, see_message, &stopped), -ECANCELED);
        assert_int_equal(stopped.n, 2);
        assert_int_equal(store_count_pending(f->store, NULL), 4);
        assert_int_equal(store_count_pending(f->store, "c-1"), 2);
        assert_int_equal(store_inbound_done(f->store, second), 0);
        assert_int_equal(store_count_pending(f->store, NULL), 3);
        assert_int_equal(store_count_pending(f->store, "c-2"), 0);
        assert_int_equal(store_inbound_done(f->store, 999), -ENOENT);
}

static int read_inside(const InboundMessage *m, void *userdata) {
        Fixture *f = userdata;
        Seen inner = {};

        /* The same statement once more, and another one. */
        assert_int_equal(store_pending_inbound(f->store, NULL, see_message, &inner), 0);
        assert_int_equal(inner.n, 2);
        assert_int_equal(store_is_accepted(f->store, m->envelope_id), 1);
        return 0;
}

static void test_reading_inside_a_walk(void **state) {
        Fixture *f = *state;

        open_store(f);
        (void) accept_message(f->store, "m-1", "c-1");
        (void) accept_message(f->store, "m-2", "c-1");
        assert_int_equal(store_pending_inbound(f->store, NULL, read_inside, f), 0);
}

static void expect_response(Store *s, int64_t *after, const char *envelope, const char *response) {
        InboundMessage m = {};

        assert_int_equal(store_next_response(s, *after, &m), 1);
        assert_string_equal(m.envelope_id, envelope);
        assert_string_equal(m.response, response);
        assert_true(m.seq > *after);
        *after = m.seq;
        inbound_message_done(&m);
}

static void test_duplicate_gets_its_response_again(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-1", "c-1"), none = {};
        int64_t seq = 0, again = 0, after = 0;

        open_store(f);
        m.request_id = (char *) "\"rq-1\"";
        m.response = (char *) "{\"result\":1}";
        assert_int_equal(store_accept(f->store, &m, "cur-1", true, &seq), 1);
        expect_response(f->store, &after, "m-1", "{\"result\":1}");
        assert_int_equal(store_next_response(f->store, after, &none), 0);
        assert_int_equal(store_response_acked(f->store, after), 0);
        assert_int_equal(store_next_response(f->store, 0, &none), 0);

        m.response = (char *) "{\"result\":2}";
        assert_int_equal(store_accept(f->store, &m, "cur-2", true, &again), 0);
        assert_int_equal(again, seq);
        assert_value(f->store, "cursor", "cur-2");
        /* The stored one, not what a second execution might have said. */
        expect_response(f->store, &after, "m-1", "{\"result\":1}");
        assert_int_equal(store_count_pending(f->store, NULL), 0);
}

static void test_response_known_late_is_not_lost(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-slow", "c-1"), none = {};
        int64_t slow = 0, after = 0, sent;

        open_store(f);
        m.request_id = (char *) "1";
        assert_int_equal(store_accept(f->store, &m, NULL, false, &slow), 1);
        m.envelope_id = (char *) "m-fast";
        m.response = (char *) "\"fast\"";
        assert_int_equal(store_accept(f->store, &m, NULL, true, NULL), 1);
        assert_int_equal(store_next_response(f->store, 0, &none), 1);
        inbound_message_done(&none);
        expect_response(f->store, &after, "m-fast", "\"fast\"");
        sent = after;
        /* While that is under way, the older message gets its answer. */
        assert_int_equal(store_set_response(f->store, slow, "\"slow\""), 0);
        assert_int_equal(store_response_acked(f->store, sent), 0);
        expect_response(f->store, &after, "m-slow", "\"slow\"");
        assert_int_equal(store_set_response(f->store, 999, "x"), -ENOENT);
}

static void test_params_go_when_done(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *big = NULL;
        InboundMessage m = message("m-1", "c-1");
        const size_t size = 1024 * 1024;
        struct stat st;
        int64_t seq;

        open_store(f);
        big = malloc(size + 1);
        memset(big, 'x', size);
        big[size] = 0;
        m.params = big;
        for (int i = 0; i < 8; i++) {
                char id[16];
                (void) snprintf(id, sizeof(id), "m-%d", i);
                m.envelope_id = id;
                assert_int_equal(store_accept(f->store, &m, NULL, false, &seq), 1);
                assert_int_equal(store_inbound_done(f->store, seq), 0);
        }
        assert_int_equal(store_checkpoint(f->store), 0);
        assert_int_equal(fstatat(f->fd, "store.db", &st, 0), 0);
        assert_true((size_t) st.st_size < 4 * size);
        for (int i = 0; i < 10; i++)
                assert_int_equal(store_checkpoint(f->store), 0);
        f->store = store_close(f->store);
        assert_int_equal(fstatat(f->fd, "store.db", &st, 0), 0);
        assert_true((size_t) st.st_size < size);
        open_store(f);
        assert_int_equal(store_is_accepted(f->store, "m-3"), 1);
}

static void test_prune_keeps_both_bounds(void **state) {
        Fixture *f = *state;
        char id[16];

        open_store(f);
        for (int i = 1; i <= 20; i++) {
                InboundMessage m = message(id, "c-1");

                (void) snprintf(id, sizeof(id), "m-%d", i);
                m.received_usec = (uint64_t) i * 10;
                assert_int_equal(store_accept(f->store, &m, NULL, i != 3, NULL), 1);
        }
        /* All are old enough, but 15 are kept by number; of the other five one is still to be done. */
        assert_int_equal(store_prune_inbound(f->store, UINT64_MAX, 15), 4);
        assert_int_equal(store_is_accepted(f->store, "m-2"), 0);
        assert_int_equal(store_is_accepted(f->store, "m-3"), 1);
        assert_int_equal(store_is_accepted(f->store, "m-5"), 0);
        assert_int_equal(store_is_accepted(f->store, "m-6"), 1);
        /* None is kept by number, those from 80 on by age. */
        assert_int_equal(store_prune_inbound(f->store, 80, 0), 2);
        assert_int_equal(store_is_accepted(f->store, "m-7"), 0);
        assert_int_equal(store_is_accepted(f->store, "m-8"), 1);
        assert_int_equal(store_prune_inbound(f->store, 80, 0), 0);
        assert_int_equal(store_prune_inbound(f->store, UINT64_MAX, UINT64_MAX), 0);
        assert_int_equal(store_prune_inbound(f->store, 0, 0), 0);
}

static void test_prune_spares_what_is_unanswered(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-unsent", "c-1"), r = {};

        open_store(f);
        m.request_id = (char *) "1";
        m.response = (char *) "{}";
        assert_int_equal(store_accept(f->store, &m, NULL, true, NULL), 1);
        m.envelope_id = (char *) "m-unknown";
        m.response = NULL;
        assert_int_equal(store_accept(f->store, &m, NULL, true, NULL), 1);
        assert_int_equal(store_prune_inbound(f->store, UINT64_MAX, 0), 0);
        assert_int_equal(store_next_response(f->store, 0, &r), 1);
        assert_int_equal(store_response_acked(f->store, r.seq), 0);
        inbound_message_done(&r);
        assert_int_equal(store_prune_inbound(f->store, UINT64_MAX, 0), 1);
        assert_int_equal(store_is_accepted(f->store, "m-unsent"), 0);
        assert_int_equal(store_is_accepted(f->store, "m-unknown"), 1);
}

/* ---- conversations and runs ---- */

static void test_conversation_row_round_trip(void **state) {
        Fixture *f = *state;
        ConversationRow in = {
                .id = (char *) "c-1",
                .workspace = (char *) "w",
                .task = (char *) "t",
                .agent = (char *) "claude",
                .origin = (char *) "local",
                .params = (char *) "{\"a\":1}",
                .session = (char *) "s",
                .state = (char *) "ended",
                .reason = (char *) "completed",
                .detail = (char *) "{\"d\":2}",
                .directory = (char *) "/d",
                .branch = (char *) "b",
                .run = 7,
                .created_usec = 11,
                .ended_usec = UINT64_MAX,
                .delivered = true,
        };
        ConversationRow out = {};

        open_store(f);
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        reopen_store(f);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_string_equal(out.id, in.id);
        assert_string_equal(out.workspace, in.workspace);
        assert_string_equal(out.task, in.task);
        assert_string_equal(out.agent, in.agent);
        assert_string_equal(out.origin, in.origin);
        assert_string_equal(out.params, in.params);
        assert_string_equal(out.session, in.session);
        assert_string_equal(out.state, in.state);
        assert_string_equal(out.reason, in.reason);
        assert_string_equal(out.detail, in.detail);
        assert_string_equal(out.directory, in.directory);
        assert_string_equal(out.branch, in.branch);
        assert_int_equal(out.run, 7);
        assert_int_equal(out.created_usec, 11);
        assert_true(out.ended_usec == UINT64_MAX);
        assert_true(out.delivered);
        conversation_row_done(&out);
        assert_int_equal(store_get_conversation(f->store, "c-2", &out), 0);

        in = conversation("c-1");
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_null(out.session);
        assert_null(out.reason);
        assert_string_equal(out.state, "live");
        assert_false(out.delivered);
        conversation_row_done(&out);
}

static int see_conversation(const ConversationRow *r, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        (void) snprintf(s->text + n, sizeof(s->text) - n, "%s ", r->id);
        return ++s->n == s->stop_at ? 7 : 0;
}

static void test_list_conversations(void **state) {
        Fixture *f = *state;
        Seen all = {}, live = {}, stopped = { .stop_at = 1 };

        open_store(f);
        const char *ids[] = { "z", "y", "x", "w" };
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                ConversationRow row = conversation(ids[i]);
                assert_int_equal(store_put_conversation(f->store, &row), 0);
        }
        ConversationRow row = conversation("y");
        row.state = (char *) "ended";
        assert_int_equal(store_put_conversation(f->store, &row), 0);
        row.id = (char *) "x";
        row.delivered = true;
        assert_int_equal(store_put_conversation(f->store, &row), 0);
        assert_int_equal(store_list_conversations(f->store, false, see_conversation, &all), 0);
        assert_string_equal(all.text, "z y x w ");
        assert_int_equal(store_list_conversations(f->store, true, see_conversation, &live), 0);
        assert_string_equal(live.text, "z y w ");
        assert_int_equal(store_list_conversations(f->store, false, see_conversation, &stopped), 7);
}

static void test_run_row_round_trip(void **state) {
        Fixture *f = *state;
        RunRow in = {
                .conversation = (char *) "c-1",
                .run = 2,
                .run_id = "0123456789abcdef",
                .state = (char *) "live",
                .unit = (char *) "u.scope",
                .invocation = (char *) "abc",
                .spec = (char *) "{\"v\":1}",
                .driven = 100,
                .driven_state = (char *) "{\"p\":1}",
                .acked = 50,
                .acked_state = (char *) "{\"p\":0}",
                .acked_own = 3,
                .out_bytes = UINT64_MAX,
                .started_usec = 4,
                .ended_usec = 0,
        };
        RunRow out = {};

        open_store(f);
        assert_int_equal(store_put_run(f->store, &in), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &out), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 2, &out), 1);
        assert_string_equal(out.conversation, "c-1");
        assert_int_equal(out.run, 2);
        assert_string_equal(out.run_id, in.run_id);
        assert_string_equal(out.state, in.state);
        assert_string_equal(out.unit, in.unit);
        assert_string_equal(out.invocation, in.invocation);
        assert_string_equal(out.spec, in.spec);
        assert_int_equal(out.driven, 100);
        assert_string_equal(out.driven_state, in.driven_state);
        assert_int_equal(out.acked, 50);
        assert_string_equal(out.acked_state, in.acked_state);
        assert_int_equal(out.acked_own, 3);
        assert_true(out.out_bytes == UINT64_MAX);
        assert_int_equal(out.started_usec, 4);
        assert_false(out.delivered);
        run_row_done(&out);

        assert_int_equal(store_set_driven(f->store, "c-1", 2, 300, "{\"p\":2}"), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 2, 200, 9, NULL, true), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 3, 200, 9, NULL, true), -ENOENT);
        reopen_store(f);
        assert_int_equal(store_get_run(f->store, "c-1", 2, &out), 1);
        assert_int_equal(out.driven, 300);
        assert_string_equal(out.driven_state, "{\"p\":2}");
        assert_int_equal(out.acked, 200);
        assert_null(out.acked_state);
        assert_int_equal(out.acked_own, 9);
        assert_true(out.delivered);
        assert_string_equal(out.spec, in.spec);
        run_row_done(&out);
}

static int count_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        ++*(int *) userdata;
        return 0;
}

static void test_delete_conversation_takes_all(void **state) {
        Fixture *f = *state;
        ConversationRow row, out = {};
        InboundMessage m = message("m-1", "c-1"), response = {};
        RunRow run = {};
        OwnEvent event = {};
        uint64_t total;
        int lines = 0;

        open_store(f);
        const char *ids[] = { "c-1", "c-2" };
        for (size_t i = 0; i < 2; i++) {
                row = conversation(ids[i]);
                assert_int_equal(store_put_conversation(f->store, &row), 0);
                put_run(f->store, ids[i], 1);
                assert_int_equal(store_render(f->store, ids[i], 1, "x\n", 2, 0, NULL), 0);
                assert_int_equal(store_add_own_event(f->store, ids[i], 1, 0, NULL, "m", "", NULL), 0);
        }
        m.request_id = (char *) "1";
        m.response = (char *) "\"late\"";
        assert_int_equal(store_accept(f->store, &m, NULL, false, NULL), 1);
        (void) accept_message(f->store, "m-2", "c-2");
        assert_int_equal(store_add_own_event(f->store, "", 0, 0, NULL, "m", "", NULL), 0);

        assert_int_equal(store_delete_conversation(f->store, ""), -EINVAL);
        assert_int_equal(store_delete_conversation(f->store, "c-1"), 0);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &run), 0);
        assert_int_equal(store_unwritten_input(f->store, "c-1", 1, count_input, &lines), 0);
        assert_int_equal(lines, 0);
        assert_int_equal(store_input_size(f->store, "c-1", 1, &total, NULL), 0);
        assert_int_equal(total, 0);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, 0, &event), 0);
        assert_int_equal(store_count_pending(f->store, "c-1"), 0);
        assert_int_equal(store_count_pending(f->store, NULL), 1);
        /* A late duplicate stays one, and its answer is still sent. */
        assert_int_equal(store_is_accepted(f->store, "m-1"), 1);
        assert_int_equal(store_next_response(f->store, 0, &response), 1);
        inbound_message_done(&response);

        assert_int_equal(store_get_conversation(f->store, "c-2", &out), 1);
        conversation_row_done(&out);
        assert_int_equal(store_next_own_event(f->store, "c-2", 1, 0, &event), 1);
        own_event_done(&event);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &event), 1);
        own_event_done(&event);
        assert_int_equal(store_unwritten_input(f->store, "c-2", 1, count_input, &lines), 0);
        assert_int_equal(lines, 1);
}

/* ---- input ---- */

typedef struct Input {
        Buffer text;
        uint64_t first;
        int n;
} Input;

static int collect_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        Input *i = userdata;

        if (i->n++ == 0)
                i->first = offset;
        assert_int_equal(offset, i->first + i->text.size);
        assert_int_equal(buffer_append(&i->text, data, size), 0);
        return 0;
}

static void expect_input(Store *s, uint64_t first, const char *text, int n) {
        Input i = {};

        assert_int_equal(buffer_append_str(&i.text, ""), 0);
        assert_int_equal(store_unwritten_input(s, "c-1", 1, collect_input, &i), 0);
        assert_int_equal(i.n, n);
        if (n > 0)
                assert_int_equal(i.first, first);
        assert_string_equal(i.text.data, text);
        buffer_done(&i.text);
}

static void expect_size(Store *s, uint64_t total, uint64_t written) {
        uint64_t a = 77, b = 77;

        assert_int_equal(store_input_size(s, "c-1", 1, &a, &b), 0);
        assert_int_equal(a, total);
        assert_int_equal(b, written);
}

static void test_render_offsets(void **state) {
        Fixture *f = *state;
        uint64_t offset = 77;
        int64_t seq;

        open_store(f);
        expect_size(f->store, 0, 0);
        seq = accept_message(f->store, "m-1", "c-1");
        assert_int_equal(store_render(f->store, "c-1", 1, "begin\n", 6, 0, &offset), 0);
        assert_int_equal(offset, 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "hi\n", 3, seq, &offset), 0);
        assert_int_equal(offset, 6);
        assert_int_equal(store_count_pending(f->store, "c-1"), 0);
        /* Another run has its own file. */
        assert_int_equal(store_render(f->store, "c-1", 2, "two\n", 4, 0, &offset), 0);
        assert_int_equal(offset, 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "", 0, 0, &offset), 0);
        assert_int_equal(offset, 9);
        assert_int_equal(store_render(f->store, "c-1", 1, "bye\n", 4, 0, &offset), 0);
        assert_int_equal(offset, 9);
        reopen_store(f);
        expect_size(f->store, 13, 0);
        expect_input(f->store, 0, "begin\nhi\nbye\n", 3);
}

static void test_written_input_is_dropped(void **state) {
        Fixture *f = *state;
        uint64_t offset;

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "one\n", 4, 0, NULL), 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "two\n", 4, 0, NULL), 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "three\n", 6, 0, NULL), 0);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 4), 0);
        expect_size(f->store, 14, 4);
        expect_input(f->store, 4, "two\nthree\n", 2);
        /* Half a row: it stays, and would be written again at its place. */
        assert_int_equal(store_input_written(f->store, "c-1", 1, 10), 0);
        expect_size(f->store, 14, 8);
        expect_input(f->store, 8, "three\n", 1);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 2), 0);
        expect_size(f->store, 14, 8);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 15), -ERANGE);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 14), 0);
        expect_size(f->store, 14, 14);
        expect_input(f->store, 0, "", 0);
        reopen_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "x\n", 2, 0, &offset), 0);
        assert_int_equal(offset, 14);
        expect_size(f->store, 16, 14);
}

static void test_render_is_one_transaction(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "x\n", 2, 999, NULL), -ENOENT);
        expect_size(f->store, 0, 0);
        expect_input(f->store, 0, "", 0);
}

static void test_render_binary(void **state) {
        Fixture *f = *state;
        static const char data[] = { 'a', 0, '\xff', '\n' };
        Input i = {};

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, data, sizeof(data), 0, NULL), 0);
        assert_int_equal(store_unwritten_input(f->store, "c-1", 1, collect_input, &i), 0);
        assert_int_equal(i.text.size, sizeof(data));
        assert_memory_equal(i.text.data, data, sizeof(data));
        buffer_done(&i.text);
}

/* ---- own events, events set aside ---- */

static void expect_event(Store *s, const char *conversation, unsigned run, int64_t *after, const char *id) {
        OwnEvent e = {};

        assert_int_equal(store_next_own_event(s, conversation, run, *after, &e), 1);
        assert_true(e.seq > *after);
        assert_string_equal(e.message_id, id);
        *after = e.seq;
        own_event_done(&e);
}

static void test_own_events(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *store_id = NULL, *third = NULL, *fourth = NULL;
        int64_t a, b, c, d, after = 0;
        OwnEvent e = {};

        open_store(f);
        put_run(f->store, "c-1", 1);
        assert_int_equal(store_get(f->store, "storeId", &store_id), 1);
        assert_int_equal(
                        store_add_own_event(
                                        f->store, "c-1", 1, 7, "x:end", "conversation.ended", "\"a\":1", &a),
                        0);
        assert_int_equal(
                        store_add_own_event(
                                        f->store,
                                        "c-1",
                                        1,
                                        UINT64_MAX,
                                        NULL,
                                        "conversation.state",
                                        NULL,
                                        &b),
                        0);
        assert_int_equal(store_add_own_event(f->store, "", 0, 0, NULL, "error.report", "", &c), 0);
        assert_int_equal(store_add_own_event(f->store, "c-9", 4, 0, NULL, "error.report", "", &d), 0);
        assert_true(a < b && b < c && c < d);
        reopen_store(f);

        assert_int_equal(store_next_own_event(f->store, "c-1", 1, 0, &e), 1);
        assert_int_equal(e.seq, a);
        assert_int_equal(e.at_offset, 7);
        assert_string_equal(e.method, "conversation.ended");
        assert_string_equal(e.members, "\"a\":1");
        own_event_done(&e);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, a, &e), 1);
        assert_true(e.at_offset == UINT64_MAX);
        assert_string_equal(e.members, "");
        own_event_done(&e);

        expect_event(f->store, "c-1", 1, &after, "x:end");
        char second[64];
        (void) snprintf(second, sizeof(second), "0123456789abcdef:e%lld", (long long) b);
        expect_event(f->store, "c-1", 1, &after, second);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, after, &e), 0);
        assert_int_equal(store_next_own_event(f->store, "c-1", 2, 0, &e), 0);
        third = xasprintf("%s:e%lld", store_id, (long long) c);
        fourth = xasprintf("%s:e%lld", store_id, (long long) d);
        after = 0;
        expect_event(f->store, "", 0, &after, third);
        after = 0;
        expect_event(f->store, "c-9", 4, &after, fourth);
}

static void test_own_events_deleted_numbers_never_return(void **state) {
        Fixture *f = *state;
        int64_t a, b, c;
        OwnEvent e = {};

        open_store(f);
        assert_int_equal(store_add_own_event(f->store, "", 0, 0, NULL, "m", "", &a), 0);
        assert_int_equal(store_add_own_event(f->store, "", 0, 0, NULL, "m", "", &b), 0);
        assert_int_equal(store_delete_own_events(f->store, "", 0, a), 0);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &e), 1);
        assert_int_equal(e.seq, b);
        own_event_done(&e);
        assert_int_equal(store_delete_own_events(f->store, "", 0, b), 0);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &e), 0);
        reopen_store(f);
        assert_int_equal(store_add_own_event(f->store, "", 0, 0, NULL, "m", "", &c), 0);
        assert_true(c > b);
}

static void test_acked_events_stay_readable(void **state) {
        Fixture *f = *state;
        int64_t seq, after = 0;

        open_store(f);
        put_run(f->store, "c-1", 1);
        assert_int_equal(store_add_own_event(f->store, "c-1", 1, 0, "a", "m", "", &seq), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 1, 0, seq, "{}", true), 0);
        expect_event(f->store, "c-1", 1, &after, "a");
}

static int see_aside(const SetAside *e, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        if (s->n++ < 3)
                (void) snprintf(s->text + n,
                                sizeof(s->text) - n,
                                "%s:%s:%s:%s ",
                                e->message_id,
                                strempty(e->conversation),
                                e->json,
                                strempty(e->why));
        assert_true(e->when_usec > 0);
        return 0;
}

static void test_set_aside(void **state) {
        Fixture *f = *state;
        Seen seen = {}, after = {};

        open_store(f);
        assert_int_equal(store_set_aside(f->store, "a", "c-1", "{}xx", 2, "HTTP 422"), 0);
        assert_int_equal(store_set_aside(f->store, "b", NULL, "[1]", 3, NULL), 0);
        assert_int_equal(store_count_set_aside(f->store), 2);
        reopen_store(f);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &seen), 0);
        assert_string_equal(seen.text, "a:c-1:{}:HTTP 422 b::[1]: ");
        assert_int_equal(store_delete_set_aside(f->store, 1), 0);
        assert_int_equal(store_delete_set_aside(f->store, 1), -ENOENT);
        assert_int_equal(store_count_set_aside(f->store), 1);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &after), 0);
        assert_string_equal(after.text, "b::[1]: ");
}

static void test_set_aside_is_bounded(void **state) {
        Fixture *f = *state;
        Seen seen = {};
        char id[16];

        open_store(f);
        assert_int_equal(store_begin(f->store), 0);
        for (int i = 1; i <= STORE_SET_ASIDE_MAX + 2; i++) {
                (void) snprintf(id, sizeof(id), "e%d", i);
                assert_int_equal(store_set_aside(f->store, id, NULL, "0", 1, NULL), 0);
        }
        assert_int_equal(store_commit(f->store), 0);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &seen), 0);
        assert_int_equal(seen.n, STORE_SET_ASIDE_MAX);
        assert_true(startswith(seen.text, "e3:") != NULL);
}

/* ---- queries that must not grow with the store ---- */

static void test_indices_are_used(void **state) {
        static const char *const queries[] = {
                "SELECT count(*) FROM inbound WHERE done = 0",
                "SELECT count(*) FROM inbound WHERE conversation = 'x' AND done = 0",
                "SELECT seq FROM inbound m WHERE done = 0 ORDER BY seq",
                "SELECT seq FROM inbound m WHERE conversation = 'x' AND done = 0 ORDER BY seq",
                "SELECT id FROM conversations WHERE state <> 'ended' OR delivered = 0 ORDER BY seq",
                "SELECT seq FROM own_events WHERE conversation = 'x' AND run = 1 AND seq > 5 ORDER BY seq LIMIT 1",
                "UPDATE inbound SET done = 1 WHERE conversation = 'x'",
        };
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3 *db;

        open_store(f);
        f->store = store_close(f->store);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        for (size_t i = 0; i < ELEMENTSOF(queries); i++) {
                _cleanup_free_ char *sql = xasprintf("EXPLAIN QUERY PLAN %s", queries[i]);
                sqlite3_stmt *stmt;
                bool index = false;

                assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
                while (sqlite3_step(stmt) == SQLITE_ROW) {
                        const char *detail = (const char *) sqlite3_column_text(stmt, 3);

                        if (strstr(detail, "TEMP B-TREE") ||
                            (startswith(detail, "SCAN") && !strstr(detail, "INDEX")))
                                fail_msg("%s: %s", queries[i], detail);
                        index = index || strstr(detail, "INDEX");
                }
                assert_true(index);
                (void) sqlite3_finalize(stmt);
        }
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_new_store_has_identity),
                CASE(test_values),
                CASE(test_generation_grows),
                CASE(test_second_open_is_busy),
                CASE(test_foreign_lock_is_busy),
                CASE(test_newer_schema_is_refused),
                CASE(test_impossible_schema_is_refused),
                CASE(test_foreign_database_is_refused),
                CASE(test_no_database_is_refused),
                CASE(test_damaged_page_is_found),
                CASE(test_truncated_file_is_found),
                CASE(test_made_anew),
                CASE(test_suspected_is_read_whole),
                CASE(test_link_is_refused),
                CASE(test_rollback_undoes_all),
                CASE(test_transactions_nest),
                CASE(test_inner_rollback_spoils_the_outer),
                CASE(test_error_spoils_the_transaction),
                CASE(test_close_rolls_back),
                CASE(test_kill_keeps_what_was_committed),
                CASE(test_torn_wal_is_cut_off),
                CASE(test_full_disk),
                CASE(test_accept_stores_message_and_cursor),
                CASE(test_pending_in_order_of_acceptance),
                CASE(test_reading_inside_a_walk),
                CASE(test_duplicate_gets_its_response_again),
                CASE(test_response_known_late_is_not_lost),
                CASE(test_params_go_when_done),
                CASE(test_prune_keeps_both_bounds),
                CASE(test_prune_spares_what_is_unanswered),
                CASE(test_conversation_row_round_trip),
                CASE(test_list_conversations),
                CASE(test_run_row_round_trip),
                CASE(test_delete_conversation_takes_all),
                CASE(test_render_offsets),
                CASE(test_written_input_is_dropped),
                CASE(test_render_is_one_transaction),
                CASE(test_render_binary),
                CASE(test_own_events),
                CASE(test_own_events_deleted_numbers_never_return),
                CASE(test_acked_events_stay_readable),
                CASE(test_set_aside),
                CASE(test_set_aside_is_bounded),
                CASE(test_indices_are_used),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
