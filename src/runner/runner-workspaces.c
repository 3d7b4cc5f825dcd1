/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "common/ident.h"
#include "common/log.h"
#include "runner/runner-internal.h"
#include "runner/store/store-conversation.h"
#include "runner/workspace/folder.h"

/* Which workspaces there are on this machine: a file `workspaces/<key>` for each, with its id in it, whose time is that of
 * the last conversation. The folders themselves are agent users', under names that do not tell the id, and conversations are
 * forgotten before their workspace is gone. */

#define FOLDER_NAME "workspaces"

struct WorkspaceCall {
        Runner *runner;
        WorkspaceCall *next;
        char *id;
        bool remove;
        Folder *folder;
        WorkspaceReply reply;
        void *userdata;
};

static int open_folder(Runner *r) {
        return mkdir_open_at(r->state_fd, FOLDER_NAME, 0700);
}

void runner_workspace_note(Runner *r, const char *id, bool used) {
        _cleanup_close_ int fd = open_folder(r);
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
                log_debug_errno(k, "Workspace %s cannot be noted, ignoring: %m", id);
}

static int note_row(const ConversationRow *row, void *userdata) {
        runner_workspace_note(userdata, row->workspace, false);
        return 0;
}

void runner_workspaces_open(Runner *r) {
        int k;

        /* Once, for those of a runner that did not take notes: one that was removed is not to come back. */
        if (faccessat(r->state_fd, FOLDER_NAME, F_OK, 0) >= 0)
                return;
        k = store_list_conversations(r->store, false, note_row, r);
        if (k < 0)
                log_debug_errno(k, "Workspaces of old conversations cannot be looked for, ignoring: %m");
}

/* The live conversations of a workspace. */
static Json *live_in(Runner *r, const char *id) {
        Json *list = json_object_new_array();

        for (Conversation *c = registry_next(r->conversations, NULL); list && c;
             c = registry_next(r->conversations, c))
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

static int add_entry(Runner *r, int fd, const char *key, Json *list) {
        _cleanup_free_ char *id = read_id(fd, key);
        char stamp[TIMESTAMP_MAX];
        struct stat st;
        Json *o;

        if (!id || fstatat(fd, key, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        o = json_object_new_object();
        if (!o || json_set_string(o, "id", id) < 0 || json_set_string(o, "key", key) < 0 ||
            json_set_string(o,
                            "lastUsedAt",
                            format_timestamp((uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC, stamp)) < 0 ||
            json_set(o, "conversations", live_in(r, id)) < 0 || json_object_array_add(list, o) < 0) {
                json_object_put(o);
                return -ENOMEM;
        }
        return 0;
}

int runner_list_workspaces(Runner *r, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        int fd = open_folder(r), k = 0;
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
                k = add_entry(r, dirfd(d), e->d_name, list);
        (void) closedir(d);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(list);
        return 0;
}

bool runner_workspace_is_removed(Runner *r, const char *id) {
        for (WorkspaceCall *c = r->workspace_calls; c; c = c->next)
                if (c->remove && streq(c->id, id))
                        return true;
        return false;
}

WorkspaceCall *workspace_call_free(WorkspaceCall *c) {
        if (!c)
                return NULL;
        for (WorkspaceCall **p = &c->runner->workspace_calls; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        folder_free(c->folder);
        free(c->id);
        free(c);
        return NULL;
}

static void forget(Runner *r, const char *id) {
        _cleanup_close_ int fd = open_folder(r);
        char key[WORKSPACE_KEY_SIZE];

        workspace_key(id, key);
        if (fd < 0 || unlinkat(fd, key, 0) < 0)
                log_warning_errno(fd < 0 ? fd : errno, "Workspace %s cannot be forgotten: %m", id);
        log_notice("Workspace %s is removed.", id);
}

static void on_folder(int error, const char *text, Json *result, void *userdata) {
        WorkspaceCall *c = userdata;

        c->folder = folder_free(c->folder);
        if (error >= 0 && c->remove) {
                /* Nothing is there any more, and nobody may begin in it before that is known. */
                c->remove = false;
                forget(c->runner, c->id);
        } else if (error >= 0 &&
                   (json_set_string(result, "id", c->id) < 0 ||
                    json_set(result, "conversations", live_in(c->runner, c->id)) < 0)) {
                error = -ENOMEM;
                text = "out of memory";
        }
        c->reply(error, text, error < 0 ? NULL : result, c->userdata);
}

static bool is_known(Runner *r, const char *id) {
        _cleanup_close_ int fd = open_folder(r);
        _cleanup_free_ char *found = NULL;
        char key[WORKSPACE_KEY_SIZE];

        if (fd < 0 || !ident_is_valid(id))
                return false;
        workspace_key(id, key);
        found = read_id(fd, key);
        return found;
}

int runner_workspace_call(
                Runner *r,
                const char *id,
                bool remove,
                bool force,
                WorkspaceReply reply,
                void *userdata,
                WorkspaceCall **ret) {
        const OperationContext context = {
                .event = r->event,
                .bus = r->bus,
                .watch = r->ctx.run.watch,
                .state_fd = r->state_fd,
        };
        _cleanup_json_ Json *live = NULL;
        WorkspaceCall *c;
        unsigned n = 0;
        int k;

        if (!is_known(r, id))
                return -ENOENT;
        live = live_in(r, id);
        if (!live)
                return -ENOMEM;
        if ((remove && json_object_array_length(live) > 0) || runner_workspace_is_removed(r, id))
                return -EBUSY;
        for (c = r->workspace_calls; c; c = c->next)
                n++;
        if (n >= WORKSPACE_CALLS_MAX)
                return -EAGAIN;
        c = new0(WorkspaceCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (WorkspaceCall){
                .runner = r,
                .next = r->workspace_calls,
                .id = strdup(id),
                .remove = remove,
                .reply = reply,
                .userdata = userdata,
        };
        r->workspace_calls = c;
        k = c->id ? folder_start(&context,
                                 &r->ctx.git,
                                 id,
                                 !remove               ? FOLDER_MEASURE :
                                                 force ? FOLDER_REMOVE_FORCE :
                                                         FOLDER_REMOVE,
                                 on_folder,
                                 c,
                                 &c->folder) :
                    -ENOMEM;
        if (k < 0) {
                workspace_call_free(c);
                return k;
        }
        *ret = c;
        return 0;
}
