/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/ident.h"
#include "common/json-scan.h"
#include "common/log.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-start.h"
#include "runner/method/method-params.h"
#include "runner/method/method-start.h"
#include "runner/run/budget.h"
#include "runner/run/timeouts.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-internal.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"

/* What begins a run: conversation.start and conversation.resume, and all that is asked of their parameters. */

/* A message may be larger than what a conversation keeps of it. */
static void check_size(MethodCall *c) {
        const char *text = json_text(c->params);
        size_t size = strlen(text), at;
        Slice prompt = {};

        if (json_scan_check_bounded(text, size, CONVERSATION_VALUES_MAX, JSON_DEPTH_MAX, &at))
                method_refuse(
                        c,
                        RPC_INVALID_PARAMS,
                        "there are more than %zu values in the parameters",
                        CONVERSATION_VALUES_MAX);
        (void) json_scan_member((Slice){ text, size }, "prompt", &prompt);
        if (size - prompt.size > CONVERSATION_BYTES_MAX)
                method_refuse(
                        c,
                        RPC_INVALID_PARAMS,
                        "the parameters beside prompt have %zu bytes, more than %zu",
                        size - prompt.size,
                        CONVERSATION_BYTES_MAX);
}

static void check_agent(MethodCall *c, const char *agent) {
        Json *config = json_get(c->runner->config->agents, agent);
        const char *protocol = json_get_string(config, "protocol");
        const DriverOps *ops = driver_find(protocol ? protocol : agent);
        _cleanup_free_ char *error = NULL;

        if (!ops) {
                method_refuse(
                        c,
                        RPC_AGENT_NOT_AVAILABLE,
                        "agent %s is not configured: add it to \"agents\" in the runner's configuration",
                        agent);
                return;
        }
        if (ops->probe(config, &error) < 0)
                method_refuse(
                        c, RPC_AGENT_NOT_AVAILABLE, "%s", error ? error : "the agent's program is missing");
}

/* What every new process must pass. */
static void check_room(MethodCall *c) {
        static const int codes[_ADMISSION_MAX] = {
                [ADMISSION_DRAINING] = RPC_DRAINING,
                [ADMISSION_CAPACITY] = RPC_AT_CAPACITY,
                [ADMISSION_DISK] = RPC_LOW_DISK,
                [ADMISSION_MEMORY] = RPC_MACHINE_BUSY,
                [ADMISSION_MEMORY_PRESSURE] = RPC_MACHINE_BUSY,
                [ADMISSION_CPU_PRESSURE] = RPC_MACHINE_BUSY,
                [ADMISSION_UNACKNOWLEDGED] = RPC_AT_CAPACITY,
        };
        Admission a;

        if (c->code != 0)
                return;
        a = admission_gate_ask(c->runner->gate);
        if (!admission_is_for_origin(a, c->conversation ? c->conversation->row.origin : c->origin))
                return;
        _cleanup_free_ char *text = admission_gate_text(c->runner->gate);
        method_refuse(c, codes[a], "%s", strempty(text));
        c->reason = admission_to_string(a);
}

static void check_workspace(MethodCall *c, const char *workspace) {
        if (workspaces_is_removed(c->runner->workspaces, workspace))
                method_refuse(c, RPC_WRONG_STATE, "workspace %s is being removed", workspace);
}

static void starting(MethodCall *c, Conversation *v) {
        c->result = json_object_new_object();
        (void) json_set_string(c->result, "conversationId", v->row.id);
        (void) json_set_string(c->result, "state", conversation_state(v));
}

static int make_conversation(MethodCall *c, const char *id, const char *workspace, const char *agent) {
        Runner *r = c->runner;
        const char *directory = json_get_string(c->params, "directory"),
                   *task = json_get_string(c->params, "taskId");
        ConversationRow row = {
                .id = strdup(id),
                .workspace = strdup(workspace ? workspace : id),
                .agent = strdup(agent),
                .origin = strdup(c->origin),
                .params = strdup(json_text(c->params)),
                .state = CONVERSATION_NEW,
                .created_usec = now_usec(CLOCK_REALTIME),
        };

        if (task || c->task)
                row.task = strdup(task ? task : c->task);
        if (!directory && !json_get(c->params, "repository"))
                directory = r->config->workspace_dir;
        if (directory)
                row.directory = strdup(directory);
        if (!row.id || !row.workspace || !row.agent || !row.origin || !row.params) {
                conversation_row_done(&row);
                return -ENOMEM;
        }
        return conversation_new(r->ctx, &row, &c->created);
}

