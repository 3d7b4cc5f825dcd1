/* SPDX-License-Identifier: MIT */
#include "runner/run/run-internal.h"
#include "runner/run/run-state.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"

const RunRow *run_row(const Run *r) {
        return &r->row;
}

int run_store_row(Run *r) {
        return store_put_run(r->ctx->store, &r->row);
}

Json *run_spec(const Run *r) {
        return r->spec;
}

const DriverOps *run_driver_ops(const Run *r) {
        return r->ops;
}

DriverPhase run_phase(const Run *r) {
        return r->ops->phase(r->driver);
}

int run_command(const Run *r, const DriverCommand *command, Buffer *ret_lines, char **ret_error) {
        return r->ops->command(r->driver, command, ret_lines, ret_error);
}

unsigned run_background(const Run *r) {
        return r->ops->background(r->driver);
}

void run_usage(const Run *r, DriverUsage *ret) {
        r->ops->usage(r->driver, ret);
}

uint64_t run_lines(const Run *r) {
        return r->output.lines.lines;
}

bool run_has_ended(const Run *r) {
        return r->ended;
}

void run_set_ended(Run *r) {
        r->ended = true;
        if (r->row.state == RUN_UNKNOWN)
                run_row_set_state(&r->row, RUN_ENDED);
}

bool run_is_frozen(const Run *r) {
        return r->frozen;
}

void run_set_frozen(Run *r, bool frozen) {
        if (r->frozen == frozen)
                return;
        r->frozen = frozen;
        run_runtime_freeze(r, frozen);
        run_watchdog_freeze(r, frozen);
}

const char *run_failure(const Run *r) {
        return r->failure;
}

int run_set_failure(Run *r, char *text_consume) {
        if (!text_consume)
                return -ENOMEM;
        free(r->failure);
        r->failure = text_consume;
        return 0;
}

bool run_end_was_sent(const Run *r) {
        return r->end_sent;
}

void run_set_stopping(Run *r) {
        r->stopping = true;
}

void run_wake(Run *r) {
        r->check.asked = true;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}
