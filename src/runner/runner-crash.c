/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <systemd/sd-id128.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/host/unit-end.h"
#include "runner/runner-internal.h"
#include "runner/scope/run-folder.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"

/* A runner that did not end in order is told by the one after it. While one runs, the store has a mark: boot and invocation.
 * The end takes it away; a crash does not. Then the mark moves to the crashes that are to be told, and leaves those in the
 * same transaction that stores the report: it is told once, whatever happens in between. */

#define UNIT "northflare-runner.service"
#define LAUNCHER_UNIT "northflare-launcher.service"
#define KEY_RUNNING "running"
#define KEY_CRASHED "crashed"
/* "BOOT:INVOCATION", where the latter may be missing. */
#define MARK_SIZE (2 * SD_ID128_STRING_MAX)
#define CRASHES_MAX 8
/* Reports that wait for the orchestrator; above so many a crash is in the journal only. */
#define REPORTS_MAX 64
#define LOOK_AGAIN_USEC (2 * USEC_PER_SEC)
#define LOOKS_MAX 5
/* So many conclusions under way at one moment are counted; one of them it was. */
#define CONCLUDING_MAX 64

static void make_mark(char ret[static MARK_SIZE]) {
        char boot[SD_ID128_STRING_MAX] = "", invocation[SD_ID128_STRING_MAX] = "";
        sd_id128_t id;

        if (sd_id128_get_boot(&id) >= 0)
                (void) sd_id128_to_string(id, boot);
        if (sd_id128_get_invocation(&id) >= 0)
                (void) sd_id128_to_string(id, invocation);
        (void) snprintf(ret, MARK_SIZE, "%s:%s", boot, invocation);
}

/* Marks are one to a line, the newest first; those behind the bound are dropped. */
static int add_crash(Runner *r, const char *mark) {
        _cleanup_free_ char *before = NULL, *all = NULL;
        unsigned n = 0;
        int k;

        k = store_get(r->store, KEY_CRASHED, &before);
        if (k < 0)
                return k;
        all = before ? xasprintf("%s\n%s", mark, before) : strdup(mark);
        if (!all)
                return -ENOMEM;
        for (char *p = all; (p = strchr(p, '\n')); p++)
                if (++n == CRASHES_MAX) {
                        *p = 0;
                        break;
                }
        return store_set(r->store, KEY_CRASHED, all);
}

/* ---- runs that were being concluded ---- */

typedef struct Concluding {
        Runner *runner;
        struct {
                char *id;
                unsigned run;
        } list[CONCLUDING_MAX];
        size_t n;
} Concluding;

static int note_concluding(const ConversationRow *c, void *userdata) {
        Concluding *k = userdata;
        _cleanup_close_ int parent = -EBADF, folder = -EBADF;
        char name[16];

        if (streq(c->state, "ended"))
                return 0;
        (void) snprintf(name, sizeof(name), "%u", c->run);
        parent = run_folder_open(k->runner->ctx.run.conversations_fd, c->id);
        folder = parent < 0 ? parent : run_folder_open(parent, name);
        if (folder < 0 || !run_folder_is_concluding(folder))
                return 0;
        k->list[k->n].id = strdup(c->id);
        if (!k->list[k->n].id)
                return -ENOMEM;
        k->list[k->n++].run = c->run;
        return k->n == CONCLUDING_MAX;
}

/* The earlier one may have died of what it did last: each run that it was concluding then is counted. */
static int count_concluding(Runner *r) {
        Concluding concluding = { .runner = r };
        int k;

        k = store_list_conversations(r->store, true, note_concluding, &concluding);
        for (size_t i = 0; i < concluding.n; i++) {
                if (k >= 0)
                        k = store_count_conclusion_crash(
                                        r->store, concluding.list[i].id, concluding.list[i].run);
                if (k == -ENOENT)
                        k = 0;
                free(concluding.list[i].id);
        }
        return MIN(k, 0);
}

/* The earlier one's mark goes to the crashes, ours into its place. first: nothing was begun yet. */
static int set_mark(Runner *r, bool first) {
        _cleanup_free_ char *before = NULL;
        char mark[MARK_SIZE];
        int k;

        make_mark(mark);
        k = store_begin(r->store);
        if (k < 0)
                return k;
        k = store_get(r->store, KEY_RUNNING, &before);
        if (k > 0)
                k = add_crash(r, before);
        if (k >= 0 && before && first)
                k = count_concluding(r);
        if (k >= 0)
                k = store_set(r->store, KEY_RUNNING, mark);
        if (k < 0) {
                store_rollback(r->store);
                return k;
        }
        k = store_commit(r->store);
        r->crash_marked = k >= 0;
        return k;
}

void runner_crash_open(Runner *r) {
        int k = set_mark(r, true);

        /* A full disk keeps nobody from running; runner_crash_look() tries again. */
        if (k < 0)
                log_warning_errno(k, "Whether the last runner ended in order is found out later: %m");
}

void runner_crash_close(Runner *r) {
        r->launcher_watch = service_watch_free(r->launcher_watch);
        if (r->store && r->crash_marked && store_set(r->store, KEY_RUNNING, NULL) < 0)
                log_debug("The store does not take the mark of an orderly end.");
}

/* ---- telling ---- */

