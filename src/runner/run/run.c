/* SPDX-License-Identifier: MIT */
#include <malloc.h>

#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/run/position.h"
#include "runner/run/run-agent.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-orders.h"
#include "runner/run/run.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"

static int on_drive(sd_event_source *source, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        if (r->row.state == RUN_ENDED) {
                r->report->released(r->userdata); /* and r goes */
                /* What was parsed lay in small pieces among those that stay. */
                (void) malloc_trim(0);
        } else
                run_drive(r);
        return 0;
}

void run_release(Run *r) {
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}

/* ---- making one ---- */

/* Nothing of what is stored can be understood. */
static int load_none(Run *r, char *failure_consume, uint64_t *ret_lines) {
        r->failure = failure_consume;
        r->ops = &none_driver_ops;
        return r->failure ? position_load(r->ops, r->spec, NULL, &r->driver, ret_lines) : -ENOMEM;
}

/* Its agent is not in the configuration any more. */
static int load_unknown(Run *r) {
        int k;

        r->failure = run_unknown_agent_text(r->agent);
        if (!r->failure)
                return -ENOMEM;
        /* A reader of the run that has ended needs the same information. */
        k = json_set_string(r->spec, "protocol", none_driver_ops.name);
        return k < 0 ? k : free_and_strdup(&r->row.spec, json_text(r->spec));
}

/* Whatever of it there is: what lives has to be ended in order, even where nothing of it can be understood. */
static int load(Run *r, Json *agent_config, uint64_t *ret_lines) {
        int k;

        k = json_parse_from(JSON_OF_STORE, r->row.spec, strlen(r->row.spec), &r->spec, NULL);
        if (k >= 0) {
                r->ops = run_agent_driver(r->agent, agent_config, r->spec);
                k = position_load(r->ops, r->spec, r->row.driven_state, &r->driver, ret_lines);
        } else if (k != -ENOMEM)
                r->spec = json_object_new_object();
        if (k == -ENOMEM || !r->spec)
                return -ENOMEM;
        if (k >= 0)
                return r->ops == &none_driver_ops ? load_unknown(r) : 0;
        log_warning_errno(k, "Failed to read the stored run of conversation %s: %m", r->row.conversation);
        return load_none(r, run_unread_text(r->agent), ret_lines);
}

int run_new(const RunParams *params, RunRow *row_consume, Run **ret) {
        _cleanup_(run_freep) Run *r = new0(Run, 1);
        uint64_t lines = 0;
        int k;

        if (!r) {
                run_row_done(row_consume);
                return -ENOMEM;
        }
        *r = (Run){
                .ctx = params->context,
                .report = params->ops,
                .userdata = params->userdata,
                .agent = params->agent,
                .task = params->task,
                .workspace = params->workspace,
                .row = *row_consume,
                .dirfd = -EBADF,
                .output.fd = -EBADF,
        };
        *row_consume = (RunRow){};
        k = load(r, params->agent_config, &lines);
        if (k < 0)
                return k;
        run_output_init(&r->output, r->row.driven, lines, driver_line_max(r->spec));
        k = sd_event_add_defer(r->ctx->event, &r->drive_source, on_drive, r);
        if (k < 0)
                return k;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_OFF);
        (void) sd_event_source_set_description(r->drive_source, "drive");
        *ret = TAKE_PTR(r);
        return 0;
}

Run *run_free(Run *r) {
        if (!r)
                return NULL;
        run_forget_orders(r);
        run_start_done(&r->start);
        watch_slot_free(r->watch);
        sd_event_source_disable_unref(r->drive_source);
        run_check_done(&r->check);
        run_runtime_done(&r->runtime);
        run_watchdog_done(&r->watchdog);
        run_limits_free(r->limits);
        driver_free(r->driver);
        run_output_done(&r->output);
        run_end_done(&r->end);
        run_row_done(&r->row);
        if (r->spec)
                json_object_put(r->spec);
        safe_close(r->dirfd);
        free(r->failure);
        free(r);
        return NULL;
}

void run_close(Run *r) {
        run_forget_orders(r);
        run_cancel_orders(r);
        r->watch = watch_slot_free(r->watch);
        run_check_close(&r->check);
        run_directory_mark_conclusion(r->dirfd, false);
        /* Who still reads its output has the file open himself. */
        r->dirfd = safe_close(r->dirfd);
        run_output_close(&r->output);
        run_limits_close(r);
}

/* ---- driving ---- */

