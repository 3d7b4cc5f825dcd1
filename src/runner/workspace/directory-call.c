/* SPDX-License-Identifier: MIT */
#include "common/git-url.h"
#include "common/ident.h"
#include "runner/workspace/directory-call.h"
#include "runner/workspace/git-call.h"

#define CHECKOUTS_MAX 256
#define PATH_LENGTH_MAX 1024

struct DirectoryCall {
        GitCall *call;
        char key[WORKSPACE_KEY_SIZE];
        DirectoryCallDone done;
        void *userdata;
};

DirectoryCall *directory_call_free(DirectoryCall *f) {
        if (!f)
                return NULL;
        git_call_free(f->call);
        free(f);
        return NULL;
}

static int copy_u64(Json *to, Json *from, const char *name) {
        uint64_t value;

        return json_get_u64(from, name, &value) > 0 ? json_set_u64(to, name, value) : 0;
}

static int copy_bool(Json *to, Json *from, const char *name) {
        bool value;

        return json_get_bool(from, name, &value) > 0 ? json_set_bool(to, name, value) : 0;
}

static int copy_string(Json *to, Json *from, const char *name, bool (*is_valid)(const char *)) {
        const char *s = json_get_string(from, name);

        return s && is_valid(s) ? json_set_string(to, name, s) : 0;
}

static bool path_is_valid(const char *s) {
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
                        return false;
        return s[0] == '/' && n < PATH_LENGTH_MAX;
}

static int copy_checkouts(Json *to, Json *from) {
        Json *list = json_object_new_array(), *source = json_get(from, "checkouts");
        int r = json_set(to, "checkouts", list);

        for (size_t i = 0; r >= 0 && i < MIN(json_length(source), (size_t) CHECKOUTS_MAX); i++) {
                Json *s = json_object_array_get_idx(source, i), *o = json_object_new_object();

                if (!o || copy_string(o, s, "conversation", ident_is_valid) < 0 ||
                    copy_string(o, s, "branch", gitref_branch_is_valid) < 0 ||
                    copy_string(o, s, "head", gitref_commit_is_valid) < 0 || copy_u64(o, s, "bytes") < 0 ||
                    copy_u64(o, s, "files") < 0 || copy_u64(o, s, "unpushed") < 0 ||
                    copy_bool(o, s, "dirty") < 0 || copy_bool(o, s, "unreadable") < 0 ||
                    json_object_array_add(list, o) < 0) {
                        json_object_put(o);
                        r = -ENOMEM;
                }
        }
        return r;
}

static void on_done(int error, const char *text, Json *result, void *userdata) {
        DirectoryCall *f = userdata;
        _cleanup_json_ Json *o = json_object_new_object();

        if (error < 0) {
                f->done(error, text, NULL, f->userdata);
                return;
        }
        if (!o || copy_string(o, result, "directory", path_is_valid) < 0 ||
            copy_string(o, result, "user", ident_is_valid) < 0 || copy_u64(o, result, "bytes") < 0 ||
            copy_u64(o, result, "files") < 0 || copy_bool(o, result, "partial") < 0 ||
            copy_checkouts(o, result) < 0)
                f->done(-ENOMEM, "out of memory", NULL, f->userdata);
        else
                f->done(0, NULL, o, f->userdata);
}

int directory_call_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *workspace,
        DirectoryVerb verb,
        DirectoryCallDone done,
        void *userdata,
        DirectoryCall **ret) {
        _cleanup_(directory_call_freep) DirectoryCall *f = new0(DirectoryCall, 1);
        _cleanup_json_ Json *request = json_object_new_object();
        int r;

        if (!f || !request)
                return -ENOMEM;
        f->done = done;
        f->userdata = userdata;
        workspace_key(workspace, f->key);
        if (json_set_string(request, "key", f->key) < 0 ||
            json_set_bool(request, "force", verb == DIRECTORY_REMOVE_FORCE) < 0)
                return -ENOMEM;
        r = git_call_start(
                context,
                &(GitCallParams){
                        .kind = SCOPE_HOOK,
                        .verb = verb == DIRECTORY_MEASURE ? "measure" : "remove",
                        .id = f->key,
                        .workspace = workspace,
                        .request = request,
                        .bounds = config->bounds,
                        .credential_fd = -EBADF,
                        .timeout_usec = config->timeout_usec,
                        .done = on_done,
                        .userdata = f,
                },
                &f->call);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}
