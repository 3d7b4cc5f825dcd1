/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/host/shutdown-watch.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-end.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-orders.h"
#include "runner/scope/run-directory.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"

/* Runs whose conclusion has killed the runner so often are concluded without what may have done it. */
#define CONCLUSION_CRASHES_MAX 2

void run_end_done(RunEnd *e) {
        e->question = sd_bus_slot_unref(e->question);
        if (e->outcome)
                json_object_put(e->outcome);
        if (e->usage)
                json_object_put(e->usage);
        free(e->result);
        *e = (RunEnd){};
}

void run_end_begin(Run *r, Json *outcome_consume, const char *result) {
        uint64_t end;

        r->end.outcome = outcome_consume;
        if (result)
                (void) free_and_strdup(&r->end.result, result);
        if (outcome_consume && json_get_u64(outcome_consume, "outBytes", &end) > 0)
                r->row.out_bytes = MAX(end, r->row.driven);
        /* Otherwise no process writes any more: its end is where the last complete line ends, which is found by
         * reading to it. */
        r->ended = true;
        run_directory_mark_conclusion(r->dirfd, true);
}

void run_end_without_process(Run *r) {
        r->row.out_bytes = r->row.driven;
        r->ended = true;
}

/* It ended while the machine went down, and no runner was there. */
static bool is_of_an_earlier_boot(const RunEnd *e) {
        uint64_t ended = e->stopped_usec;

        return (!e->outcome || json_get_u64(e->outcome, "endedUsec", &ended) > 0) && ended > 0 &&
                ended < now_usec(CLOCK_REALTIME) - now_usec(CLOCK_BOOTTIME);
}

static void on_system(bool stopping, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        r->end.question = sd_bus_slot_unref(r->end.question);
        r->end.system = stopping ? SYSTEM_STOPS : SYSTEM_STAYS;
        run_conclude(r);
}

/* Where systemd stopped it and has not said yet that it stops everything: true where an answer is under way. */
static bool ask_system(Run *r) {
        RunEnd *e = &r->end;
        bool by_systemd = e->stopped_usec > 0 ||
                streq_ptr(json_get_string(e->outcome, "stoppedBy"), "systemd");

        if (e->system != SYSTEM_NOT_ASKED || !by_systemd || r->ctx->shutting_down)
                return e->question != NULL;
        e->system = SYSTEM_ASKED;
        return shutdown_ask(r->ctx->bus, on_system, r, &e->question) >= 0;
}

bool run_conclusion_is_short(const Run *r) {
        return r->row.conclusion_crashes >= CONCLUSION_CRASHES_MAX;
}

Json *run_resources(const Run *r) {
        return r->end.outcome ? json_get(r->end.outcome, "resources") : r->end.usage;
}

/* A failed scope keeps its name and its Result until a program confirms that both were read. One that has not failed
 * is gone by itself; to start the launcher for it would take back a stop of the whole slice, which that one wants. */
static void collect_scope(Run *r) {
        if (!r->row.unit || (r->end.result ? streq(r->end.result, "success") : r->end.outcome != NULL))
                return;
        /* What was asked of the scope before is answered by its end. */
        run_forget_orders(r);
        run_order_unheard(r, LAUNCHER_COLLECT);
}

/* Of the supervisor's few words, and nothing that is read, asked or summed up. */
static void conclude_short(Run *r) {
        r->row.out_bytes = r->row.driven;
        r->report->ended(
                &(RunEndFacts){ .outcome = r->end.outcome,
                                .result = r->end.result,
                                .shutdown = r->ctx->shutting_down,
                                .stopped_by_systemd = r->end.stopped_usec > 0,
                                .is_short = true },
                r->userdata);
}

void run_conclude(Run *r) {
        RunEnd *e = &r->end;

        if (r->row.state == RUN_ENDED)
                return;
        if (run_conclusion_is_short(r)) {
                if (!r->ctx->broken)
                        conclude_short(r);
                return;
        }
        /* While another process is asked, nothing here can be what kills us. */
        run_directory_mark_conclusion(r->dirfd, false);
        if (ask_system(r) || r->report->ending(r->userdata))
                return;
        run_directory_mark_conclusion(r->dirfd, true);
        if (!e->outcome && !e->usage)
                e->usage = run_limits_usage(r);
        run_limits_finish(r, run_resources(r));
        if (r->ctx->broken)
                return;
        collect_scope(r);
        r->report->ended(
                &(RunEndFacts){
                        .outcome = e->outcome,
                        .resources = run_resources(r),
                        .result = e->result,
                        .shutdown = r->ctx->shutting_down || e->system == SYSTEM_STOPS ||
                                is_of_an_earlier_boot(e),
                        .stopped_by_systemd = e->stopped_usec > 0,
                        .oom = run_limits_oom(r, e->outcome),
                        .oom_by_workspace = run_limits_oom_by_workspace(r, e->outcome),
                        .oomd = run_limits_oomd(r),
                        .last_turn_failed = r->ops->last_turn_failed(r->driver),
                        .supervisor_lost = !e->outcome && r->check.cgroup,
                },
                r->userdata);
}

int run_store_end(Run *r) {
        int k;

        run_row_set_state(&r->row, RUN_ENDED);
        r->row.ended_usec = now_usec(CLOCK_REALTIME);
        if (r->row.out_bytes == UINT64_MAX)
                r->row.out_bytes = r->row.driven;
        k = run_store_driven(r);
        if (k >= 0)
                k = store_put_run(r->ctx->store, &r->row);
        if (k >= 0)
                k = run_limits_forget(r);
        return k < 0 ? k : run_runtime_forget(r);
}