static int on_write(void *userdata, const char *line, size_t size) {
        RunEffects *e = userdata;

        return buffer_append(&e->lines, line, size);
}

static int on_fail(void *userdata, const char *reason) {
        RunEffects *e = userdata;

        return free_and_strdup(&e->run->failure, reason);
}

static bool has_enough(void *userdata) {
        const RunEffects *e = userdata;

        return e->lines.size >= RUN_EFFECTS_BYTES_MAX;
}

/* Feeds complete lines. 1: there is more; 0: all that is there was read. */
static int feed(Run *r, const DriverSink *sink) {
        int k;

        k = run_output_feed(
                &r->output, r->driver, r->ended ? r->row.out_bytes : UINT64_MAX, sink, has_enough);
        r->row.driven = r->output.lines.offset;
        return k;
}

static int on_write_again(void *userdata, const char *line, size_t size) {
        return 0; /* it is in in.log */
}

static int on_fail_again(void *userdata, const char *reason) {
        return 0;
}

int run_replay(Run *r) {
        RunEffects e = { .run = r, .replayed = true };
        int k;

        k = run_output_open(&r->output, r->dirfd);
        if (k <= 0)
                return k;
        do
                k = feed(r, &(DriverSink){ .userdata = &e, .write = on_write_again, .fail = on_fail_again });
        while (k > 0);
        if (k < 0)
                return k;
        e.session = r->ops->session(r->driver);
        return r->report->effects(&e, r->userdata);
}

/* Each kind once: an agent that does it again and again shall not fill the journal. */
static void log_bad_lines(Run *r, const DriverUsage *before) {
        DriverUsage now;

        r->ops->usage(r->driver, &now);
        if (before->oversize_lines == 0 && now.oversize_lines > 0)
                log_warning(
                        "The agent of conversation %s wrote a line or a question that exceeds the size limit; "
                        "its beginning and its size are forwarded. Further ones are only counted.",
                        r->row.conversation);
        if (before->ambiguous_lines == 0 && now.ambiguous_lines > 0)
                log_warning(
                        "The agent of conversation %s wrote a line with a duplicate member; it is forwarded as a "
                        "notice. Further ones are only counted.",
                        r->row.conversation);
}

/* Output that steers nothing has no effect, and costs no transaction: reading it again after a crash means the same. */
static bool has_effects(const RunEffects *e, DriverPhase before) {
        return e->lines.size > 0 || e->session || e->run->ops->phase(e->run->driver) != before ||
                e->run->failure;
}

static const char *new_session(Run *r) {
        const char *session = r->ops->session(r->driver);

        return session && !r->report->is_session(session, r->userdata) ? session : NULL;
}

static int drive_piece(Run *r, bool *ret_progress) {
        _cleanup_(run_effects_done) RunEffects e = { .run = r };
        DriverPhase before = r->ops->phase(r->driver);
        uint64_t begun = r->row.driven;
        DriverUsage usage;
        int k, more;

        k = run_output_open(&r->output, r->dirfd);
        if (k <= 0)
                return k;
        r->ops->usage(r->driver, &usage);
        more = feed(r, &(DriverSink){ .userdata = &e, .write = on_write, .fail = on_fail });
        if (more < 0)
                return more;
        if (e.lines.size > 0)
                (void) run_effects_add(&e, 0, 0);
        e.session = new_session(r);
        if (has_effects(&e, before)) {
                k = r->report->effects(&e, r->userdata);
                if (k < 0)
                        return k;
        }
        log_bad_lines(r, &usage);
        *ret_progress = r->row.driven != begun;
        return more;
}

/* The remainder of its output may be what killed the runner: whether the run is over is found out before that is read.
 * True: there is nothing more to do now, and r may be gone. */
static bool drive_short(Run *r) {
        if (!r->ended)
                run_check(r);
        if (r->ended)
                run_conclude(r);
        else
                return run_check_is_under_way(&r->check);
        return true;
}

void run_drive(Run *r) {
        bool progress = false;
        int k;

        if (r->dirfd < 0 || r->ctx->broken || (run_conclusion_is_short(r) && drive_short(r)))
                return;
        k = drive_piece(r, &progress);
        if (k < 0) {
                /* The store and the driver's state in memory may have parted: both are read from the store again. */
                r->report->store_failed(k, r->userdata);
                return;
        }
        r->report->driven(progress, r->userdata);
        if (k > 0)
                (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
        else if (r->ended)
                run_conclude(r);
        else
                run_check(r);
}
