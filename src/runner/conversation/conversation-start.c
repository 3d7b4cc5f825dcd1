/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/buffer.h"
#include "common/ident.h"
#include "common/log-ids.h"
#include "common/log.h"
#include "common/repository-rule.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-run.h"
#include "runner/conversation/conversation-spec.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-agent.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-runtime.h"
#include "runner/run/run-start.h"
#include "runner/run/run-state.h"
#include "runner/run/run-watchdog.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"
#include "runner/store/transaction.h"

/* Brings a conversation from its acceptance to the agent's first byte. Every step takes its position from the rows, so
 * that the next runner resumes there after a kill. */

int conversation_prepare_run(Conversation *c, const char *resume_session) {
        _cleanup_(run_row_done) RunRow row = {};
        _cleanup_json_ Json *spec = NULL;
        int r;

        conversation_take_agent_config(c);
        r = conversation_take_params(c);
        if (r < 0)
                return r;
        r = conversation_make_spec(c, resume_session, &spec);
        if (r < 0)
                return r;
        row = (RunRow){
                .conversation = strdup(c->row.id),
                .run = c->row.run + 1,
                .state = RUN_PREPARING,
                .spec = strdup(json_text(spec)),
                .out_bytes = UINT64_MAX,
        };
        if (!row.conversation || !row.spec)
                return -ENOMEM;
        (void) snprintf(row.run_id, sizeof(row.run_id), "%016llx", (unsigned long long) random_u64());
        r = store_put_run(c->ctx->run.store, &row);
        if (r < 0)
                return r;
        c->row.run = row.run;
        conversation_send_next_run(c);
        /* The new run is not being stopped, even if a stop is stored under its number. */
        r = conversation_stop_unstore(c);
        if (r < 0)
                return r;
        conversation_stop_done(&c->stop);
        conversation_git_done(&c->git);
        c->last_phase = PHASE_NONE;
        c->run = run_free(c->run);
        r = conversation_make_run(c, &row);
        return r < 0 ? r : conversation_store_row(c);
}

static int set_state(Conversation *c, ConversationState state) {
        conversation_row_set_state(&c->row, state);
        return conversation_store_row(c);
}

/* ---- checkout ---- */

static void on_progress(Json *progress, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        if (json_object_is_type(progress, json_type_object) && json_object_object_length(progress) > 0 &&
            conversation_emit(c, NULL, "git.progress", progress) >= 0)
                conversation_changed(c);
}

static int emit_checkout_failed(Conversation *c, const char *text) {
        _cleanup_json_ Json *params = json_object_new_object();

        if (!params || json_set_bool(params, "ok", false) < 0 ||
            json_set_text(params, "text", strempty(text)) < 0)
                return -ENOMEM;
        return conversation_emit(c, NULL, "git.result", params);
}

static int emit_checkout(Conversation *c, const char *directory, const char *branch, const char *head) {
        _cleanup_json_ Json *params = json_object_new_object();

        if (!params || json_set_bool(params, "ok", true) < 0 ||
            json_set_text(params, "directory", directory) < 0 ||
            json_set_text(params, "branch", strempty(branch)) < 0 ||
            json_set_text(params, "head", strempty(head)) < 0)
                return -ENOMEM;
        return conversation_emit(c, NULL, "git.result", params);
}

/* Stores the facts with which the start continues: the directory of the checkout, and what is reported of it. */
static int store_checkout(Conversation *c, const char *directory, const char *branch, const char *head) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(c->ctx->run.store, &t);
        if (r >= 0 &&
            (free_and_strdup(&c->row.directory, directory) < 0 ||
             free_and_strdup(&c->row.branch, branch) < 0))
                r = -ENOMEM;
        if (r >= 0)
                r = set_state(c, CONVERSATION_STARTING);
        if (r >= 0)
                r = emit_checkout(c, directory, branch, head);
        return transaction_finish(&t, r);
}

static void on_checkout(
        int error,
        const char *text,
        const char *directory,
        const char *branch,
        const char *head,
        void *userdata) {
        Conversation *c = userdata;
        int r;
        LOG_ABOUT_CONVERSATION(c);

        c->checkout = checkout_free(c->checkout);
        if (error < 0) {
                if (error == -ECHILD)
                        (void) conversation_report(c, "git-lost", strempty(text), NULL);
                (void) emit_checkout_failed(c, text);
                conversation_fail_start(c, text);
                return;
        }
        r = store_checkout(c, directory, branch, head);
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        conversation_changed(c);
        conversation_advance(c);
}

