/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fileio.h"
#include "common/json.h"
#include "runner/store/store-change.h"
#include "runner/store/store-schema.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

/* A whole check reads the whole file. Above this size only a store that was not closed properly gets one. */
#define CHECK_ALWAYS_BYTES (32 * 1024 * 1024)

void store_on_damage(Store *s, void (*damaged)(void *userdata), void *userdata) {
        s->damaged = damaged;
        s->userdata = userdata;
}

/* ---- opening ---- */

static int check(Store *s, bool whole) {
        sqlite3_stmt *stmt;
        int result, r = 0;

        result = sqlite3_prepare_v2(
                s->db,
                whole ? "PRAGMA quick_check(1)" : "SELECT count(*) FROM sqlite_schema",
                -1,
                &stmt,
                NULL);
        if (result != SQLITE_OK)
                return store_error(s, result);
        result = sqlite3_step(stmt);
        if (result != SQLITE_ROW)
                r = result == SQLITE_DONE ? -EUCLEAN : store_error(s, result);
        else if (whole && !streq((const char *) sqlite3_column_text(stmt, 0), "ok"))
                r = -EUCLEAN;
        (void) sqlite3_finalize(stmt);
        return r;
}

static const char pragmas[] =
        "PRAGMA locking_mode = EXCLUSIVE;" /* before the first access: the WAL's index is then in memory */
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;"
        "PRAGMA cache_size = -512;"
        "PRAGMA temp_store = MEMORY;"
        "PRAGMA cell_size_check = ON;"
        "PRAGMA trusted_schema = OFF;"
        "PRAGMA journal_size_limit = 4194304;"
        "PRAGMA wal_autocheckpoint = 2000;";

/* The lock is on the directory itself: it needs no file, and the kernel drops it with the process. SQLite's own comes on
 * top and keeps out everything that does not know of ours. */
