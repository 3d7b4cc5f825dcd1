/* SPDX-License-Identifier: MIT */
#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "runner/runner-internal.h"

/* The machine goes down. While logind waits for us, conversations are ended in good order and reported; those that are
 * left are stopped by systemd with their scopes, before it stops us. Then we wait a little for what they had to say. What
 * is not acknowledged by then is in the store and is sent after the next start. */

/* Of the time that logind gives, for the reports behind the ends. */
#define REPORT_USEC (2 * USEC_PER_SEC)

static bool is_reported(Runner *r) {
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (conversation_is_live(c) || (c->source && conversation_queued_events(c) > 0))
                        return false;
        return true;
}

/* Whether waiting could be of any use. */
static bool may_report(Runner *r) {
        if (!r->link || !link_is_connected(r->link)) {
                for (Conversation *c = registry_next(r->conversations, NULL); c;
                     c = registry_next(r->conversations, c))
                        if (conversation_is_live(c))
                                return true;
                return false;
        }
        return !is_reported(r);
}

void runner_shutdown_look(Runner *r) {
        if (!r->ctx.run.shutting_down || may_report(r))
                return;
        if (r->exit_timer)
                (void) sd_event_exit(r->event, 0);
        else if (r->shutdown)
                shutdown_watch_release(r->shutdown);
}

static void on_begun(uint64_t waits_usec, void *userdata) {
        Runner *r = userdata;
        uint64_t grace = r->config->stop_grace_ms * USEC_PER_MSEC;

        r->ctx.run.shutting_down = true;
        announcer_changed(r->announcer);
        if (waits_usec == 0)
                return;
        log_info("%u conversations are ended before the machine goes down.",
                 registry_count_live(r->conversations));
        grace = MIN(grace, waits_usec > 2 * REPORT_USEC ? waits_usec - REPORT_USEC : waits_usec / 2);
        for (Conversation *c = registry_next(r->conversations, NULL), *next; c; c = next) {
                next = registry_next(r->conversations, c);
                if (conversation_is_live(c) && c->stop == STOP_NONE)
                        conversation_stop(c, "shutdown", grace);
        }
        runner_shutdown_look(r);
}

static void on_cancelled(void *userdata) {
        Runner *r = userdata;

        log_notice("The machine stays up after all.");
        r->ctx.run.shutting_down = false;
        announcer_changed(r->announcer);
}

int runner_shutdown_open(Runner *r) {
        static const ShutdownOps ops = { .begun = on_begun, .cancelled = on_cancelled };

        return shutdown_watch_new(
                        r->bus,
                        r->user_mode,
                        r->config->stop_grace_ms * USEC_PER_MSEC,
                        &ops,
                        r,
                        &r->shutdown);
}

static int on_time_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Runner *r = userdata;

        log_notice("Not everything was acknowledged in time; it is sent after the next start.");
        return sd_event_exit(r->event, 0);
}

/* Until the last reports are acknowledged, or the time is over. */
static int report_and_exit(Runner *r) {
        int k;

        if (!may_report(r))
                return sd_event_exit(r->event, 0);
        log_info("The last reports are sent.");
        k = sd_event_add_time_relative(
                        r->event,
                        &r->exit_timer,
                        CLOCK_MONOTONIC,
                        shutdown_watch_stop_usec(r->shutdown) / 2,
                        USEC_PER_MSEC,
                        on_time_over,
                        r);
        return k < 0 ? sd_event_exit(r->event, 0) : 0;
}

static void on_answered(bool stopping, void *userdata) {
        Runner *r = userdata;

        r->exit_question = sd_bus_slot_unref(r->exit_question);
        if (!stopping && !r->ctx.run.shutting_down) {
                (void) sd_event_exit(r->event, 0);
                return;
        }
        if (!r->ctx.run.shutting_down)
                on_begun(0, r);
        (void) report_and_exit(r);
}

int runner_shutdown_exit(Runner *r) {
        bool first = !r->exit_asked;

        r->exit_asked = true;
        /* A second signal means now. */
        if (!first || !may_report(r))
                return sd_event_exit(r->event, 0);
        if (r->ctx.run.shutting_down)
                return report_and_exit(r);
        /* The signal may have been quicker than the word that the system goes down. */
        return shutdown_ask(r->bus, on_answered, r, &r->exit_question) < 0 ? sd_event_exit(r->event, 0) : 0;
}
