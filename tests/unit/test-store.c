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
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "runner/store/transaction.h"
#include "store-test.h"

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
                sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE", NULL, NULL, NULL),
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
        expect_open_error(f, -EMEDIUMTYPE, "invalid format");
}

static void test_foreign_database_is_refused(void **state) {
        Fixture *f = *state;

        run_sql(f, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
        expect_open_error(f, -EMEDIUMTYPE, "a database of another program");
}

static void test_no_database_is_refused(void **state) {
        Fixture *f = *state;
        char junk[8192];

        memset(junk, 'x', sizeof(junk));
        assert_int_equal(write_file_atomic_at(f->fd, "store.db", junk, sizeof(junk), 0600), 0);
        expect_open_error(f, -EUCLEAN, "damaged");
}

static void fill_store(Store *s) {
        _cleanup_(transaction_done) Transaction t = {};
        char id[32];

        assert_int_equal(transaction_begin(s, &t), 0);
        for (int i = 0; i < 500; i++) {
                (void) snprintf(id, sizeof(id), "m-%d", i);
                (void) accept_message(s, id, "c-1");
        }
        assert_int_equal(transaction_finish(&t, 0), 0);
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
        assert_int_equal(store_adopt_identity(f->store, id, before), 0);
        assert_int_equal(store_get(f->store, "storeId", &again), 1);
        assert_string_equal(id, again);
        assert_int_equal(store_next_generation(f->store, &n), 0);
        assert_true(n > before);
        seq = accept_message(f->store, "m-1", "c-1");
        assert_true(seq > old_seq + 1000);
        /* A second time changes nothing. */
        before = n;
        assert_int_equal(store_adopt_identity(f->store, id, 0), 0);
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
        expect_open_error(f, -ELOOP, "failed to open");
        assert_int_equal(unlinkat(f->fd, "store.db", 0), 0);
        assert_int_equal(mkdirat(f->fd, "store.db", 0700), 0);
        expect_open_error(f, -EISDIR, "failed to open");
}

/* ---- kills ---- */

static void test_kill_keeps_what_was_committed(void **state) {
        Fixture *f = *state;
        InboundMessage m = message("m-1", "c-1");
        uint64_t total, written;
        int status;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                Transaction t = {};
                char *error;
                Store *s;

                if (store_open(fd, f->path, &s, &error) < 0)
                        _exit(1);
                if (store_accept(s, &m, "cursor-1", false, NULL) != 1)
                        _exit(2);
                if (transaction_begin(s, &t) < 0 || store_set(s, "cursor", "cursor-2") < 0 ||
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
        Transaction t = {};
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
        assert_int_equal(transaction_begin(s, &t), 0);
        r = store_set(s, "cursor", "lost");
        for (n = 0; n < 100 && r >= 0; n++)
                r = store_render(s, "c-1", 1, big, big_size, 0, NULL);
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(store_set(s, "runnerId", "lost too"), -ENOSPC);
        assert_int_equal(transaction_finish(&t, 0), -ENOSPC);
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

static int see_message(const InboundMessage *m, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        (void) snprintf(
                s->text + n, sizeof(s->text) - n, "%s/%s ", m->envelope_id, strempty(m->conversation));
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
