/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fileio.h"
#include "common/log.h"
#include "runner/runner-conversations.h"
#include "runner/runner-internal.h"
#include "runner/runner-retention.h"
#include "runner/store/store-conversation.h"

/* Forgets what has ended, was delivered, and is old. The directory is renamed first, so that a crash leaves either the whole
 * or rubbish with a name that says so; rubbish goes at the next start. */

#define REMOVED ".removed-"
#define REMOVE_MAX 64 /* at a time: the loop has other things to do */
#define DAY_USEC (24 * 3600 * USEC_PER_SEC)

typedef struct Old {
        uint64_t before_usec;
        char *ids[REMOVE_MAX];
        size_t n;
} Old;

static int collect(const ConversationRow *row, void *userdata) {
        Old *o = userdata;

        if (o->n >= REMOVE_MAX)
                return 1;
        if (row->state != CONVERSATION_ENDED || !row->delivered || row->ended_usec >= o->before_usec)
                return 0;
        o->ids[o->n] = strdup(row->id);
        return o->ids[o->n++] ? 0 : -ENOMEM;
}

static void remove_one(Runner *r, const char *id) {
        _cleanup_free_ char *removed = xasprintf(REMOVED "%s", id);
        Conversation *c = registry_find(r->conversations, id);
        int k;
        LOG_ABOUT(.conversation = id);

        if (!removed || (c && c->streams))
                return;
        if (renameat(r->ctx->run.conversations_fd, id, r->ctx->run.conversations_fd, removed) < 0 &&
            errno != ENOENT) {
                log_warning_errno(errno, "Failed to remove the files of conversation %s: %m", id);
                return;
        }
        k = store_delete_conversation(r->store, id);
        if (k < 0) {
                log_warning_errno(k, "Failed to remove conversation %s from the store: %m", id);
                (void) renameat(r->ctx->run.conversations_fd, removed, r->ctx->run.conversations_fd, id);
                return;
        }
        if (c)
                runner_remove_conversation(r, c);
        (void) remove_tree_at(r->ctx->run.conversations_fd, removed);
        log_debug("Conversation %s has exceeded its retention time and is removed.", id);
}

void runner_remove_old(Runner *r) {
        uint64_t now = now_usec(CLOCK_REALTIME), keep = r->config->keep_ended_days * DAY_USEC;
        Old old = { .before_usec = now > keep ? now - keep : 0 };
        int k;

        if (r->ctx->run.broken)
                return;
        k = store_list_conversations(r->store, false, collect, &old);
        if (k < 0)
                log_warning_errno(k, "Failed to search for old conversations: %m");
        for (size_t i = 0; i < old.n; i++) {
                if (k >= 0)
                        remove_one(r, old.ids[i]);
                free(old.ids[i]);
        }
}

static void sweep(int fd, const char *prefix) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);

        if (!d) {
                safe_close(copy);
                return;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && startswith(e->d_name, prefix))
                        (void) remove_tree_at(fd, e->d_name);
        (void) closedir(d);
}

void runner_sweep(Runner *r) {
        _cleanup_close_ int operations = -EBADF;

        sweep(r->ctx->run.conversations_fd, REMOVED);
        operations = openat(
                r->ctx->run.state_fd, "operations", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (operations >= 0)
                sweep(operations, "");
}