void method_check_start(MethodCall *c) {
        const char *id = method_id_param(c, "conversationId", true),
                   *workspace = method_id_param(c, "workspaceId", false),
                   *agent = method_id_param(c, "agent", true);
        Json *repository = json_get(c->params, "repository");
        _cleanup_free_ char *error = NULL;

        (void) method_id_param(c, "taskId", false);
        if (c->code != 0)
                return;
        Conversation *known = runner_find_conversation(c->runner, id);
        if (known) {
                /* Idempotent by id. A takeover of what we have ourselves is the same. */
                starting(c, known);
                return;
        }
        check_size(c);
        method_check_types(c);
        check_agent(c, agent);
        method_check_policy(c);
        if (c->code == 0 && json_get(c->params, "directory") && streq(c->origin, "orchestrator"))
                method_refuse(
                        c,
                        RPC_NOT_ALLOWED,
                        "directory is supported only for conversations that are started on this machine");
        if (c->code == 0 && json_get(c->params, "budget") &&
            budget_check(json_get(c->params, "budget"), &error) < 0)
                method_refuse(c, RPC_INVALID_PARAMS, "%s", strempty(error));
        if (c->code == 0 && timeouts_parse(json_get(c->params, "timeouts"), &(Timeouts){}, &error) < 0)
                method_refuse(c, RPC_INVALID_PARAMS, "%s", strempty(error));
        if (c->code == 0 && repository && checkout_check(repository, &c->runner->ctx->git, &error) < 0)
                method_refuse(c, RPC_INVALID_PARAMS, "%s", strempty(error));
        check_room(c);
        check_workspace(c, workspace ? workspace : id);
        if (c->code != 0)
                return;
        if (make_conversation(c, id, workspace, agent) < 0) {
                method_refuse(c, RPC_INTERNAL_ERROR, "out of memory");
                return;
        }
        starting(c, c->created);
        c->pending = true;
}

int method_store_start(MethodCall *c) {
        if (!c->created)
                return 0;
        int r = conversation_store_row(c->created);
        return r < 0 ? r : conversation_prepare_run(c->created, NULL);
}

void method_act_start(MethodCall *c) {
        Conversation *v = c->created;

        if (!v)
                return;
        c->created = NULL;
        v->n_pending = 1;
        runner_add_conversation(c->runner, v);
        totals_started(c->runner->totals, v);
        workspaces_note(c->runner->workspaces, v->row.workspace, true);
        conversation_advance(v);
}

void method_check_resume(MethodCall *c) {
        const char *id = method_id_param(c, "conversationId", true);

        (void) method_id_param(c, "sessionId", false);
        method_check_types(c);
        if (c->code != 0)
                return;
        c->conversation = runner_find_conversation(c->runner, id);
        if (!c->conversation) {
                if (json_get(c->params, "agent"))
                        method_check_start(c); /* it lived elsewhere: all that is needed came along */
                else
                        method_refuse(c, RPC_UNKNOWN_CONVERSATION, "conversation %s is not known here", id);
                return;
        }
        if (conversation_is_live(c->conversation)) {
                method_refuse(c, RPC_WRONG_STATE, "conversation %s is running", id);
                return;
        }
        check_agent(c, c->conversation->row.agent);
        check_room(c);
        check_workspace(c, c->conversation->row.workspace);
        if (c->code != 0)
                return;
        c->result = json_object_new_object();
        (void) json_set_string(c->result, "conversationId", id);
        (void) json_set_string(c->result, "state", "starting");
        c->pending = true;
}

int method_store_resume(MethodCall *c) {
        Conversation *v = c->conversation;
        const char *session = json_get_string(c->params, "sessionId");
        int r;

        if (c->created)
                return method_store_start(c);
        if (!v || c->code != 0)
                return 0;
        r = conversation_take_all(v);
        if (r < 0)
                return r;
        conversation_row_set_state(&v->row, CONVERSATION_NEW);
        conversation_row_set_reason(&v->row, END_NONE);
        (void) free_and_strdup(&v->row.detail, NULL);
        v->row.ended_usec = 0;
        v->row.delivered = false;
        return conversation_prepare_run(v, session ? session : v->row.session);
}

void method_act_resume(MethodCall *c) {
        if (c->created) {
                method_act_start(c);
                return;
        }
        if (!c->conversation || c->code != 0)
                return;
        c->conversation->n_pending = 1;
        registry_count_resume(c->runner->conversations);
        totals_started(c->runner->totals, c->conversation);
        workspaces_note(c->runner->workspaces, c->conversation->row.workspace, true);
        conversation_changed(c->conversation);
        conversation_advance(c->conversation);
}
