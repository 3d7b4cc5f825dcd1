/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "common/ident.h"
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/runner-workspaces.h"
#include "runner/store/store-conversation.h"
#include "runner/workspace/directory-call.h"

/* Which workspaces there are on this machine: a file `workspaces/<key>` for each, with its id in it, whose time is that of
 * the last conversation. The directories themselves are agent users', under names that do not reveal the id, and
 * conversations are forgotten before their workspace is gone. */

#define DIRECTORY_NAME "workspaces"

struct Workspaces {
        const RunContext *ctx;
        const GitConfig *git;
        const Registry *conversations;
        WorkspaceCall *calls;
};

struct WorkspaceCall {
        Workspaces *workspaces;
        WorkspaceCall *next;
        char *id;
        bool remove;
        DirectoryCall *directory;
        WorkspaceReply reply;
        void *userdata;
};

static int open_directory(Workspaces *w) {
        return mkdir_open_at(w->ctx->state_fd, DIRECTORY_NAME, 0700);
}

void workspaces_note(Workspaces *w, const char *id, bool used) {
        _cleanup_close_ int fd = open_directory(w);
        char key[WORKSPACE_KEY_SIZE];
        int k = 0;

        workspace_key(id, key);
        if (fd < 0)
                k = fd;
        else if (faccessat(fd, key, F_OK, 0) < 0)
                k = write_file_atomic_at(fd, key, id, strlen(id), 0600);
        else if (used && utimensat(fd, key, NULL, 0) < 0)
                k = -errno;
        if (k < 0)
                log_debug_errno(k, "Failed to record workspace %s, ignoring: %m", id);
}

static int note_row(const ConversationRow *row, void *userdata) {
        workspaces_note(userdata, row->workspace, false);
        return 0;
}

void workspaces_open(Workspaces *w) {
        int k;

        /* Once, for those of a runner that did not take notes: one that was removed is not to come back. */
        if (faccessat(w->ctx->state_fd, DIRECTORY_NAME, F_OK, 0) >= 0)
                return;
        k = store_list_conversations(w->ctx->store, false, note_row, w);
        if (k < 0)
                log_debug_errno(k, "Failed to search for workspaces of old conversations, ignoring: %m");
}

/* The live conversations of a workspace. */
static Json *live_in(Workspaces *w, const char *id) {
        Json *list = json_object_new_array();

        for (Conversation *c = registry_next(w->conversations, NULL); list && c;
             c = registry_next(w->conversations, c))
                if (conversation_is_live(c) && streq(c->row.workspace, id) &&
                    json_object_array_add(list, json_object_new_string(c->row.id)) < 0) {
                        json_object_put(list);
                        return NULL;
                }
        return list;
}

/* The id in the file of that name; NULL where it is none of ours. */
static char *read_id(int fd, const char *key) {
        _cleanup_free_ char *id = NULL;
        char right[WORKSPACE_KEY_SIZE];

        if (read_file_at(fd, key, IDENT_MAX, &id, NULL) < 0 || !ident_is_valid(id))
                return NULL;
        workspace_key(id, right);
        return streq(key, right) ? TAKE_PTR(id) : NULL;
}

