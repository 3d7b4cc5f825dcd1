/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "runner/bus/variant-json.h"
#include "runner/bus/workspace-bus.h"

/* Methods about workspaces: the reply is sent when a process of the agent user has inspected the workspace. */

struct BusWorkspaceCall {
        BusWorkspaceCall *next;
        BusObjects *bus_objects;
        sd_bus_message *request;
        WorkspaceCall *call;
        bool describe;
};

static void call_free(BusWorkspaceCall *c) {
        for (BusWorkspaceCall **p = &c->bus_objects->workspace_calls; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        workspace_call_free(c->call);
        sd_bus_message_unref(c->request);
        free(c);
}

void workspace_bus_cancel(BusObjects *b) {
        while (b->workspace_calls)
                call_free(b->workspace_calls);
}

static void on_reply(int error, const char *text, Json *result, void *userdata) {
        BusWorkspaceCall *c = userdata;

        int r = 1;

        if (error < 0)
                bus_answer_error(
                        c->request,
                        error == -ENOTEMPTY ? BUS_ERROR_WRONG_STATE : BUS_ERROR_FAILED,
                        isempty(text) ? strerror(-error) : text);
        else if (c->describe)
                r = bus_answer_json(
                        c->request,
                        result,
                        BUS_CONTENTS_MAX,
                        "Inspect the directory of the workspace instead.");
        else
                r = bus_answer(c->request, "");
        if (r < 0)
                bus_answer_errno(c->request, r);
        call_free(c);
}

static int start(const BusRequest *q, const char *id, bool remove, bool force, sd_bus_error *error) {
        BusWorkspaceCall *c = new0(BusWorkspaceCall, 1);
        int r;

        if (!c)
                return -ENOMEM;
        *c = (BusWorkspaceCall){
                .next = q->bus_objects->workspace_calls,
                .bus_objects = q->bus_objects,
                .request = sd_bus_message_ref(q->message),
                .describe = !remove,
        };
        q->bus_objects->workspace_calls = c;
        r = workspaces_call(
                runner_get_workspaces(q->bus_objects->runner), id, remove, force, on_reply, c, &c->call);
        if (r >= 0)
                return 1;
        call_free(c);
        if (r == -ENOENT)
                return bus_error(
                        error,
                        BUS_ERROR_NO_SUCH_WORKSPACE,
                        "There is no workspace \"%.*s\" here.",
                        utf8_cut(id, 64),
                        id);
        if (r == -EBUSY)
                return bus_error(
                        error,
                        BUS_ERROR_WRONG_STATE,
                        "The workspace is in use by a conversation, or is being removed.");
        if (r == -EAGAIN)
                return bus_error(
                        error,
                        SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "%d workspaces are already being inspected, try again later.",
                        WORKSPACE_CALLS_MAX);
        return r;
}

int workspace_bus_list(const BusRequest *q, sd_bus_error *error) {
        _cleanup_json_ Json *list = NULL;
        int r = workspaces_list(runner_get_workspaces(q->bus_objects->runner), &list);

        return r < 0 ? r :
                       bus_answer_json(
                               q->message,
                               list,
                               BUS_LIST_MAX,
                               "Use RemoveWorkspace() to remove workspaces that are no longer used.");
}

int workspace_bus_describe(const BusRequest *q, sd_bus_error *error) {
        const char *id;
        int r = sd_bus_message_read(q->message, "s", &id);

        return r < 0 ? r : start(q, id, false, false, error);
}

int workspace_bus_remove(const BusRequest *q, sd_bus_error *error) {
        static const BusKey keys[] = {
                { "force", json_type_boolean },
                {},
        };
        _cleanup_json_ Json *options = json_object_new_object();
        bool force = false;
        const char *id;
        int r;

        if (!options)
                return -ENOMEM;
        r = sd_bus_message_read(q->message, "s", &id);
        if (r >= 0)
                r = bus_message_read_params(q->message, keys, options, error);
        if (r < 0)
                return r;
        (void) json_get_bool(options, "force", &force);
        return start(q, id, true, force, error);
}