static int lock_directory(int dirfd, const char *dir_path, int *ret_fd, char **ret_error) {
        _cleanup_close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                *ret_error = xasprintf("another northflare-runner is using %s", dir_path);
                return -EBUSY;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Makes store.db with our mode, refuses links and everything that is no file. */
static int make_file(int dirfd, uint64_t *ret_size, bool *ret_unclean) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(
                dirfd, "store.db", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADFD;
        *ret_size = (uint64_t) st.st_size;
        *ret_unclean = fstatat(dirfd, "store.db-wal", &st, AT_SYMLINK_NOFOLLOW) >= 0 && st.st_size > 0;
        return 0;
}

static int open_database(Store *s, int dirfd, const char *path, char **ret_error) {
        uint64_t size = 0;
        bool unclean = false;
        int r;

        r = make_file(dirfd, &size, &unclean);
        if (r < 0)
                return r;
        r = store_error(
                s,
                sqlite3_open_v2(
                        path,
                        &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL));
        if (r < 0)
                return r;
        /* Only before there is anything: on an existing file it would be a write. */
        if (size == 0)
                r = store_execute_script(s, "PRAGMA auto_vacuum = INCREMENTAL;");
        if (r >= 0)
                r = store_execute_script(s, pragmas);
        if (r < 0)
                return r;
        r = check(
                s,
                size <= CHECK_ALWAYS_BYTES || unclean ||
                        faccessat(dirfd, STORE_CHECK_FILE, F_OK, AT_SYMLINK_NOFOLLOW) >= 0);
        if (r < 0)
                return r;
        (void) unlinkat(dirfd, STORE_CHECK_FILE, 0);
        return store_schema_prepare(s, path, ret_error);
}

int store_open(int dirfd, const char *dir_path, Store **ret, char **ret_error) {
        _cleanup_(store_closep) Store *s = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        *ret_error = NULL;
        s = new0(Store, 1);
        path = xasprintf("%s/store.db", dir_path);
        if (!s || !path) {
                if (s)
                        s->lock_fd = -EBADF;
                return -ENOMEM;
        }
        s->lock_fd = -EBADF;
        r = lock_directory(dirfd, dir_path, &s->lock_fd, ret_error);
        if (r >= 0)
                r = open_database(s, dirfd, path, ret_error);
        if (r >= 0) {
                *ret = TAKE_PTR(s);
                return 0;
        }
        if (*ret_error)
                return r;
        switch (r) {
        case -EBUSY:
                *ret_error = xasprintf("%s is locked by another program", path);
                break;
        case -EUCLEAN:
                *ret_error = xasprintf("%s is damaged", path);
                break;
        case -ENOSPC:
                *ret_error = xasprintf("no space left on the disk of %s", path);
                break;
        default:
                *ret_error = xasprintf("failed to open %s: %s", path, strerrordesc_np(-r));
        }
        return r;
}

/* ---- a damaged one ---- */

/* Not in use: nothing else holds the lock on the directory while it is renamed. */
static int rename_beside(int dirfd, const char *from, const char *base, const char *suffix) {
        _cleanup_free_ char *to = xasprintf("%s%s", base, suffix);

        if (!to)
                return -ENOMEM;
        return renameat(dirfd, from, dirfd, to) < 0 && errno != ENOENT ? -errno : 0;
}

int store_set_aside_damaged(int dirfd, char **ret_name) {
        _cleanup_close_ int lock = -EBADF, fd = -EBADF;
        _cleanup_free_ char *error = NULL, *name = NULL;
        time_t now = (time_t) (now_usec(CLOCK_REALTIME) / USEC_PER_SEC);
        char stamp[32];
        struct tm tm;
        int r;

        r = lock_directory(dirfd, "the directory", &lock, &error);
        if (r < 0)
                return r;
        if (!gmtime_r(&now, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0)
                return -EOVERFLOW;
        name = xasprintf("store.db.corrupt-%s", stamp);
        if (!name)
                return -ENOMEM;
        /* First, so that the next start after a crash in between knows the state. */
        r = rename_beside(dirfd, STORE_IDENTITY_FILE, STORE_RECOVER_FILE, "");
        if (r < 0)
                return r;
        fd = openat(dirfd, STORE_RECOVER_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = rename_beside(dirfd, "store.db-wal", name, "-wal");
        if (r >= 0)
                r = rename_beside(dirfd, "store.db-shm", name, "-shm");
        if (r >= 0)
                r = rename_beside(dirfd, "store.db", name, "");
        if (r < 0)
                return r;
        (void) unlinkat(dirfd, STORE_CHECK_FILE, 0);
        *ret_name = TAKE_PTR(name);
        return 0;
}

int store_suspect(Store *s) {
        _cleanup_close_ int fd = openat(
                s->lock_fd, STORE_CHECK_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        return fd < 0 ? -errno : 0;
}

static int write_identity(Store *s, uint64_t generation) {
        _cleanup_free_ char *id = NULL, *text = NULL;
        int r;

        r = store_get(s, "storeId", &id);
        if (r <= 0)
                return r;
        text = xasprintf("{\"storeId\":\"%s\",\"generation\":%llu}\n", id, (unsigned long long) generation);
        if (!text)
                return -ENOMEM;
        return write_file_atomic_at(s->lock_fd, STORE_IDENTITY_FILE, text, strlen(text), 0600);
}

/* Should the file be behind what was really used, this is far above it. */
#define GENERATION_LEAP (UINT64_C(1) << 20)

int store_adopt_identity(Store *s, const char *store_id, uint64_t generation) {
        _cleanup_(transaction_done) Transaction t = {};
        static const char *const tables[] = { "inbound", "responses", "own_events", "set_aside" };
        _cleanup_free_ char *id = NULL;
        char text[32];
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_get(s, "begunAnew", &id);
        if (r != 0)
                return transaction_finish(&t, MIN(r, 0));
        /* Events and requests are named by these numbers: none may come a second time. */
        for (size_t i = 0; i < ELEMENTSOF(tables) && r >= 0; i++) {
                _cleanup_free_ char *sql = xasprintf(
                        "INSERT INTO sqlite_sequence (name, seq) VALUES ('%s', %llu);",
                        tables[i],
                        (unsigned long long) now_usec(CLOCK_REALTIME));
                r = sql ? store_execute_script(s, sql) : -ENOMEM;
        }
        if (r >= 0)
                r = store_set(s, "begunAnew", "1");
        if (r >= 0 && store_id) {
                generation += GENERATION_LEAP;
                (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) generation);
                r = store_set(s, "storeId", store_id);
                if (r >= 0)
                        r = store_set(s, "generation", text);
                if (r >= 0)
                        r = store_set(s, "registered", "1");
        }
        return transaction_finish(&t, r);
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        transaction_abandon(s);
        for (size_t i = 0; i < ELEMENTSOF(s->statements); i++)
                (void) sqlite3_finalize(s->statements[i]);
        (void) sqlite3_close(s->db);
        safe_close(s->lock_fd);
        free(s);
        return NULL;
}

int store_checkpoint(Store *s) {
        int result;

        if (s->depth > 0)
                return 0;
        /* Pages that deletions left over go back to the file system a few at a time. */
        result = sqlite3_exec(s->db, "PRAGMA incremental_vacuum(256)", NULL, NULL, NULL);
        if (result == SQLITE_OK)
                result = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return store_error(s, result);
}

/* ---- single values ---- */

int store_get(Store *s, const char *key, char **ret) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(s, &st, STATEMENT_META_GET, "SELECT value FROM meta WHERE key = ?", "s", key);
        if (r <= 0)
                return r;
        r = statement_dup(&st, 0, ret);
        return r < 0 ? r : 1;
}

int store_set(Store *s, const char *key, const char *value) {
        int r;

        if (value)
                r = store_execute(
                        s,
                        STATEMENT_META_SET,
                        "INSERT INTO meta (key, value) VALUES (?1, ?2) "
                        "ON CONFLICT (key) DO UPDATE SET value = ?2 WHERE value <> ?2",
                        "ss",
                        key,
                        value);
        else
                r = store_execute(s, STATEMENT_META_DELETE, "DELETE FROM meta WHERE key = ?", "s", key);
        return r < 0 ? r : 0;
}

int store_next_generation(Store *s, uint64_t *ret) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *old = NULL;
        uint64_t generation = 0;
        char text[32];
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_get(s, "generation", &old);
        if (r > 0)
                r = safe_atou64(old, &generation) < 0 ? -EUCLEAN : 0;
        if (r >= 0) {
                (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) ++generation);
                r = store_set(s, "generation", text);
        }
        r = transaction_finish(&t, r);
        if (r < 0)
                return r;
        /* Of use only if the store breaks; what cannot be written now is not worth a refusal. */
        (void) write_identity(s, generation);
        *ret = generation;
        return 0;
}
