/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <systemd/sd-id128.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/host/service-watch.h"
#include "runner/host/unit-end.h"
#include "runner/run/run-start.h"
#include "runner/runner-crash.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "runner/store/transaction.h"

/* A runner that did not end in order is reported by the next one. While one runs, the store has a mark: boot and invocation.
 * The end takes it away; a crash does not. Then the mark moves to the crashes that are to be reported, and leaves
 * those in the same transaction that stores the report: it is reported once, whatever happens in between. */

#define UNIT "northflare-runner.service"
#define LAUNCHER_UNIT "northflare-launcher.service"
#define KEY_RUNNING "running"
#define KEY_CRASHED "crashed"
/* "BOOT:INVOCATION", where the latter may be missing. */
#define MARK_SIZE (2 * SD_ID128_STRING_MAX)
#define CRASHES_MAX 8
/* Reports that wait for the orchestrator; above so many a crash is in the journal only. */
#define REPORTS_MAX 64
#define CHECK_AGAIN_USEC (2 * USEC_PER_SEC)
#define CHECKS_MAX 5
/* So many conclusions under way at one moment are counted; one of them it was. */
#define CONCLUDING_MAX 64

struct CrashWatch {
        const RunContext *ctx;
        const Registry *conversations;
        Control *control; /* NULL: there is no orchestrator */
        ServiceWatch *launcher;
        uint64_t launcher_exit_usec; /* of the last one that was reported */
        uint64_t started_usec;       /* CLOCK_REALTIME */
        bool marked;
        unsigned checks; /* for an earlier runner's end in the journal */
        sd_event_source *timer;
};

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
static int add_crash(CrashWatch *w, const char *mark) {
        _cleanup_free_ char *before = NULL, *all = NULL;
        unsigned n = 0;
        int k;

        k = store_get(w->ctx->store, KEY_CRASHED, &before);
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
        return store_set(w->ctx->store, KEY_CRASHED, all);
}

/* ---- runs that were being concluded ---- */

typedef struct Concluding {
        CrashWatch *watch;
        struct {
                char *id;
                unsigned run;
        } list[CONCLUDING_MAX];
        size_t n;
} Concluding;

static int note_concluding(const ConversationRow *c, void *userdata) {
        Concluding *k = userdata;
        _cleanup_close_ int parent = -EBADF, directory = -EBADF;
        char name[16];

        if (c->state == CONVERSATION_ENDED)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", c->run);
        parent = run_directory_open(k->watch->ctx->conversations_fd, c->id);
        directory = parent < 0 ? parent : run_directory_open(parent, name);
        if (directory < 0 || !run_directory_is_concluding(directory))
                return 0;
        k->list[k->n].id = strdup(c->id);
        if (!k->list[k->n].id)
                return -ENOMEM;
        k->list[k->n++].run = c->run;
        return k->n == CONCLUDING_MAX;
}

/* The earlier one may have died of what it did last: each run that it was concluding then is counted. */
static int count_concluding(CrashWatch *w) {
        Concluding concluding = { .watch = w };
        int k;

        k = store_list_conversations(w->ctx->store, true, note_concluding, &concluding);
        for (size_t i = 0; i < concluding.n; i++) {
                if (k >= 0)
                        k = store_count_conclusion_crash(
                                w->ctx->store, concluding.list[i].id, concluding.list[i].run);
                if (k == -ENOENT)
                        k = 0;
                free(concluding.list[i].id);
        }
        return MIN(k, 0);
}

/* The earlier one's mark goes to the crashes, ours into its place. first: nothing was begun yet. */
static int set_mark(CrashWatch *w, bool first) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *before = NULL;
        char mark[MARK_SIZE];
        int k;

        make_mark(mark);
        k = transaction_begin(w->ctx->store, &t);
        if (k < 0)
                return k;
        k = store_get(w->ctx->store, KEY_RUNNING, &before);
        if (k > 0)
                k = add_crash(w, before);
        if (k >= 0 && before && first)
                k = count_concluding(w);
        if (k >= 0)
                k = store_set(w->ctx->store, KEY_RUNNING, mark);
        if (k < 0)
                return k;
        k = transaction_finish(&t, 0);
        w->marked = k >= 0;
        return k;
}

void crash_watch_mark(CrashWatch *w) {
        int k = set_mark(w, true);

        /* The runner starts with a full disk as well; crash_watch_check() tries again. */
        if (k < 0)
                log_warning_errno(
                        k, "Failed to check whether the previous runner exited cleanly, retrying later: %m");
}

/* ---- reports ---- */

static int add_report(CrashWatch *w, const char *code, const UnitEnd *e, const char *text) {
        _cleanup_json_ Json *o = json_object_new_object();

        if (!w->control || store_count_own_events(w->ctx->store, "", 0, 0) >= REPORTS_MAX)
                return 0;
        if (json_set_string(o, "code", code) < 0 || json_set_string(o, "text", text) < 0)
                return -ENOMEM;
        if (e->result[0])
                (void) json_set_string(o, "result", e->result);
        if (e->code[0])
                (void) json_set_string(o, "signal", e->status);
        return store_add_own_event(w->ctx->store, "", 0, 0, NULL, "error.report", o, NULL);
}

