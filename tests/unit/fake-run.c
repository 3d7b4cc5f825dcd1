/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "fake-run.h"
#include "runner/agent/driver-shell.h"
#include "runner/run/run-check.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-input.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-question.h"
#include "runner/run/run-runtime.h"
#include "runner/run/run-start.h"
#include "runner/run/run-state.h"
#include "runner/run/run-statistics.h"
#include "runner/run/run-stop.h"
#include "runner/run/run-watchdog.h"
#include "runner/run/run.h"
#include "runner/store/state-step.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"

FakeRun fake_run;

void fake_run_reset(void) {
        buffer_done(&fake_run.calls);
        fake_run = (FakeRun){ .phase = DRIVER_IDLE };
}

void fake_run_call(const char *format, ...) {
        _cleanup_free_ char *word = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&word, format, ap) < 0)
                abort();
        va_end(ap);
        (void) buffer_printf(&fake_run.calls, "%s%s", fake_run.calls.size > 0 ? " " : "", word);
}

/* ---- its life ---- */

int run_new(const RunParams *params, RunRow *row_consume, Run **ret) {
        Run *r = new0(Run, 1);

        if (!r)
                abort();
        *r = (Run){
                .ops = params->ops,
                .userdata = params->userdata,
                .context = params->context,
                .row = *row_consume,
        };
        *row_consume = (RunRow){};
        if (json_parse(r->row.spec, strlen(r->row.spec), &r->spec, NULL) < 0)
                abort();
        fake_run.n_made++;
        *ret = r;
        return 0;
}

Run *run_free(Run *r) {
        if (!r)
                return NULL;
        run_row_done(&r->row);
        json_object_put(r->spec);
        free(r->failure);
        free(r);
        fake_run.n_freed++;
        return NULL;
}

void run_release(Run *r) {
        fake_run_call("release");
}

int run_replay(Run *r) {
        return 0;
}

int run_watch(Run *r) {
        return 0;
}

void run_wake(Run *r) {
        fake_run_call("look");
}

/* ---- its state ---- */

const RunRow *run_row(const Run *r) {
        return &r->row;
}

Json *run_spec(const Run *r) {
        return r->spec;
}

const DriverOps *run_driver_ops(const Run *r) {
        return &shell_driver_ops;
}

DriverPhase run_phase(const Run *r) {
        return fake_run.phase;
}

unsigned run_background(const Run *r) {
        return 0;
}

void run_usage(const Run *r, DriverUsage *ret) {
        *ret = fake_run.usage;
}

uint64_t run_lines(const Run *r) {
        return 0;
}

bool run_has_ended(const Run *r) {
        return r->ended;
}

void run_set_ended(Run *r) {
        r->ended = true;
}

bool run_is_frozen(const Run *r) {
        return r->frozen;
}

void run_set_frozen(Run *r, bool frozen) {
        r->frozen = frozen;
        fake_run_call(frozen ? "frozen" : "thawed");
}

const char *run_failure(const Run *r) {
        return r->failure;
}

int run_set_failure(Run *r, char *text_consume) {
        free(r->failure);
        r->failure = text_consume;
        return text_consume ? 0 : -ENOMEM;
}

bool run_end_was_sent(const Run *r) {
        return r->end_sent;
}

void run_set_stopping(Run *r) {
        r->stopping = true;
}

void run_statistics(Run *r, Statistics *ret) {
        *ret = (Statistics){};
}

/* ---- messages ---- */

static int user_lines(const char *content, Buffer *ret_lines, char **ret_error) {
        uint64_t n;

        if (streq_ptr(fake_run.waits, content))
                return 0;
        if (streq(content, "mute"))
                return -EINVAL;
        if (streq(content, "refuse")) {
                *ret_error = xasprintf("the agent takes no such message");
                return -EINVAL;
        }
        if (safe_atou64(content, &n) >= 0)
                for (uint64_t i = 1; i < n; i++)
                        (void) buffer_append(ret_lines, "x", 1);
        else
                (void) buffer_append_str(ret_lines, content);
        (void) buffer_append_str(ret_lines, "\n");
        return 1;
}

int run_command(const Run *r, const DriverCommand *command, Buffer *ret_lines, char **ret_error) {
        switch (command->type) {
        case DRIVER_COMMAND_USER:
                return user_lines(json_get_string(command->params, "content"), ret_lines, ret_error);
        case DRIVER_COMMAND_INTERRUPT:
                (void) buffer_append_str(ret_lines, "interrupt\n");
                return 1;
        case DRIVER_COMMAND_ANSWER:
                if (fake_run.answer_error <= 0)
                        return fake_run.answer_error;
                (void) buffer_printf(
                        ret_lines,
                        "%s %" PRIu64 ".%u %s\n",
                        json_get_string(command->params, "behavior"),
                        command->offset,
                        command->n,
                        strempty(json_get_string(command->params, "message")));
                return 1;
        case DRIVER_COMMAND_CONFIG: /* has no lines */
                return 1;
        case DRIVER_COMMAND_END:
                break;
        }
        return -EINVAL;
}

void run_effects_done(RunEffects *e) {
        buffer_done(&e->lines);
        e->n_parts = 0;
}

int run_effects_add(RunEffects *e, int64_t seq, size_t begun) {
        if (e->n_parts >= ELEMENTSOF(e->parts))
                return -ENOBUFS;
        e->parts[e->n_parts++] = (RunInputPart){ .seq = seq, .size = e->lines.size - begun };
        return 0;
}

