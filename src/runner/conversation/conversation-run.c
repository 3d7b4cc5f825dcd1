/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-apply.h"
#include "runner/conversation/conversation-control.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-run.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/budget.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-watchdog.h"
#include "runner/store/store-conversation.h"

/* Receives the reports of a run, and applies them to its conversation. */

static int on_effects(const RunEffects *effects, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        return conversation_apply(c, &(ConversationEffects){ .run = effects });
}

static bool on_is_session(const char *session, void *userdata) {
        Conversation *c = userdata;

        return streq_ptr(session, c->row.session);
}

static void stop_in_order(Conversation *c, StopCause cause) {
        conversation_stop(
                c,
                &(StopOrder){
                        .cause = cause,
                        .grace_usec = c->ctx->run.config->stop_grace_ms * USEC_PER_MSEC,
                });
}

/* Called before the next waiting message is written for the agent. */
static void stop_at_budget(Conversation *c) {
        DriverUsage usage;
        const char *what;

        if (run_has_ended(c->run) || conversation_is_stopping(c) || run_phase(c->run) != DRIVER_IDLE)
                return;
        run_usage(c->run, &usage);
        what = budget_spent(json_get(c->params, "budget"), &usage);
        if (!what)
                return;
        log_notice("Conversation %s has exhausted its budget (%s) and is stopped.", c->row.id, what);
        stop_in_order(c, STOP_BY_BUDGET);
}

static void on_driven(bool progress, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        stop_at_budget(c);
        if (progress) {
                c->last_event_usec = now_usec(CLOCK_REALTIME);
                c->events_added = true;
        }
        conversation_announce(c);
        if (progress) {
                (void) conversation_write_input(c);
                conversation_pump_input(c);
                run_watchdog_update(c->run, true);
        }
        /* The stop does not wait for the rest of the output, which may grow faster than it is read. */
        if (run_failure(c->run) && !run_end_was_sent(c->run) && !conversation_is_stopping(c))
                conversation_stop(c, &(StopOrder){ .cause = STOP_BY_FAILURE });
}

static int on_event(const char *method, Json *params, void *userdata) {
        return conversation_emit(userdata, NULL, method, params);
}

static void on_changed(void *userdata) {
        conversation_changed(userdata);
}

static void on_directory(const char *path, void *userdata) {
        Conversation *c = userdata;

        if (!c->row.directory)
                (void) free_and_strdup(&c->row.directory, path);
}

static void on_ordered(LauncherVerb verb, int error, const char *text, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        /* Whether all of it is dead shows in its cgroup, and a Kill is ordered again for as long as it is not. */
        if (!conversation_is_live(c) || verb == LAUNCHER_KILL)
                return;
        /* The thaw for the stop is the last one: nothing else orders one once the stop has begun. */
        if (verb == LAUNCHER_THAW && c->stop.thaws && !run_has_order(c->run, LAUNCHER_THAW))
                conversation_stop_thawed(c, error);
        else
                conversation_control_done(c, verb, error, text);
}

static void on_frozen(bool frozen, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        conversation_set_frozen(c, frozen);
}

static void on_time_over(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        log_notice("Conversation %s has reached its runtimeMaxSec and is stopped.", c->row.id);
        stop_in_order(c, STOP_BY_RUNTIME);
}

static void on_silent(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        log_notice(
                "The agent of conversation %s is silent (timeouts.silenceSec) and is stopped.", c->row.id);
        stop_in_order(c, STOP_BY_SILENCE);
}

static void on_store_failed(int error, void *userdata) {
        Conversation *c = userdata;

        c->ctx->hooks->store_failed(error, c->ctx->userdata);
}

static void on_no_room(void *userdata) {
        Conversation *c = userdata;

        c->ctx->hooks->no_room(c->ctx->userdata);
}

static const RunOps ops = {
        .effects = on_effects,
        .is_session = on_is_session,
        .driven = on_driven,
        .event = on_event,
        .changed = on_changed,
        .directory = on_directory,
        .starting = conversation_on_starting,
        .started = conversation_on_started,
        .launcher_lost = conversation_on_launcher_lost,
        .start_again = conversation_on_start_again,
        .start_failed = conversation_on_start_failed,
        .ordered = on_ordered,
        .frozen = on_frozen,
        .time_over = on_time_over,
        .silent = on_silent,
        .deny = conversation_on_deny,
        .ending = conversation_on_ending,
        .ended = conversation_on_ended,
        .released = conversation_on_released,
        .store_failed = on_store_failed,
        .no_room = on_no_room,
};

int conversation_make_run(Conversation *c, RunRow *row_consume) {
        LOG_ABOUT_CONVERSATION(c);

        return run_new(
                &(RunParams){ .context = &c->ctx->run,
                              .agent = c->row.agent,
                              .agent_config = c->agent_config,
                              .task = c->row.task,
                              .workspace = c->row.workspace,
                              .ops = &ops,
                              .userdata = c },
                row_consume,
                &c->run);
}
