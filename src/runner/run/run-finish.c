/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/host/shutdown-watch.h"
#include "runner/run/verdict.h"
#include "runner/scope/run-folder.h"

/* Runs whose conclusion has killed the runner so often are concluded without what may have done it. */
#define CONCLUSION_CRASHES_MAX 2

/* The end of a conversation's run: one transaction says it to everybody who will ask, then it is told. */

static int copy_member(Json *to, Json *from, const char *name) {
        Json *v = json_get(from, name);
        return v ? json_set(to, name, json_object_get(v)) : 0;
}

/* The members of conversation.ended, as an object. */
static int describe_end(Conversation *c, Run *run, const char *reason, const char *text, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        int r;

        if (!o)
                return -ENOMEM;
        r = json_set_string(o, "reason", reason);
        if (r < 0)
                return r;
        (void) json_set_string(o, "detail", text);
        (void) json_set_string(o, "sessionId", c->row.session);
        (void) json_set_string(o, "directory", c->row.directory);
        if (!run || (!run_conclusion_is_short(run) && run->ops != &none_driver_ops))
                (void) json_set(o, "usage", conversation_usage_json(c));
        if (run && run->git)
                (void) json_set(o, "git", json_object_get(run->git));
        else if (c->row.branch) {
                Json *git = json_object_new_object();
                (void) json_set_string(git, "branch", c->row.branch);
                (void) json_set(o, "git", git);
        }
        if (run && run->outcome) {
                (void) copy_member(o, run->outcome, "exitCode");
                (void) copy_member(o, run->outcome, "signal");
                (void) copy_member(o, run->outcome, "resources");
                (void) copy_member(o, run->outcome, "stage");
                (void) copy_member(o, run->outcome, "errno");
                (void) copy_member(o, run->outcome, "outFull");
        } else if (run && run->usage)
                (void) json_set(o, "resources", json_object_get(run->usage));
        if (c->stop != STOP_NONE)
                (void) json_set_string(o, "stoppedBy", "runner");
        else if (run && run->outcome)
                (void) copy_member(o, run->outcome, "stoppedBy");
        else if (streq(reason, "shutdown") || (run && run->stopped_usec > 0))
                (void) json_set_string(o, "stoppedBy", "systemd");
        (void) json_set_u64(o, "outBytes", run ? run->row.driven : 0);
        *ret = TAKE_PTR(o);
        return 0;
}

/* The text between the braces of an object. */
static char *members_of(Json *o) {
        const char *text = json_text(o);
        size_t n = strlen(text);

        return n >= 2 ? strndup(text + 1, n - 2) : NULL;
}

typedef struct Undelivered {
        struct {
                int64_t seq;
                char *envelope_id, *request_id, *method;
                bool has_response;
        } list[256];
        size_t n;
} Undelivered;

static int collect_pending(const InboundMessage *m, void *userdata) {
        Undelivered *u = userdata;

        if (u->n >= ELEMENTSOF(u->list))
                return 1;
        u->list[u->n].seq = m->seq;
        u->list[u->n].envelope_id = strdup(m->envelope_id);
        u->list[u->n].method = strdup(m->method);
        u->list[u->n].request_id = m->request_id ? strdup(m->request_id) : NULL;
        u->list[u->n++].has_response = m->response;
        return 0;
}

/* What was accepted and can never be delivered now is reported; a stop that waited gets its answer. */
static int settle_pending(Conversation *c, const char *reason, Undelivered *u, char **ret_stop_response) {
        int r;

        do {
                size_t from = u->n;
                r = store_pending_inbound(c->ctx->run.store, c->row.id, collect_pending, u);
                if (r < 0)
                        return r;
                for (size_t i = from; i < u->n; i++) {
                        bool stop = streq(u->list[i].method, "conversation.stop");

                        if (stop && !u->list[i].has_response && u->list[i].request_id) {
                                _cleanup_free_ char *response = xasprintf(
                                                "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"conversationId\":\"%s\","
                                                "\"stopped\":true,\"reason\":\"%s\"},\"messageId\":\"rsp:%s\"}",
                                                u->list[i].request_id,
                                                c->row.id,
                                                reason,
                                                u->list[i].envelope_id);
                                if (!response)
                                        return -ENOMEM;
                                r = store_set_response(c->ctx->run.store, u->list[i].seq, response);
                                if (r < 0)
                                        return r;
                                free(*ret_stop_response);
                                *ret_stop_response = TAKE_PTR(response);
                        } else if (streq(u->list[i].method, "message.user")) {
                                r = conversation_report(
                                                c,
                                                "message-not-delivered",
                                                "The conversation ended before the agent could take this message.",
                                                u->list[i].envelope_id);
                                if (r < 0)
                                        return r;
                        }
                        r = store_inbound_done(c->ctx->run.store, u->list[i].seq);
                        if (r < 0)
                                return r;
                }
                if (u->n == from)
                        return 0;
        } while (u->n < ELEMENTSOF(u->list));
        return 0;
}