static void start_checkout(Conversation *c) {
        const OperationContext context = {
                .event = c->ctx->run.event,
                .bus = c->ctx->run.bus,
                .watch = c->ctx->run.watch,
                .state_fd = c->ctx->run.state_fd,
        };
        int r;

        r = set_state(c, CONVERSATION_CHECKOUT);
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        r = checkout_start(
                &context,
                &c->ctx->git,
                c->row.id,
                c->row.workspace,
                json_get(c->params, "repository"),
                on_progress,
                on_checkout,
                c,
                &c->checkout);
        if (r < 0) {
                _cleanup_free_ char *text = xasprintf("failed to start the checkout: %s", strerror(-r));
                conversation_fail_start(c, strempty(text));
        }
}

/* ---- the process ---- */

static uint64_t runtime_max_secs(Conversation *c) {
        uint64_t seconds = 0;

        if (json_get_u64(json_get(c->params, "limits"), "runtimeMaxSec", &seconds) <= 0)
                seconds = c->ctx->run.config->limits.runtime_max_sec;
        return seconds;
}

static Timeouts timeouts(Conversation *c) {
        Timeouts ret = {
                .silence_usec = c->ctx->run.config->silence_secs * USEC_PER_SEC,
                .answer_usec = c->ctx->run.config->answer_secs * USEC_PER_SEC,
        };
        _cleanup_free_ char *error = NULL;

        /* The parameter was checked when the message came. */
        (void) timeouts_parse(json_get(c->params, "timeouts"), &ret, &error);
        return ret;
}

int conversation_begin_clocks(Conversation *c) {
        Timeouts t = timeouts(c);
        int r = run_runtime_begin(c->run, runtime_max_secs(c));

        return r < 0 ? r : run_watchdog_begin(c->run, &t);
}

int conversation_restore_clocks(Conversation *c) {
        Timeouts t = timeouts(c);
        int r = run_runtime_restore(c->run, runtime_max_secs(c)), k;

        if (r < 0)
                log_warning_errno(r, "Failed to read the clock of conversation %s: %m", c->row.id);
        run_runtime_freeze(c->run, run_is_frozen(c->run));
        k = run_watchdog_begin(c->run, &t);
        if (k < 0)
                log_warning_errno(k, "Failed to start the timeouts of conversation %s: %m", c->row.id);
        run_watchdog_freeze(c->run, run_is_frozen(c->run));
        return r < 0 ? r : k;
}

static int emit_started(Conversation *c) {
        _cleanup_json_ Json *params = json_object_new_object();
        Json *limits;

        if (!params || json_set_text(params, "agent", c->row.agent) < 0 ||
            json_set_string(params, "scope", run_row(c->run)->unit) < 0 ||
            json_set_text(params, "directory", c->row.directory) < 0 ||
            json_set_text(params, "branch", c->row.branch) < 0 ||
            json_set_bool(params, "repositoryTrusted", conversation_trusted_by(c)) < 0)
                return -ENOMEM;
        limits = run_limits_describe(c->run);
        if (limits && json_set(params, "limits", limits) < 0)
                return -ENOMEM;
        return conversation_emit(c, NULL, "conversation.started", params);
}

static int store_started(Conversation *c, const char *unit, const char *invocation) {
        int r;

        r = run_store_started(c->run, unit, invocation);
        if (r >= 0)
                r = set_state(c, CONVERSATION_LIVE);
        if (r < 0)
                return r;
        run_limits_open(c->run);
        r = conversation_begin_clocks(c);
        if (r < 0)
                return r;
        r = emit_started(c);
        return r < 0 ? r : conversation_emit_state(c);
}

static int store_start(Conversation *c, const char *unit, const char *invocation) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(c->ctx->run.store, &t);
        if (r >= 0)
                r = store_started(c, unit, invocation);
        return transaction_finish(&t, r);
}

static void log_start(Conversation *c) {
        const char *rule = conversation_trusted_by(c);
        LOG_ABOUT_CONVERSATION(c); /* now that it has a scope */

        log_full(
                LOG_INFO,
                0,
                NF_MESSAGE_CONVERSATION_STARTED,
                "Conversation %s runs in %s (agent %s, repository %s%s).",
                c->row.id,
                run_row(c->run)->unit,
                c->row.agent,
                rule ? "trusted by " : "not trusted",
                strempty(rule));
}

