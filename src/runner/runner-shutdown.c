/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/host/shutdown-watch.h"
#include "runner/runner-shutdown.h"

/* The machine goes down. While logind waits for us, conversations are ended in good order and reported; those that are
 * left are stopped by systemd with their scopes, before it stops us. Then we wait a little for what they had to say. What
 * is not acknowledged by then is in the store and is sent after the next start. */

/* Of the time that logind gives, for the reports behind the ends. */
#define REPORT_USEC (2 * USEC_PER_SEC)

struct Shutdown {
        RunContext *ctx;
        const Registry *conversations;
        Announcer *announcer;
        Link *link; /* NULL: there is no orchestrator */
        ShutdownWatch *watch;
        sd_bus_slot *question;  /* whether the machine goes down */
        sd_event_source *timer; /* until which the last reports may be acknowledged */
        bool asked;             /* to leave, by a signal */
        bool stops;             /* conversations are ended, … */
        uint64_t grace_usec;    /* … each in so much time */
};

static bool is_reported(const Shutdown *s) {
        for (Conversation *c = registry_next(s->conversations, NULL); c;
             c = registry_next(s->conversations, c))
                if (conversation_is_live(c) || (c->send.source && conversation_queued_events(c) > 0))
                        return false;
        return true;
}

/* Whether waiting could be of any use. */
static bool may_report(const Shutdown *s) {
        if (!s->link || !link_is_connected(s->link)) {
                for (Conversation *c = registry_next(s->conversations, NULL); c;
                     c = registry_next(s->conversations, c))
                        if (conversation_is_live(c))
                                return true;
                return false;
        }
        return !is_reported(s);
}

void shutdown_check(Shutdown *s) {
        if (!s->ctx->shutting_down || may_report(s))
                return;
        if (s->timer)
                (void) sd_event_exit(s->ctx->event, 0);
        else if (s->watch)
                shutdown_watch_release(s->watch);
}

static void stop(Shutdown *s, Conversation *c) {
        conversation_stop(c, &(StopOrder){ .cause = STOP_BY_SHUTDOWN, .grace_usec = s->grace_usec });
}

bool shutdown_stop_late(Shutdown *s, Conversation *c) {
        if (!s->stops)
                return false;
        stop(s, c);
        return true;
}

static void on_begun(uint64_t waits_usec, void *userdata) {
        Shutdown *s = userdata;
        uint64_t grace = s->ctx->config->stop_grace_ms * USEC_PER_MSEC;

        s->ctx->shutting_down = true;
        announcer_changed(s->announcer);
        if (waits_usec == 0)
                return;
        log_info(
                "Ending %u conversations before the machine shuts down.",
                registry_count_live(s->conversations));
        s->stops = true;
        s->grace_usec = MIN(grace, waits_usec > 2 * REPORT_USEC ? waits_usec - REPORT_USEC : waits_usec / 2);
        for (Conversation *c = registry_next(s->conversations, NULL), *next; c; c = next) {
                next = registry_next(s->conversations, c);
                if (conversation_is_live(c) && !conversation_is_stopping(c))
                        stop(s, c);
        }
        shutdown_check(s);
}

static void on_cancelled(void *userdata) {
        Shutdown *s = userdata;

        log_notice("The shutdown of the machine was cancelled.");
        s->ctx->shutting_down = s->stops = false;
        announcer_changed(s->announcer);
}

int shutdown_new(RunContext *ctx, const Registry *conversations, Announcer *announcer, Shutdown **ret) {
        Shutdown *s = new0(Shutdown, 1);

        if (!s)
                return -ENOMEM;
        *s = (Shutdown){ .ctx = ctx, .conversations = conversations, .announcer = announcer };
        *ret = s;
        return 0;
}

Shutdown *shutdown_free(Shutdown *s) {
        if (!s)
                return NULL;
        sd_bus_slot_unref(s->question);
        shutdown_watch_free(s->watch);
        sd_event_source_disable_unref(s->timer);
        free(s);
        return NULL;
}

void shutdown_set_link(Shutdown *s, Link *link) {
        s->link = link;
}

int shutdown_open(Shutdown *s) {
        static const ShutdownOps ops = { .begun = on_begun, .cancelled = on_cancelled };

        return shutdown_watch_new(
                s->ctx->bus,
                s->ctx->config->user_mode,
                s->ctx->config->stop_grace_ms * USEC_PER_MSEC,
                &ops,
                s,
                &s->watch);
}

static int on_time_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Shutdown *s = userdata;

        log_notice("Some reports were not acknowledged in time; they are sent after the next start.");
        return sd_event_exit(s->ctx->event, 0);
}

/* Until the last reports are acknowledged, or the time is over. */
static int report_and_exit(Shutdown *s) {
        int k;

        if (!may_report(s))
                return sd_event_exit(s->ctx->event, 0);
        log_info("The last reports were acknowledged.");
        k = oneshot_start(&s->timer, s->ctx->event, shutdown_watch_stop_usec(s->watch) / 2, on_time_over, s);
        return k < 0 ? sd_event_exit(s->ctx->event, 0) : 0;
}

static void on_answered(bool stopping, void *userdata) {
        Shutdown *s = userdata;

        s->question = sd_bus_slot_unref(s->question);
        if (!stopping && !s->ctx->shutting_down) {
                (void) sd_event_exit(s->ctx->event, 0);
                return;
        }
        if (!s->ctx->shutting_down)
                on_begun(0, s);
        (void) report_and_exit(s);
}

int shutdown_exit(Shutdown *s) {
        bool first = !s->asked;

        s->asked = true;
        /* A second signal means now. */
        if (!first || !may_report(s))
                return sd_event_exit(s->ctx->event, 0);
        if (s->ctx->shutting_down)
                return report_and_exit(s);
        /* The signal may have been quicker than the word that the system goes down. */
        return shutdown_ask(s->ctx->bus, on_answered, s, &s->question) < 0 ?
                sd_event_exit(s->ctx->event, 0) :
                0;
}