int run_store_effects(const RunEffects *e) {
        Store *store = e->run->context->store;
        const RunRow *row = &e->run->row;
        const char *lines = e->lines.data;
        int k = 0;

        for (size_t i = 0; i < e->n_parts && k >= 0; i++) {
                const RunInputPart *p = &e->parts[i];

                if (p->size > 0)
                        k = store_render(store, row->conversation, row->run, lines, p->size, p->seq, NULL);
                else if (p->seq > 0)
                        k = store_inbound_done(store, p->seq);
                lines += p->size;
        }
        if (k >= 0)
                k = store_set_driven(store, row->conversation, row->run, row->driven, NULL);
        return k < 0 ? k : fake_run.effects_error;
}

int run_store_driven(Run *r) {
        return 0;
}

bool run_is_behind(const Run *r) {
        return false;
}

void run_store_undone(Run *r) {
}

int run_write_input(Run *r) {
        fake_run_call("write");
        return fake_run.input_error;
}

int run_store_input_written(Run *r) {
        return 0;
}

/* ---- questions: there is one, 5.1 ---- */

size_t run_questions(const Run *r, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]) {
        ret[0] = (DriverQuestion){ 5, 1 };
        return fake_run.has_question;
}

bool run_has_question(const Run *r, uint64_t offset, unsigned n) {
        return fake_run.has_question && offset == 5 && n == 1;
}

int run_parse_question(const Run *r, const char *id, uint64_t *ret_offset, unsigned *ret_n) {
        return id && sscanf(id, "question:%" SCNu64 ".%u", ret_offset, ret_n) == 2 ? 0 : -EINVAL;
}

char *run_question_id(const Run *r, uint64_t offset, unsigned n) {
        return xasprintf("question:%" PRIu64 ".%u", offset, n);
}

int run_read_question(Run *r, uint64_t offset, LineReader *reader, Slice *ret) {
        *reader = (LineReader){};
        *ret = (Slice){};
        return -ENOENT;
}

int run_question_text(Run *r, const DriverQuestion *q, Slice line, DriverQuestionText *ret) {
        return -EBADMSG;
}

void run_deny_overlong_questions(Run *r) {
}

/* ---- its clocks and limits ---- */

int run_runtime_begin(Run *r, uint64_t unknown_secs) {
        fake_run.max_secs = unknown_secs;
        fake_run_call("clock");
        return 0;
}

int run_runtime_restore(Run *r, uint64_t unknown_secs) {
        fake_run_call("clock-again");
        return 0;
}

void run_runtime_freeze(Run *r, bool frozen) {
}

int run_watchdog_begin(Run *r, const Timeouts *timeouts) {
        fake_run.timeouts = *timeouts;
        fake_run_call("watchdog");
        return 0;
}

void run_watchdog_update(Run *r, bool heard) {
        fake_run_call(heard ? "heard" : "phase");
}

void run_watchdog_freeze(Run *r, bool frozen) {
}

void run_limits_open(Run *r) {
        fake_run_call("limits");
}

int run_limits_restore(Run *r) {
        return 0;
}

void run_limits_set(Run *r) {
        fake_run_call("limits-set");
}

void run_limits_check_filter(Run *r) {
}

Json *run_limits_describe(Run *r) {
        return NULL;
}

/* ---- orders and stages ---- */

int run_order(Run *r, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits) {
        if (fake_run.order_error < 0 && verb == fake_run.refused)
                return fake_run.order_error;
        fake_run_call("order:%s", launcher_verb_to_string(verb));
        fake_run.orders[verb] = true;
        return 0;
}

bool run_has_order(const Run *r, LauncherVerb verb) {
        return fake_run.orders[verb];
}

void run_cancel_orders(Run *r) {
        fake_run_call("cancel");
}

int run_ask_to_end(Run *r) {
        fake_run_call("ask");
        r->end_sent = true;
        return 1;
}

void run_terminate(Run *r) {
        fake_run_call("terminate");
}

void run_kill(Run *r) {
        fake_run_call("kill");
}

/* ---- its start ---- */

int run_start(Run *r, const RunStartParams *p, char **ret_error) {
        int k;

        fake_run_call("start");
        if (fake_run.start_error < 0) {
                if (fake_run.start_error == -EINVAL)
                        *ret_error = xasprintf("the plan is no good");
                return fake_run.start_error;
        }
        run_row_set_state(&r->row, RUN_STARTING);
        k = r->ops->starting(r->userdata);
        if (k >= 0)
                r->under_way = true;
        return k;
}

void run_abandon_start(Run *r) {
        if (r->row.state == RUN_STARTING && !r->under_way)
                fake_run_call("abandon");
}

bool run_start_is_under_way(const Run *r) {
        return r->under_way;
}

bool run_is_started(const Run *r) {
        return fake_run.begun;
}

int run_open_directory(Run *r) {
        return fake_run.has_folder ? 0 : -ENOENT;
}

int run_directory_fd(const Run *r) {
        return -EBADF;
}

int run_store_started(Run *r, const char *unit, const char *invocation) {
        int k;

        if (free_and_strdup(&r->row.unit, unit) < 0 || free_and_strdup(&r->row.invocation, invocation) < 0)
                return -ENOMEM;
        run_row_set_state(&r->row, RUN_LIVE);
        k = store_put_run(r->context->store, &r->row);
        return k < 0 ? k : fake_run.started_error;
}

/* ---- its end ---- */

void run_conclude(Run *r) {
        if (!r->ops->ending(r->userdata))
                r->ops->ended(&fake_run.facts, r->userdata);
}

bool run_conclusion_is_short(const Run *r) {
        return fake_run.is_short;
}

void run_end_without_process(Run *r) {
        r->ended = true;
}

int run_store_end(Run *r) {
        int k;

        run_row_set_state(&r->row, RUN_ENDED);
        r->row.ended_usec = 7;
        k = store_put_run(r->context->store, &r->row);
        return k < 0 ? k : fake_run.end_error;
}

void run_close(Run *r) {
        fake_run_call("close");
}
