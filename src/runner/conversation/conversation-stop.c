/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/scope/run-folder.h"

/* Interrupt and end → SIGTERM → cgroup.kill by the supervisor → SIGKILL to the whole scope by the launcher. Each step has
 * its time; the answer is given when the cgroup was seen empty, never before. */

#define STEP_USEC (5 * USEC_PER_SEC)

static void step(Conversation *c);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        step(userdata);
        return 0;
}

static void arm(Conversation *c, uint64_t usec) {
        int r;

        if (c->frozen) {
                /* Nobody in there could do anything with the time: it begins with the thaw. */
                c->stop_left_usec = usec;
                return;
        }
        if (!c->stop_timer)
                r = sd_event_add_time_relative(
                                c->ctx->run.event, &c->stop_timer, CLOCK_MONOTONIC, usec, 1, on_timer, c);
        else {
                r = sd_event_source_set_time_relative(c->stop_timer, usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(c->stop_timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error_errno(r, "No timer for the stop of conversation %s: %m", c->row.id);
}

/* The clock of the stop stands still. */
static void pause_timer(Conversation *c) {
        uint64_t at = 0, now = now_usec(CLOCK_MONOTONIC);
        int enabled = SD_EVENT_OFF;

        if (!c->stop_timer || sd_event_source_get_enabled(c->stop_timer, &enabled) < 0 ||
            enabled == SD_EVENT_OFF)
                return;
        (void) sd_event_source_get_time(c->stop_timer, &at);
        (void) sd_event_source_set_enabled(c->stop_timer, SD_EVENT_OFF);
        c->stop_left_usec = MAX(at > now ? at - now : 0, (uint64_t) 1);
}

static void
on_thawed(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Conversation *c = userdata;

        c->run->verb_call = launcher_call_free(c->run->verb_call);
        if (error < 0) {
                log_warning_errno(error, "Thawing %s: %s", strempty(c->run->row.unit), strempty(text));
                /* What is frozen can still be killed. */
                c->frozen = false;
                c->stop = STOP_KILL;
                step(c);
                return;
        }
        conversation_set_frozen(c, false);
        run_look(c->run);
}

static void thaw(Conversation *c) {
        Run *r = c->run;
        int k;

        if (r->verb_call)
                return;
        k = launcher_unit_verb(c->ctx->run.bus, "Thaw", r->row.unit, on_thawed, c, &r->verb_call);
        if (k < 0)
                log_warning_errno(k, "Thawing %s: %m", r->row.unit);
}

void conversation_set_frozen(Conversation *c, bool frozen) {
        uint64_t left = c->stop_left_usec;

        if (c->frozen == frozen || !conversation_is_live(c))
                return;
        c->frozen = frozen;
        if (c->run) {
                run_runtime_freeze(c->run, frozen);
                run_watchdog_freeze(c->run, frozen);
        }
        if (c->stop != STOP_NONE && c->run) {
                if (frozen) {
                        pause_timer(c);
                        thaw(c);
                } else if (left > 0) {
                        c->stop_left_usec = 0;
                        arm(c, left);
                }
        }
        (void) conversation_emit_state(c);
}

void conversation_stop_forget(Conversation *c) {
        c->stop_left_usec = 0;
        c->stop_timer = sd_event_source_disable_unref(c->stop_timer);
}

/* One command of the driver into in.log; what the agent makes of it shows in the next step. */
static void send_command(Conversation *c, DriverCommandType type) {
        _cleanup_buffer_ Buffer lines = {};
        _cleanup_free_ char *error = NULL;
        Run *r = c->run;
        uint64_t offset;
        int k;

        DriverCommand command = { .type = type, .seq = (uint64_t) now_usec(CLOCK_MONOTONIC) };
        k = r->ops->command(r->driver, &command, &lines, &error);
        if (k <= 0 || lines.size == 0)
                return;
        k = store_render(c->ctx->run.store, c->row.id, r->row.run, lines.data, lines.size, 0, &offset);
        if (k >= 0)
                (void) conversation_write_input(c);
}

static void
on_killed(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Conversation *c = userdata;

        c->run->verb_call = launcher_call_free(c->run->verb_call);
        if (error < 0)
                log_warning_errno(error, "Killing %s: %s", strempty(c->run->row.unit), strempty(text));
        run_look(c->run);
}

static void ask(Conversation *c) {
        Run *r = c->run;

        if (r->ops->phase(r->driver) != DRIVER_IDLE)
                send_command(c, DRIVER_COMMAND_INTERRUPT);
        send_command(c, DRIVER_COMMAND_END);
        r->end_sent = true;
        (void) run_folder_ring(r->dirfd, 'e');
}

static void step(Conversation *c) {
        Run *r = c->run;
        int k;

        if (!r || r->over || !streq(c->row.state, "live"))
                return;
        switch (c->stop) {
        case STOP_NONE:
                return;
        case STOP_ASKED:
                c->stop = STOP_TERM;
                (void) run_folder_ring(r->dirfd, 't');
                break;
        case STOP_TERM:
                c->stop = STOP_KILL;
                (void) run_folder_ring(r->dirfd, 'k');
                break;
        case STOP_KILL:
        case STOP_FORCED:
                c->stop = STOP_FORCED;
                if (!r->verb_call) {
                        k = launcher_unit_verb(
                                        c->ctx->run.bus, "Kill", r->row.unit, on_killed, c, &r->verb_call);
                        if (k < 0)
                                log_warning_errno(k, "Killing %s: %m", r->row.unit);
                }
                break;
        }
        arm(c, STEP_USEC);
}

void conversation_stop(Conversation *c, const char *reason, uint64_t grace_usec) {
        Run *r = c->run;

        /* What lives has a run. */
        if (!conversation_is_live(c) || !r)
                return;
        if (reason && !c->stop_reason)
                c->stop_reason = strndup(reason, (size_t) utf8_cut(reason, STOP_REASON_MAX));
        c->stop_grace_usec = grace_usec;
        if (c->checkout || (!r->call && !streq(c->row.state, "live"))) {
                c->stop = STOP_ASKED;
                conversation_fail(c, "stopped", NULL);
                return;
        }
        if (!streq(c->row.state, "live")) {
                /* The launcher is at it: its answer comes here again. */
                c->stop = STOP_ASKED;
                conversation_changed(c);
                return;
        }
        bool first = c->stop == STOP_NONE || !r->end_sent;
        if (c->stop == STOP_NONE)
                c->stop = STOP_ASKED;
        (void) conversation_emit_state(c);
        if (c->frozen)
                thaw(c);
        if (first)
                ask(c);
        if (grace_usec == 0) {
                /* No patience was asked for: what comes next comes now. */
                c->stop = STOP_TERM;
                step(c);
        } else
                arm(c, grace_usec);
        run_look(r);
}