static int add_report(Runner *r, const char *code, const UnitEnd *e, const char *text) {
        _cleanup_json_ Json *o = json_object_new_object();
        _cleanup_free_ char *members = NULL;
        const char *s;

        if (!r->link || store_count_own_events(r->store, "", 0, 0) >= REPORTS_MAX)
                return 0;
        if (json_set_string(o, "code", code) < 0 || json_set_string(o, "text", text) < 0)
                return -ENOMEM;
        if (e->result[0])
                (void) json_set_string(o, "result", e->result);
        if (e->code[0])
                (void) json_set_string(o, "signal", e->status);
        s = json_text(o);
        members = strndup(s + 1, strlen(s) - 2); /* without braces */
        return members ? store_add_own_event(r->store, "", 0, 0, NULL, "error.report", members, NULL) :
                         -ENOMEM;
}

/* Forgets the mark, and stores what is told of it, both or none. */
static int settle(Runner *r, const char *rest, const UnitEnd *e, const char *text) {
        int k = store_begin(r->store);

        if (k < 0)
                return k;
        k = store_set(r->store, KEY_CRASHED, rest);
        if (k >= 0 && text)
                k = add_report(r, "runner-lost", e, text);
        if (k < 0) {
                store_rollback(r->store);
                return k;
        }
        return store_commit(r->store);
}

/* 1: the mark is settled; 0: the journal may still say something. */
static int tell(Runner *r, const char *mark, const char *rest, bool last) {
        _cleanup_free_ char *text = NULL;
        char now[MARK_SIZE];
        const char *invocation = strchr(mark, ':');
        UnitEnd end = {};
        bool found, elsewhere;
        int k;

        found = invocation && invocation[1] && unit_end_find(UNIT, invocation + 1, r->user_mode, &end) > 0;
        make_mark(now);
        elsewhere = strncmp(mark, now, strcspn(now, ":") + 1) != 0;
        if (!found && !elsewhere && !last)
                return 0;
        if (found ? unit_end_is_violent(&end) : !elsewhere) {
                text = unit_end_text(&end, "northflare-runner", UNIT, r->user_mode);
                if (!text)
                        return -ENOMEM;
        }
        k = settle(r, rest, &end, text);
        if (k < 0)
                return k;
        if (text)
                log_full(LOG_ERR, 0, NF_MESSAGE_PROGRAM_LOST, "%s", text);
        else if (!found)
                log_notice("The machine went down before the last runner had ended in order; conversations of then are looked after.");
        return 1;
}

static int on_crash_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        runner_crash_look(userdata);
        return 0;
}

static void look_later(Runner *r) {
        int k = r->crash_timer ? sd_event_source_set_time_relative(r->crash_timer, LOOK_AGAIN_USEC) :
                                 sd_event_add_time_relative(
                                                 r->event,
                                                 &r->crash_timer,
                                                 CLOCK_MONOTONIC,
                                                 LOOK_AGAIN_USEC,
                                                 USEC_PER_MSEC,
                                                 on_crash_timer,
                                                 r);

        if (k >= 0)
                k = sd_event_source_set_enabled(r->crash_timer, SD_EVENT_ONESHOT);
        if (k < 0)
                log_warning_errno(k, "An earlier crash cannot be looked into before the next start: %m");
}

void runner_crash_look(Runner *r) {
        if (!r->crash_marked && (r->ctx.run.broken || set_mark(r, false) < 0)) {
                look_later(r);
                return;
        }
        for (;;) {
                _cleanup_free_ char *marks = NULL;
                char *rest;
                int k = r->ctx.run.broken ? 0 : store_get(r->store, KEY_CRASHED, &marks);

                if (k == 0 && !r->ctx.run.broken)
                        return;
                if (k > 0) {
                        rest = strchr(marks, '\n');
                        if (rest)
                                *rest++ = 0;
                        k = tell(r, marks, rest, ++r->crash_looks > LOOKS_MAX);
                }
                if (k <= 0) {
                        look_later(r);
                        return;
                }
                control_wake(r->control);
        }
}

/* ---- the launcher ---- */

/* Then the conversation tells it, with what came of it. */
static bool hits_a_start(Runner *r) {
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (c->run && streq(c->row.state, "starting") &&
                    (c->run->call || c->run->start_attempts > 0))
                        return true;
        return false;
}

static void on_launcher_failed(const UnitEnd *end, uint64_t exit_usec, void *userdata) {
        _cleanup_free_ char *text = NULL;
        Runner *r = userdata;

        if (exit_usec <= r->started_at_usec || exit_usec == r->launcher_exit_usec ||
            !unit_end_is_violent(end))
                return;
        r->launcher_exit_usec = exit_usec;
        text = unit_end_text(end, "northflare-launcher", LAUNCHER_UNIT, r->user_mode);
        if (!text)
                return;
        log_full(LOG_ERR, 0, NF_MESSAGE_PROGRAM_LOST, "%s", text);
        if (r->ctx.run.broken || hits_a_start(r))
                return;
        if (add_report(r, "launcher-lost", end, text) < 0)
                log_warning("That cannot be told to the orchestrator: the store takes nothing.");
        control_wake(r->control);
}

int runner_crash_watch(Runner *r) {
        return service_watch_new(r->bus, LAUNCHER_UNIT, on_launcher_failed, r, &r->launcher_watch);
}