int conversation_adopt_started(Conversation *c, const char *unit) {
        int r = store_start(c, unit, NULL);

        if (r >= 0)
                conversation_announce(c);
        return r;
}

void conversation_on_started(const char *unit, const char *invocation, void *userdata) {
        Conversation *c = userdata;
        int r;
        LOG_ABOUT_CONVERSATION(c);

        r = store_start(c, unit, invocation);
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        log_start(c);
        conversation_changed(c);
        if (conversation_is_stopping(c)) {
                conversation_stop_resume(c);
                return;
        }
        conversation_pump_input(c);
        run_wake(c->run);
}

void conversation_on_launcher_lost(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        (void) conversation_report(c, "launcher-lost", "northflare-launcher ended during a start", NULL);
        conversation_announce(c);
}

void conversation_on_start_again(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        conversation_row_set_state(&c->row, CONVERSATION_STARTING);
        conversation_advance(c);
}

void conversation_on_start_failed(const char *text, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        conversation_fail_start(c, text);
}

int conversation_on_starting(void *userdata) {
        return set_state(userdata, CONVERSATION_STARTING);
}

/* Describes the conversation for a store that has to be created again. */
static int describe_for_adoption(Conversation *c, Json **ret) {
        _cleanup_json_ Json *a = json_object_new_object(), *params = NULL;
        int r;

        r = a ? conversation_all_params(c, &params) : -ENOMEM;
        if (r < 0)
                return r;
        (void) json_set_string(a, "agent", c->row.agent);
        (void) json_set_string(a, "origin", c->row.origin);
        (void) json_set_string(a, "workspaceId", c->row.workspace);
        (void) json_set_string(a, "taskId", c->row.task);
        (void) json_set_string(a, "directory", c->row.directory);
        (void) json_set_string(a, "branch", c->row.branch);
        (void) json_set_u64(a, "createdUsec", c->row.created_usec);
        (void) json_set(a, "params", TAKE_PTR(params));
        *ret = TAKE_PTR(a);
        return 0;
}

static int start_run(Conversation *c, char **ret_error) {
        _cleanup_json_ Json *adoption = NULL;
        int r;

        r = describe_for_adoption(c, &adoption);
        if (r < 0)
                return r;
        c->send.dirty = true; /* how much of its first input is written */
        return run_start(
                c->run,
                &(RunStartParams){
                        .agent_config = c->agent_config,
                        .limits = json_get(c->params, "limits"),
                        .adoption = adoption,
                        .directory = c->row.directory,
                },
                ret_error);
}

bool conversation_refuse_start(Conversation *c) {
        if (!conversation_is_live(c) || c->row.state == CONVERSATION_LIVE)
                return false;
        /* The configuration of the agent is half of what is started. */
        if (!run_failure(c->run) && !conversation_knows_agent(c))
                (void) run_set_failure(c->run, run_unknown_agent_text(c->row.agent));
        if (!run_failure(c->run))
                return false;
        conversation_fail_start(c, run_failure(c->run));
        return true;
}

/* Reports whether the run can be started. If a checkout is needed, begins it. False: it is under way. */
static bool has_checkout(Conversation *c) {
        if (c->row.state != CONVERSATION_NEW && c->row.state != CONVERSATION_CHECKOUT)
                return true;
        if (json_get(c->params, "repository") && !c->row.branch) {
                start_checkout(c);
                return false;
        }
        conversation_row_set_state(&c->row, CONVERSATION_STARTING);
        return true;
}

void conversation_advance(Conversation *c) {
        _cleanup_free_ char *error = NULL;
        int k;
        LOG_ABOUT_CONVERSATION(c);

        if (!c->ctx->run.ready || c->ctx->run.broken || !conversation_is_live(c) || c->held || c->checkout ||
            !c->run || run_start_is_under_way(c->run))
                return;
        if (conversation_refuse_start(c) || !has_checkout(c) || c->row.state != CONVERSATION_STARTING)
                return;
        k = start_run(c, &error);
        if ((k == -ENOSPC || k == -EDQUOT) && !c->ctx->run.broken) {
                /* The conversation did not cause this, and nothing of it has begun. */
                log_warning_errno(k, "Conversation %s waits for free disk space to start: %m", c->row.id);
                c->ctx->hooks->no_room(c->ctx->userdata);
                return;
        }
        if (k < 0 && !c->ctx->run.broken) {
                if (!error)
                        error = xasprintf("failed to start the agent: %s", strerror(-k));
                conversation_fail_start(c, strempty(error));
        }
}