/* Removes the mark and stores the report of it, both or none. */
static int settle(CrashWatch *w, const char *rest, const UnitEnd *e, const char *text) {
        _cleanup_(transaction_done) Transaction t = {};
        int k = transaction_begin(w->ctx->store, &t);

        if (k >= 0)
                k = store_set(w->ctx->store, KEY_CRASHED, rest);
        if (k >= 0 && text)
                k = add_report(w, "runner-lost", e, text);
        return transaction_finish(&t, k);
}

/* 1: the mark is settled; 0: the journal may still say something. */
static int report(CrashWatch *w, const char *mark, const char *rest, bool last) {
        _cleanup_free_ char *text = NULL;
        char now[MARK_SIZE];
        const char *invocation = strchr(mark, ':');
        UnitEnd end = {};
        bool found, elsewhere;
        int k;

        found = invocation && invocation[1] &&
                unit_end_find(UNIT, invocation + 1, w->ctx->config->user_mode, &end) > 0;
        make_mark(now);
        elsewhere = strncmp(mark, now, strcspn(now, ":") + 1) != 0;
        if (!found && !elsewhere && !last)
                return 0;
        if (found ? unit_end_is_violent(&end) : !elsewhere) {
                text = unit_end_text(&end, "northflare-runner", UNIT, w->ctx->config->user_mode);
                if (!text)
                        return -ENOMEM;
        }
        k = settle(w, rest, &end, text);
        if (k < 0)
                return k;
        if (text)
                log_full(LOG_ERR, 0, NF_MESSAGE_PROGRAM_LOST, "%s", text);
        else if (!found)
                log_notice(
                        "The machine went down before the previous runner had exited cleanly; its conversations are recovered.");
        return 1;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        crash_watch_check(userdata);
        return 0;
}

static void check_later(CrashWatch *w) {
        int k = oneshot_start(&w->timer, w->ctx->event, CHECK_AGAIN_USEC, on_timer, w);

        if (k < 0)
                log_warning_errno(
                        k, "Failed to set a timer, an earlier crash is reported after the next start: %m");
}

void crash_watch_check(CrashWatch *w) {
        if (!w->marked && (w->ctx->broken || set_mark(w, false) < 0)) {
                check_later(w);
                return;
        }
        for (;;) {
                _cleanup_free_ char *marks = NULL;
                char *rest;
                int k = w->ctx->broken ? 0 : store_get(w->ctx->store, KEY_CRASHED, &marks);

                if (k == 0 && !w->ctx->broken)
                        return;
                if (k > 0) {
                        rest = strchr(marks, '\n');
                        if (rest)
                                *rest++ = 0;
                        k = report(w, marks, rest, ++w->checks > CHECKS_MAX);
                }
                if (k <= 0) {
                        check_later(w);
                        return;
                }
                control_wake(w->control);
        }
}

/* ---- the launcher ---- */

/* Then the conversation reports it, with its consequences. */
static bool affects_a_start(CrashWatch *w) {
        for (Conversation *c = registry_next(w->conversations, NULL); c;
             c = registry_next(w->conversations, c))
                if (c->run && c->row.state == CONVERSATION_STARTING &&
                    (run_start_is_under_way(c->run) || run_start_was_tried(c->run)))
                        return true;
        return false;
}

static void on_launcher_failed(const UnitEnd *end, uint64_t exit_usec, void *userdata) {
        _cleanup_free_ char *text = NULL;
        CrashWatch *w = userdata;

        if (exit_usec <= w->started_usec || exit_usec == w->launcher_exit_usec || !unit_end_is_violent(end))
                return;
        w->launcher_exit_usec = exit_usec;
        text = unit_end_text(end, "northflare-launcher", LAUNCHER_UNIT, w->ctx->config->user_mode);
        if (!text)
                return;
        log_full(LOG_ERR, 0, NF_MESSAGE_PROGRAM_LOST, "%s", text);
        if (w->ctx->broken || affects_a_start(w))
                return;
        if (add_report(w, "launcher-lost", end, text) < 0)
                log_warning("Failed to report this to the orchestrator: the store cannot be written.");
        control_wake(w->control);
}

int crash_watch_open(CrashWatch *w) {
        return service_watch_new(w->ctx->bus, LAUNCHER_UNIT, on_launcher_failed, w, &w->launcher);
}

void crash_watch_set_control(CrashWatch *w, Control *control) {
        w->control = control;
}

int crash_watch_new(
        const RunContext *ctx,
        const Registry *conversations,
        uint64_t started_usec,
        CrashWatch **ret) {
        CrashWatch *w = new0(CrashWatch, 1);

        if (!w)
                return -ENOMEM;
        *w = (CrashWatch){ .ctx = ctx, .conversations = conversations, .started_usec = started_usec };
        *ret = w;
        return 0;
}

CrashWatch *crash_watch_free(CrashWatch *w) {
        if (!w)
                return NULL;
        service_watch_free(w->launcher);
        if (w->ctx->store && w->marked && store_set(w->ctx->store, KEY_RUNNING, NULL) < 0)
                log_debug("Failed to store the mark of a clean exit.");
        sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}
