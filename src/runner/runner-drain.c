/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-check.h"
#include "runner/runner-drain.h"

/* Draining: nothing new is taken, and what is here is ended in good order, each conversation when its turn is over, the
 * tasks that it left in the background are done, and what it said was acknowledged. The state and its deadline are in the
 * store, so a restart continues with them. */

#define DRAINING "draining"
#define DEADLINE "drainUntil" /* CLOCK_REALTIME, in microseconds */
/* Processes end without a word. */
#define PROCESSES_USEC (1 * USEC_PER_SEC)

struct Drain {
        const RunContext *ctx;
        const Registry *conversations;
        Shutdown *shutdown;
        Announcer *announcer;
        bool draining;
        bool is_past_deadline; /* the deadline has passed */
        unsigned total;        /* conversations when it began */
        uint64_t left_usec;    /* at the start, of a deadline that was set before */
        sd_event_source *source, *deadline, *processes;
};

/* ret_wait: only processes are in the way. */
static bool may_end(Conversation *c, bool *ret_wait) {
        if (!conversation_is_live(c) || conversation_is_stopping(c) || !c->run || conversation_is_frozen(c))
                return false;
        /* A checkout or a start that is under way becomes a turn; the end comes after that. */
        if (c->row.state != CONVERSATION_LIVE || c->n_pending > 0)
                return false;
        if (run_phase(c->run) != DRIVER_IDLE || run_background(c->run) > 0)
                return false;
        if (conversation_queued_events(c) > 0)
                return false;
        if (!run_driver_ops(c->run)->processes_are_tasks || run_count_processes(c->run) <= 1)
                return true;
        *ret_wait = true;
        return false;
}

static void stop(Drain *d, Conversation *c) {
        conversation_stop(
                c,
                &(StopOrder){
                        .cause = STOP_BY_DRAIN,
                        .grace_usec = d->ctx->config->stop_grace_ms * USEC_PER_MSEC,
                });
}

static int on_processes(sd_event_source *source, uint64_t usec, void *userdata) {
        drain_check(userdata);
        return 0;
}

static void check_again(Drain *d) {
        int k = oneshot_start(&d->processes, d->ctx->event, PROCESSES_USEC, on_processes, d);

        if (k < 0)
                log_error_errno(k, "Failed to set the timer for background tasks: %m");
}

static int on_drain(sd_event_source *source, void *userdata) {
        Drain *d = userdata;
        bool wait = false;

        if (!d->draining || d->ctx->broken)
                return 0;
        for (Conversation *c = registry_next(d->conversations, NULL), *next; c; c = next) {
                next = registry_next(d->conversations, c);
                if (may_end(c, &wait)) {
                        LOG_ABOUT_CONVERSATION(c);

                        log_info(
                                "Conversation %s is idle and is ended, because this runner is draining.",
                                c->row.id);
                        stop(d, c);
                }
        }
        if (wait)
                check_again(d);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Drain *d = userdata;

        if (!d->draining)
                return 0;
        d->is_past_deadline = true;
        log_notice(
                "The time for draining has expired: stopping %u conversations.",
                registry_count_live(d->conversations));
        for (Conversation *c = registry_next(d->conversations, NULL), *next; c; c = next) {
                next = registry_next(d->conversations, c);
                if (conversation_is_live(c) && !conversation_is_stopping(c))
                        stop(d, c);
        }
        return 0;
}

bool drain_stop_late(Drain *d, Conversation *c) {
        if (!d->draining || !d->is_past_deadline)
                return false;
        stop(d, c);
        return true;
}

int drain_new(
        const RunContext *ctx,
        const Registry *conversations,
        Shutdown *shutdown,
        Announcer *announcer,
        Drain **ret) {
        Drain *d = new0(Drain, 1);
        int k;

        if (!d)
                return -ENOMEM;
        *d = (Drain){
                .ctx = ctx,
                .conversations = conversations,
                .shutdown = shutdown,
                .announcer = announcer,
                .left_usec = USEC_INFINITY,
        };
        k = sd_event_add_defer(ctx->event, &d->source, on_drain, d);
        if (k >= 0) {
                (void) sd_event_source_set_description(d->source, "drain");
                k = sd_event_source_set_priority(d->source, SD_EVENT_PRIORITY_IDLE);
        }
        if (k >= 0)
                k = sd_event_source_set_enabled(d->source, SD_EVENT_OFF);
        if (k < 0) {
                drain_free(d);
                return k;
        }
        *ret = d;
        return 0;
}

Drain *drain_free(Drain *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->source);
        sd_event_source_disable_unref(d->deadline);
        sd_event_source_disable_unref(d->processes);
        free(d);
        return NULL;
}

bool drain_is_on(const Drain *d) {
        return d->draining;
}

unsigned drain_get_total(const Drain *d) {
        return d->total;
}

void drain_check(Drain *d) {
        shutdown_check(d->shutdown);
        if (d->draining)
                (void) sd_event_source_set_enabled(d->source, SD_EVENT_ONESHOT);
}

void drain_set(Drain *d, bool draining, uint64_t deadline_usec) {
        int k = 0;

        d->draining = draining;
        d->is_past_deadline = false;
        d->total = draining ? MAX(d->total, registry_count_live(d->conversations)) : 0;
        d->deadline = sd_event_source_disable_unref(d->deadline);
        if (draining && deadline_usec != USEC_INFINITY)
                k = oneshot_start(&d->deadline, d->ctx->event, deadline_usec, on_deadline, d);
        if (k < 0)
                log_error_errno(k, "Failed to set the timer for the end of draining: %m");
        drain_check(d);
        announcer_changed(d->announcer);
}

int drain_store(Drain *d, bool draining, uint64_t deadline_usec) {
        _cleanup_free_ char *until = NULL;
        int k;

        if (draining && deadline_usec != USEC_INFINITY) {
                deadline_usec += now_usec(CLOCK_REALTIME);
                until = xasprintf("%llu", (unsigned long long) deadline_usec);
                if (!until)
                        return -ENOMEM;
        }
        k = store_set(d->ctx->store, DRAINING, draining ? "1" : NULL);
        return k < 0 ? k : store_set(d->ctx->store, DEADLINE, until);
}

void drain_load(Drain *d) {
        _cleanup_free_ char *draining = NULL, *until = NULL;
        uint64_t at, now = now_usec(CLOCK_REALTIME);

        d->draining = store_get(d->ctx->store, DRAINING, &draining) > 0;
        d->left_usec = USEC_INFINITY;
        if (d->draining && store_get(d->ctx->store, DEADLINE, &until) > 0 && safe_atou64(until, &at) >= 0)
                d->left_usec = at > now ? at - now : 0;
}

void drain_resume(Drain *d) {
        drain_set(d, d->draining, d->left_usec);
}