static void undelivered_done(Undelivered *u) {
        for (size_t i = 0; i < u->n; i++) {
                free(u->list[i].envelope_id);
                free(u->list[i].request_id);
                free(u->list[i].method);
        }
}

static int store_end(Conversation *c, Run *run, const char *reason, Json *end, Undelivered *u) {
        _cleanup_free_ char *members = members_of(end), *id = NULL, *stop_response = NULL;
        int r;

        if (!members)
                return -ENOMEM;
        r = settle_pending(c, reason, u, &stop_response);
        if (r < 0)
                return r;
        id = xasprintf("%s:end", run->row.run_id);
        if (!id)
                return -ENOMEM;
        r = conversation_emit(c, id, "conversation.ended", members);
        if (r < 0)
                return r;
        r = free_and_strdup(&run->row.state, "ended");
        if (r < 0)
                return r;
        run->row.ended_usec = now_usec(CLOCK_REALTIME);
        if (run->row.out_bytes == UINT64_MAX)
                run->row.out_bytes = run->row.driven;
        r = run_store_driven(run);
        if (r < 0)
                return r;
        r = run_store_row(run);
        if (r < 0)
                return r;
        r = run_limits_forget(run);
        if (r >= 0)
                r = run_runtime_forget(run);
        if (r < 0)
                return r;
        c->row.ended_usec = run->row.ended_usec;
        if (free_and_strdup(&c->row.state, "ended") < 0 || free_and_strdup(&c->row.reason, reason) < 0 ||
            free_and_strdup(&c->row.detail, json_text(end)) < 0)
                return -ENOMEM;
        c->row.delivered = !c->source;
        return conversation_store_row(c);
}

static void log_end(Conversation *c, const char *reason, const char *text) {
        LOG_CONTEXT(log);
        bool good = streq(reason, "completed") || streq(reason, "stopped");

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", c->row.id);
        log_context_push(&log, "NORTHFLARE_TASK_ID", c->row.task);
        log_context_push(&log, "NORTHFLARE_WORKSPACE_ID", c->row.workspace);
        log_context_push(&log, "NORTHFLARE_REASON", reason);
        log_full(good ? LOG_INFO : LOG_WARNING,
                 0,
                 good ? NF_MESSAGE_CONVERSATION_ENDED : NF_MESSAGE_CONVERSATION_FAILED,
                 "Conversation %s ended: %s%s%s.",
                 c->row.id,
                 reason,
                 text ? ", " : "",
                 strempty(text));
}

static void finish(Conversation *c, Run *run, const char *reason, const char *text) {
        _cleanup_(undelivered_done) Undelivered u = {};
        _cleanup_json_ Json *end = NULL;
        int r;

        r = describe_end(c, run, reason, text, &end);
        if (r >= 0)
                r = store_begin(c->ctx->run.store);
        if (r >= 0) {
                r = store_end(c, run, reason, end, &u);
                if (r < 0)
                        store_rollback(c->ctx->run.store);
                else
                        r = store_commit(c->ctx->run.store);
        }
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        conversation_stop_forget(c);
        c->n_pending = 0;
        log_end(c, reason, text);
        run->watch = watch_slot_free(run->watch);
        run->check_timer = sd_event_source_disable_unref(run->check_timer);
        run_folder_mark_conclusion(run->dirfd, false);
        /* Who still reads its output has the file open himself. */
        run->dirfd = safe_close(run->dirfd);
        run->outfd = safe_close(run->outfd);
        run_limits_close(run);
        run->ops->usage(run->driver, &c->usage);
        conversation_send_wake(c);
        conversation_events_wake(c);
        for (size_t i = 0; i < u.n; i++)
                if (streq(u.list[i].method, "conversation.stop"))
                        c->ctx->hooks->responded(c, u.list[i].seq, reason, c->ctx->userdata);
        conversation_changed(c);
        conversation_shrink(c);
        /* Whoever called us still has the run: it goes in a turn of its own. */
        (void) sd_event_source_set_enabled(run->drive_source, SD_EVENT_ONESHOT);
        c->ctx->hooks->ended(c, c->ctx->userdata);
}

static void
on_collected(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Run *r = userdata;

        r->verb_call = launcher_call_free(r->verb_call);
        if (error < 0)
                log_debug_errno(error, "Collecting %s: %s", strempty(r->row.unit), strempty(text));
}

/* It ended while the machine went down, and nobody was there to hear of it. */
static bool is_of_an_earlier_boot(Run *r) {
        uint64_t ended = r->stopped_usec;

        return (!r->outcome || json_get_u64(r->outcome, "endedUsec", &ended) > 0) && ended > 0 &&
                        ended < now_usec(CLOCK_REALTIME) - now_usec(CLOCK_BOOTTIME);
}

static void on_system(bool stopping, void *userdata) {
        Run *r = userdata;

        r->system_question = sd_bus_slot_unref(r->system_question);
        r->system_stops = stopping;
        run_conclude(r);
}