static int add_entry(Workspaces *w, int fd, const char *key, Json *list) {
        _cleanup_free_ char *id = read_id(fd, key);
        char stamp[TIMESTAMP_MAX];
        struct stat st;
        Json *o;

        if (!id || fstatat(fd, key, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        o = json_object_new_object();
        if (!o || json_set_string(o, "id", id) < 0 || json_set_string(o, "key", key) < 0 ||
            json_set_string(
                    o, "lastUsedAt", format_timestamp((uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC, stamp)) <
                    0 ||
            json_set(o, "conversations", live_in(w, id)) < 0 || json_object_array_add(list, o) < 0) {
                json_object_put(o);
                return -ENOMEM;
        }
        return 0;
}

int workspaces_list(Workspaces *w, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        int fd = open_directory(w), k = 0;
        DIR *d;

        if (fd < 0 || !list) {
                safe_close(fd);
                return list ? fd : -ENOMEM;
        }
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        for (struct dirent *e; k >= 0 && (e = readdir(d));)
                k = add_entry(w, dirfd(d), e->d_name, list);
        (void) closedir(d);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(list);
        return 0;
}

bool workspaces_is_removed(Workspaces *w, const char *id) {
        for (WorkspaceCall *c = w->calls; c; c = c->next)
                if (c->remove && streq(c->id, id))
                        return true;
        return false;
}

WorkspaceCall *workspace_call_free(WorkspaceCall *c) {
        if (!c)
                return NULL;
        for (WorkspaceCall **p = &c->workspaces->calls; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        directory_call_free(c->directory);
        free(c->id);
        free(c);
        return NULL;
}

static void forget(Workspaces *w, const char *id) {
        _cleanup_close_ int fd = open_directory(w);
        char key[WORKSPACE_KEY_SIZE];

        workspace_key(id, key);
        if (fd < 0 || unlinkat(fd, key, 0) < 0)
                log_warning_errno(
                        fd < 0 ? fd : errno, "Failed to remove the record of workspace %s: %m", id);
        log_notice("Workspace %s was removed.", id);
}

static void on_directory(int error, const char *text, Json *result, void *userdata) {
        WorkspaceCall *c = userdata;

        c->directory = directory_call_free(c->directory);
        if (error >= 0 && c->remove) {
                /* Nothing is there any more, and no conversation may begin in it before that is known. */
                c->remove = false;
                forget(c->workspaces, c->id);
        } else if (
                error >= 0 &&
                (json_set_string(result, "id", c->id) < 0 ||
                 json_set(result, "conversations", live_in(c->workspaces, c->id)) < 0)) {
                error = -ENOMEM;
                text = "out of memory";
        }
        c->reply(error, text, error < 0 ? NULL : result, c->userdata);
}

static bool is_known(Workspaces *w, const char *id) {
        _cleanup_close_ int fd = open_directory(w);
        _cleanup_free_ char *found = NULL;
        char key[WORKSPACE_KEY_SIZE];

        if (fd < 0 || !ident_is_valid(id))
                return false;
        workspace_key(id, key);
        found = read_id(fd, key);
        return found;
}

int workspaces_call(
        Workspaces *w,
        const char *id,
        bool remove,
        bool force,
        WorkspaceReply reply,
        void *userdata,
        WorkspaceCall **ret) {
        const OperationContext context = {
                .event = w->ctx->event,
                .bus = w->ctx->bus,
                .watch = w->ctx->watch,
                .state_fd = w->ctx->state_fd,
        };
        _cleanup_json_ Json *live = NULL;
        WorkspaceCall *c;
        unsigned n = 0;
        int k;

        if (!is_known(w, id))
                return -ENOENT;
        live = live_in(w, id);
        if (!live)
                return -ENOMEM;
        if ((remove && json_object_array_length(live) > 0) || workspaces_is_removed(w, id))
                return -EBUSY;
        for (c = w->calls; c; c = c->next)
                n++;
        if (n >= WORKSPACE_CALLS_MAX)
                return -EAGAIN;
        c = new0(WorkspaceCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (WorkspaceCall){
                .workspaces = w,
                .next = w->calls,
                .id = strdup(id),
                .remove = remove,
                .reply = reply,
                .userdata = userdata,
        };
        w->calls = c;
        k = c->id ? directory_call_start(
                            &context,
                            w->git,
                            id,
                            !remove       ? DIRECTORY_MEASURE :
                                    force ? DIRECTORY_REMOVE_FORCE :
                                            DIRECTORY_REMOVE,
                            on_directory,
                            c,
                            &c->directory) :
                    -ENOMEM;
        if (k < 0) {
                workspace_call_free(c);
                return k;
        }
        *ret = c;
        return 0;
}

int workspaces_new(
        const RunContext *ctx,
        const GitConfig *git,
        const Registry *conversations,
        Workspaces **ret) {
        Workspaces *w = new0(Workspaces, 1);

        if (!w)
                return -ENOMEM;
        *w = (Workspaces){ .ctx = ctx, .git = git, .conversations = conversations };
        *ret = w;
        return 0;
}

Workspaces *workspaces_free(Workspaces *w) {
        free(w);
        return NULL;
}
