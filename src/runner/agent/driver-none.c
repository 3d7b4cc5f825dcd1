/* SPDX-License-Identifier: MIT */
#include "runner/agent/driver-none.h"
#include "runner/agent/driver-util.h"

/* In place of a driver that is not to be had: its agent is not in the configuration any more, or what was stored of it cannot
 * be read. What the agent says has no meaning and no effect, and there is nothing to say to it. */

#define UNKNOWN_TEXT "this runner has no driver for this agent"

static int none_new(Json *spec, Driver **ret) {
        Driver *d = new0(Driver, 1);

        if (!d)
                return -ENOMEM;
        d->ops = &none_driver_ops;
        *ret = d;
        return 0;
}

/* Whosever it was. */
static int none_load(Json *spec, Json *state, Driver **ret) {
        return none_new(spec, ret);
}

static void none_free(Driver *d) {
        free(d);
}

static int none_save(Driver *d, Json **ret) {
        *ret = json_object_new_object();
        return *ret ? 0 : -ENOMEM;
}

static int none_probe(Json *agent_config, char **ret_error) {
        *ret_error = strdup(UNKNOWN_TEXT);
        return -ENOENT;
}

static int none_plan(Json *spec, Json *agent_config, LaunchPlan *ret, char **ret_error) {
        return refuse(ret_error, UNKNOWN_TEXT);
}

static int none_begin(Driver *d, Buffer *ret_lines) {
        return 0;
}

static int none_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink) {
        return 0;
}

static int none_feed_oversize(
        Driver *d,
        const char *head,
        size_t head_size,
        uint64_t size,
        uint64_t offset,
        const DriverSink *sink) {
        return 0;
}

static int none_command(Driver *d, const DriverCommand *c, Buffer *ret_lines, char **ret_error) {
        return refuse(ret_error, UNKNOWN_TEXT);
}

static DriverPhase none_phase(Driver *d) {
        return DRIVER_IDLE;
}

static bool none_last_turn_failed(Driver *d) {
        return false;
}

static void none_usage(Driver *d, DriverUsage *ret) {
        *ret = (DriverUsage){};
}

const DriverOps none_driver_ops = {
        .name = "none",
        .probe = none_probe,
        .plan = none_plan,
        .new = none_new,
        .load = none_load,
        .free = none_free,
        .save = none_save,
        .begin = none_begin,
        .feed = none_feed,
        .feed_oversize = none_feed_oversize,
        .command = none_command,
        .phase = none_phase,
        .questions = driver_no_questions,
        .last_turn_failed = none_last_turn_failed,
        .background = driver_no_background,
        .session = driver_no_session,
        .usage = none_usage,
};