/* Where systemd stopped it and has not said yet that it stops everything: true where an answer is under way. */
static bool ask_system(Run *r) {
        bool by_systemd = r->stopped_usec > 0 ||
                        streq_ptr(json_get_string(r->outcome, "stoppedBy"), "systemd");

        if (r->system_asked || !by_systemd || r->conversation->ctx->run.shutting_down)
                return r->system_question != NULL;
        r->system_asked = true;
        return shutdown_ask(r->conversation->ctx->run.bus, on_system, r, &r->system_question) >= 0;
}

bool run_conclusion_is_short(Run *r) {
        return r->row.conclusion_crashes >= CONCLUSION_CRASHES_MAX;
}

/* Of the supervisor's few words the reason, and nothing that is read, asked or summed up. */
static void conclude_short(Run *r) {
        Conversation *c = r->conversation;
        _cleanup_free_ char *text = NULL;
        const char *reason;

        reason = verdict_reason(&(VerdictInput){
                        .outcome = r->outcome,
                        .result = r->result,
                        .stop_requested = c->stop != STOP_NONE,
                        .stop_reason = c->stop_reason,
                        .shutdown = c->ctx->run.shutting_down,
        });
        text = xasprintf(
                        "the runner died %u times while it concluded this run: the rest of its output, its usage and the state "
                        "of its checkout are left out",
                        r->row.conclusion_crashes);
        log_error("Conversation %s is concluded in short: %s.", c->row.id, strempty(text));
        r->row.out_bytes = r->row.driven;
        finish(c, r, reason, text);
}

void run_conclude(Run *r) {
        Conversation *c = r->conversation;
        const char *reason, *text = r->failure;
        _cleanup_free_ char *detail = NULL;

        if (streq(r->row.state, "ended"))
                return;
        if (run_conclusion_is_short(r)) {
                if (!c->ctx->run.broken)
                        conclude_short(r);
                return;
        }
        /* While another process is asked, nothing here can be what kills us. */
        run_folder_mark_conclusion(r->dirfd, false);
        if (ask_system(r) || run_ask_git(r))
                return;
        run_folder_mark_conclusion(r->dirfd, true);
        if (!r->outcome && !r->usage)
                r->usage = run_limits_usage(r);
        run_limits_finish(r, r->outcome ? json_get(r->outcome, "resources") : r->usage);
        if (c->ctx->run.broken)
                return;
        reason = verdict_reason(&(VerdictInput){
                        .outcome = r->outcome,
                        .result = r->result,
                        .stop_requested = c->stop != STOP_NONE && !r->failure,
                        .stop_reason = c->stop_reason,
                        .end_requested = r->end_sent,
                        .shutdown = c->ctx->run.shutting_down || r->system_stops || is_of_an_earlier_boot(r),
                        .stopped_by_systemd = r->stopped_usec > 0,
                        .oom = run_limits_oom(r, r->outcome),
                        .last_turn_failed = r->ops->last_turn_failed(r->driver),
                        .failure = r->failure,
        });
        if (!text && streq(reason, "budget") && run_budget_spent(r)) {
                detail = xasprintf("its budget is spent: %s", run_budget_spent(r));
                text = detail;
        }
        if (!text && r->silent)
                text = "the agent said nothing for so long as timeouts.silenceSec allows";
        if (!text && run_limits_oomd(r))
                text = "killed by systemd-oomd, for want of memory on this machine";
        if (!text && streq(reason, "oom-killed") && run_limits_oom_by_workspace(r, r->outcome))
                text = "the workspace's memoryMax was reached, which its conversations share";
        if (!text && json_get_string(r->outcome, "stage")) {
                uint64_t error = 0;

                (void) json_get_u64(r->outcome, "errno", &error);
                detail = xasprintf("the agent could not be executed: %s", strerror((int) error));
                text = detail;
        }
        if (!r->outcome && r->cgroup && (streq(reason, "lost") || streq(reason, "oom-killed")))
                (void) conversation_report(
                                c,
                                "supervisor-lost",
                                "northflare-supervisor was killed, and what it had left with it",
                                NULL);
        /* A failed scope keeps its name and its Result until somebody says that both were read. One that has not failed is
         * gone by itself; to start the launcher for it would take back a stop of the whole slice, which that one wants. */
        if (r->row.unit && (r->result ? !streq(r->result, "success") : !r->outcome)) {
                /* What was asked of the scope before that is answered by its end. */
                r->verb_call = launcher_call_free(r->verb_call);
                (void) launcher_unit_verb(
                                c->ctx->run.bus, "Collect", r->row.unit, on_collected, r, &r->verb_call);
        }
        finish(c, r, reason, text);
}

void conversation_fail(Conversation *c, const char *reason, const char *text) {
        assert(c->run);
        c->checkout = checkout_free(c->checkout);
        c->run->row.out_bytes = c->run->row.driven;
        c->run->over = true;
        finish(c, c->run, reason, text);
}
