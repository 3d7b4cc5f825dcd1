/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/runner-internal.h"

/* Draining: nothing new is taken, and what is here is ended in good order, each conversation when its turn is over, the
 * tasks that it left in the background are done, and what it said was acknowledged. The state and its deadline are in the
 * store, so a restart goes on with them. */

#define DRAINING "draining"
#define DEADLINE "drainUntil" /* CLOCK_REALTIME, in microseconds */
/* Processes end without a word. */
#define PROCESSES_USEC (1 * USEC_PER_SEC)

/* ret_wait: only processes are in the way. */
static bool may_end(Conversation *c, bool *ret_wait) {
        if (!conversation_is_live(c) || c->stop != STOP_NONE || !c->run || !c->run->driver || c->frozen)
                return false;
        /* A checkout or a start that is under way becomes a turn; the end comes after that. */
        if (!streq(c->row.state, "live") || c->n_pending > 0)
                return false;
        if (c->run->ops->phase(c->run->driver) != DRIVER_IDLE || c->run->ops->background(c->run->driver) > 0)
                return false;
        if (conversation_queued_events(c) > 0)
                return false;
        if (!c->run->ops->processes_are_tasks || run_count_processes(c->run) <= 1)
                return true;
        *ret_wait = true;
        return false;
}

static int on_processes(sd_event_source *source, uint64_t usec, void *userdata) {
        runner_drain_look(userdata);
        return 0;
}

static void look_again(Runner *r) {
        int k;

        if (!r->drain_processes)
                k = sd_event_add_time_relative(
                                r->event,
                                &r->drain_processes,
                                CLOCK_MONOTONIC,
                                PROCESSES_USEC,
                                PROCESSES_USEC / 10,
                                on_processes,
                                r);
        else {
                k = sd_event_source_set_time_relative(r->drain_processes, PROCESSES_USEC);
                if (k >= 0)
                        k = sd_event_source_set_enabled(r->drain_processes, SD_EVENT_ONESHOT);
        }
        if (k < 0)
                log_error_errno(k, "No timer for tasks in the background: %m");
}

static int on_drain(sd_event_source *source, void *userdata) {
        Runner *r = userdata;
        bool wait = false;

        if (!r->draining || r->ctx.run.broken)
                return 0;
        for (Conversation *c = registry_next(r->conversations, NULL), *next; c; c = next) {
                next = registry_next(r->conversations, c);
                if (may_end(c, &wait)) {
                        log_info("Conversation %s is idle and is ended, since this runner drains.",
                                 c->row.id);
                        conversation_stop(c, "drain", r->config->stop_grace_ms * USEC_PER_MSEC);
                }
        }
        if (wait)
                look_again(r);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Runner *r = userdata;

        if (!r->draining)
                return 0;
        log_notice("The time for draining is over: %u conversations are stopped.",
                   registry_count_live(r->conversations));
        for (Conversation *c = registry_next(r->conversations, NULL), *next; c; c = next) {
                next = registry_next(r->conversations, c);
                if (conversation_is_live(c) && c->stop == STOP_NONE)
                        conversation_stop(c, "drain", r->config->stop_grace_ms * USEC_PER_MSEC);
        }
        return 0;
}

int runner_drain_open(Runner *r) {
        int k;

        k = sd_event_add_defer(r->event, &r->drain_source, on_drain, r);
        if (k < 0)
                return k;
        (void) sd_event_source_set_description(r->drain_source, "drain");
        k = sd_event_source_set_priority(r->drain_source, SD_EVENT_PRIORITY_IDLE);
        return k < 0 ? k : sd_event_source_set_enabled(r->drain_source, SD_EVENT_OFF);
}

void runner_drain_look(Runner *r) {
        runner_shutdown_look(r);
        if (r->draining && r->drain_source)
                (void) sd_event_source_set_enabled(r->drain_source, SD_EVENT_ONESHOT);
}

void runner_set_draining(Runner *r, bool draining, uint64_t deadline_usec) {
        int k = 0;

        r->draining = draining;
        r->drain_total = draining ? MAX(r->drain_total, registry_count_live(r->conversations)) : 0;
        r->drain_deadline = sd_event_source_disable_unref(r->drain_deadline);
        if (draining && deadline_usec != USEC_INFINITY)
                k = sd_event_add_time_relative(
                                r->event,
                                &r->drain_deadline,
                                CLOCK_MONOTONIC,
                                deadline_usec,
                                0,
                                on_deadline,
                                r);
        if (k < 0)
                log_error_errno(k, "No timer for the end of draining: %m");
        runner_drain_look(r);
        announcer_changed(r->announcer);
}

int runner_store_draining(Runner *r, bool draining, uint64_t deadline_usec) {
        _cleanup_free_ char *until = NULL;
        int k;

        if (draining && deadline_usec != USEC_INFINITY) {
                deadline_usec += now_usec(CLOCK_REALTIME);
                until = xasprintf("%llu", (unsigned long long) deadline_usec);
                if (!until)
                        return -ENOMEM;
        }
        k = store_set(r->store, DRAINING, draining ? "1" : NULL);
        return k < 0 ? k : store_set(r->store, DEADLINE, until);
}

void runner_load_draining(Runner *r) {
        _cleanup_free_ char *draining = NULL, *until = NULL;
        uint64_t at, now = now_usec(CLOCK_REALTIME);

        r->draining = store_get(r->store, DRAINING, &draining) > 0;
        r->drain_left_usec = USEC_INFINITY;
        if (r->draining && store_get(r->store, DEADLINE, &until) > 0 && safe_atou64(until, &at) >= 0)
                r->drain_left_usec = at > now ? at - now : 0;
}
