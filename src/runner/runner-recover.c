/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "common/ident.h"
#include "common/log-ids.h"
#include "common/log.h"
#include "common/scope-name.h"
#include "runner/runner-recover.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "runner/store/transaction.h"

/* A store that was damaged is put aside, and a new one is made from the runs' directories: who this runner is, and the
 * conversations that live or ended lately. Their events are all sent again, with the ids that they had, so that the
 * orchestrator drops what it has. What had been accepted and had not reached an agent's in.log is gone with the old store. */

#define SPEC_MAX (64 * 1024 * 1024)
/* What ended longer ago was reported then, or its outage was longer than that. */
#define LATELY_USEC (24 * 3600 * USEC_PER_SEC)

struct Recovery {
        const RunContext *ctx;
        bool active;
};

int recovery_set_store_aside(Recovery *v) {
        _cleanup_free_ char *name = NULL;
        int k = store_set_aside_damaged(v->ctx->state_fd, &name);

        if (k < 0)
                return log_error_errno(
                        k, "%s/store.db is damaged; failed to set it aside: %m", v->ctx->config->data_dir);
        log_full(
                LOG_ERR,
                0,
                NF_MESSAGE_STORE_DAMAGED,
                "%s/store.db is damaged. It is kept as %s, and a new one is created from the conversations' directories.",
                v->ctx->config->data_dir,
                name);
        return 0;
}

