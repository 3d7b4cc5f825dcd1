/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "runner/conversation/conversation-internal.h"

/* What the agent left in its checkout: asked of northflare-git as the agent user when the run is over, before its end is
 * told. A checkout that cannot be asked costs the answer, never the end. */

#define STATUS_USEC (20 * USEC_PER_SEC)

static void on_line(Operation *o, const char *line, size_t size, void *userdata) {
        static const char *const names[] = { "branch", "head", "dirty", "unpushed" };
        _cleanup_json_ Json *answer = NULL, *git = NULL;
        Run *r = userdata;

        if (json_parse(line, size, &answer, NULL) < 0 || !streq_ptr(json_get_string(answer, "type"), "result"))
                return;
        git = json_object_new_object();
        if (!git)
                return;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Json *v = json_get(answer, names[i]);
                if (v && json_set(git, names[i], json_object_get(v)) < 0)
                        return;
        }
        if (r->git)
                json_object_put(r->git);
        r->git = TAKE_PTR(git);
}

static void on_done(Operation *o, int error, const char *text, int exit_status, void *userdata) {
        Run *r = userdata;

        if (error < 0 || exit_status != 0)
                log_debug_errno(error, "The checkout of conversation %s cannot be asked: %s", r->conversation->row.id,
                                strempty(text));
        r->git_status = operation_free(r->git_status);
        run_conclude(r);
}

bool run_ask_git(Run *r) {
        static char *const argv[] = { (char *) NF_LIBEXECDIR "/northflare-git", (char *) "status", NULL };
        Conversation *c = r->conversation;
        _cleanup_buffer_ Buffer input = {};
        int k;

        if (r->git_asked || !c->row.branch || !c->row.directory || !c->ctx->ready)
                return r->git_status != NULL;
        r->git_asked = true;
        (void) buffer_append_str(&input, "{\"verb\":\"status\",\"directory\":");
        (void) buffer_append_json_str(&input, c->row.directory);
        if (buffer_append_str(&input, "}\n") < 0)
                return false;
        k = operation_start(
                        &(OperationContext) {
                                        .event = c->ctx->event,
                                        .bus = c->ctx->bus,
                                        .watch = c->ctx->watch,
                                        .state_fd = c->ctx->state_fd,
                        },
                        &(OperationParams) {
                                        .kind = LAUNCHER_HOOK,
                                        .id = c->row.id,
                                        .workspace = c->row.workspace,
                                        .argv = argv,
                                        .input = input.data,
                                        .input_size = input.size,
                                        .extra = { -EBADF, -EBADF },
                                        .timeout_usec = STATUS_USEC,
                                        .line = on_line,
                                        .done = on_done,
                                        .userdata = r,
                        },
                        &r->git_status);
        if (k < 0)
                log_debug_errno(k, "The checkout of conversation %s cannot be asked: %m", c->row.id);
        return k >= 0;
}