static unsigned newest_run(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        unsigned newest = 0;
        uint64_t n;

        if (!d) {
                safe_close(copy);
                return 0;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (safe_atou64(e->d_name, &n) >= 0 && n > newest && n < UINT32_MAX)
                        newest = (unsigned) n;
        (void) closedir(d);
        return newest;
}

static bool ended_lately(int dirfd) {
        static const char *const files[] = { "outcome.json", "out.log", "started" };
        uint64_t now = now_usec(CLOCK_REALTIME);
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if (fstatat(dirfd, files[i], &st, AT_SYMLINK_NOFOLLOW) >= 0)
                        return (uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC + LATELY_USEC > now;
        return false;
}

static char *copy(const char *s) {
        return s ? strdup(s) : NULL;
}

static int
put_rows(Recovery *v, const char *id, unsigned run, int dirfd, Json *spec, Json *a, bool started) {
        _cleanup_(conversation_row_done) ConversationRow c = {};
        _cleanup_(run_row_done) RunRow n = {};
        const char *params = json_text(json_get(a, "params"));
        uint64_t size = 0;
        int k;

        c = (ConversationRow){
                .id = strdup(id),
                .workspace = copy(json_get_string(a, "workspaceId")),
                .task = copy(json_get_string(a, "taskId")),
                .agent = copy(json_get_string(a, "agent")),
                .origin = copy(json_get_string(a, "origin")),
                .params = strdup(params),
                .state = started ? CONVERSATION_LIVE : CONVERSATION_STARTING,
                .directory = copy(json_get_string(a, "directory")),
                .branch = copy(json_get_string(a, "branch")),
                .run = run,
        };
        (void) json_get_u64(a, "createdUsec", &c.created_usec);
        n = (RunRow){
                .conversation = strdup(id),
                .run = run,
                .state = started ? RUN_LIVE : RUN_PREPARING,
                .out_bytes = UINT64_MAX,
                .started_usec = started ? c.created_usec : 0,
        };
        (void) snprintf(n.run_id, sizeof(n.run_id), "%s", json_get_string(a, "runId"));
        if (started)
                n.unit = scope_name(SCOPE_AGENT, id, run);
        json_object_object_del(spec, "adoption"); /* a is gone from here on */
        n.spec = strdup(json_text(spec));
        if (!c.id || !c.params || !n.conversation || !n.spec || (started && !n.unit))
                return -ENOMEM;
        k = run_directory_input_size(dirfd, &size);
        if (k < 0)
                return k;
        k = store_put_conversation(v->ctx->store, &c);
        if (k >= 0)
                k = store_put_run(v->ctx->store, &n);
        if (k >= 0)
                k = store_adopt_input(v->ctx->store, id, run, size);
        if (k >= 0 && !started) {
                /* Its message was not rendered yet: what it says is in params. */
                _cleanup_free_ char *message = xasprintf("recovered:%s", n.run_id);

                if (!message)
                        return -ENOMEM;
                k = store_accept(
                        v->ctx->store,
                        &(InboundMessage){
                                .envelope_id = message,
                                .conversation = c.id,
                                .method = (char *) "conversation.start",
                                .params = c.params,
                                .received_usec = now_usec(CLOCK_REALTIME),
                        },
                        NULL,
                        false,
                        NULL);
        }
        return k < 0 ? k : 1;
}

/* 1: it has its rows again; 0: it is left alone. */
static int recover_one(Recovery *v, const char *id, char *const *units) {
        _cleanup_(conversation_row_done) ConversationRow known = {};
        _cleanup_close_ int parent = -EBADF, dirfd = -EBADF;
        _cleanup_free_ char *unit = NULL, *text = NULL;
        _cleanup_json_ Json *spec = NULL;
        char name[16];
        size_t size;
        int k;

        k = store_get_conversation(v->ctx->store, id, &known);
        if (k != 0)
                return MIN(k, 0);
        parent = run_directory_open(v->ctx->conversations_fd, id);
        unsigned run = parent < 0 ? 0 : newest_run(parent);
        if (run == 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", run);
        unit = scope_name(SCOPE_AGENT, id, run);
        if (!unit)
                return -ENOMEM;
        dirfd = run_directory_open(parent, name);
        if (dirfd < 0 || (!strv_contains(units, unit) && !ended_lately(dirfd)))
                return 0;
        if (read_file_at(dirfd, "spec.json", SPEC_MAX, &text, &size) < 0 ||
            json_parse_from(JSON_OF_STORE, text, size, &spec, NULL) < 0)
                return 0;
        Json *a = json_get(spec, "adoption");
        const char *run_id = json_get_string(a, "runId");
        if (!run_id || strlen(run_id) != RUN_ID_SIZE - 1 || !json_get_string(a, "agent") ||
            !json_get_string(a, "origin") || !json_object_is_type(json_get(a, "params"), json_type_object))
                return 0;
        bool started = strv_contains(units, unit) || run_directory_is_started(dirfd) > 0;
        return put_rows(v, id, run, dirfd, spec, a, started);
}

static int recover_all(Recovery *v, char *const *units, unsigned *ret_taken, unsigned *ret_left) {
        int fd = openat(v->ctx->conversations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), k = 0;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                safe_close(fd);
                return -errno;
        }
        for (struct dirent *e; k >= 0 && (e = readdir(d));) {
                if (!ident_is_valid(e->d_name))
                        continue;
                k = recover_one(v, e->d_name, units);
                *(k > 0 ? ret_taken : ret_left) += 1;
        }
        (void) closedir(d);
        return k;
}

int recovery_begin(Recovery *v) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ Json *identity = NULL;
        uint64_t generation = 0;
        size_t size;
        int k;

        k = read_file_at(v->ctx->state_fd, STORE_RECOVER_FILE, 64 * 1024, &text, &size);
        if (k == -ENOENT)
                return 0;
        if (k >= 0 && json_parse_from(JSON_OF_STORE, text, size, &identity, NULL) >= 0)
                (void) json_get_u64(identity, "generation", &generation);
        k = store_adopt_identity(v->ctx->store, json_get_string(identity, "storeId"), generation);
        if (k < 0)
                return log_error_errno(k, "Failed to write the new store: %m");
        v->active = true;
        return 0;
}

int recovery_make_rows(Recovery *v, char *const *units) {
        _cleanup_(transaction_done) Transaction t = {};
        unsigned taken = 0, left = 0;
        int k;

        if (!v->active)
                return 0;
        k = transaction_begin(v->ctx->store, &t);
        if (k >= 0)
                k = recover_all(v, units, &taken, &left);
        k = transaction_finish(&t, k);
        if (k < 0)
                return log_error_errno(
                        k, "Failed to create the new store from the conversations' directories: %m");
        log_notice(
                "A new store was created: %u conversations restored from their directories, %u left unchanged.",
                taken,
                left);
        return 0;
}

void recovery_done(Recovery *v) {
        if (!v->active)
                return;
        v->active = false;
        if (unlinkat(v->ctx->state_fd, STORE_RECOVER_FILE, 0) < 0 && errno != ENOENT)
                log_warning_errno(errno, "Failed to remove %s: %m", STORE_RECOVER_FILE);
}

bool recovery_is_active(const Recovery *v) {
        return v->active;
}

int recovery_new(const RunContext *ctx, Recovery **ret) {
        Recovery *v = new0(Recovery, 1);

        if (!v)
                return -ENOMEM;
        v->ctx = ctx;
        *ret = v;
        return 0;
}

Recovery *recovery_free(Recovery *v) {
        free(v);
        return NULL;
}
