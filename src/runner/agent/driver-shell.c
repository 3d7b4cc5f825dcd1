/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/driver-feed.h"
#include "runner/agent/driver-shell.h"
#include "runner/agent/driver-util.h"
#include "runner/agent/line-shape.h"

/* The agent of our own: every message is a shell script (see src/shell-agent). */

/* With another one comes another version of the store (store-schema.c), which keeps older programs out of it. */
#define STATE_VERSION 1

typedef struct Shell {
        Driver driver;
        bool started, running; /* as the agent has said */
        bool last_failed;
        uint64_t turns, oversize_lines, ambiguous_lines;
        uint64_t sent; /* scripts that have not begun yet; of no account for events */
        Buffer scratch;
} Shell;

static Shell *shell(Driver *d) {
        return (Shell *) d;
}

static void shell_free(Driver *d) {
        buffer_done(&shell(d)->scratch);
        free(d);
}

static int shell_new(Json *spec, Driver **ret) {
        Shell *s = new0(Shell, 1);

        if (!s)
                return -ENOMEM;
        s->driver.ops = &shell_driver_ops;
        *ret = &s->driver;
        return 0;
}

static int shell_load(Json *spec, Json *state, Driver **ret) {
        _cleanup_(driver_freep) Driver *d = NULL;
        uint64_t version = 0;
        int r;

        if (json_get_u64(state, "version", &version) <= 0 || version != STATE_VERSION)
                return -EINVAL;
        r = shell_new(spec, &d);
        if (r < 0)
                return r;
        Shell *s = shell(d);
        if (json_get_bool(state, "started", &s->started) < 0 ||
            json_get_bool(state, "running", &s->running) < 0 ||
            json_get_bool(state, "lastFailed", &s->last_failed) < 0 ||
            json_get_u64(state, "turns", &s->turns) < 0 || json_get_u64(state, "sent", &s->sent) < 0 ||
            json_get_u64(state, "oversizeLines", &s->oversize_lines) < 0 ||
            json_get_u64(state, "ambiguousLines", &s->ambiguous_lines) < 0)
                return -EINVAL;
        *ret = TAKE_PTR(d);
        return 0;
}

static int shell_save(Driver *d, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        Shell *s = shell(d);

        if (!o || json_set_u64(o, "version", STATE_VERSION) < 0 ||
            json_set_bool(o, "started", s->started) < 0 || json_set_bool(o, "running", s->running) < 0 ||
            json_set_bool(o, "lastFailed", s->last_failed) < 0 || json_set_u64(o, "turns", s->turns) < 0 ||
            json_set_u64(o, "sent", s->sent) < 0 ||
            json_set_u64(o, "oversizeLines", s->oversize_lines) < 0 ||
            json_set_u64(o, "ambiguousLines", s->ambiguous_lines) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static const char *const program_paths[] = { NF_LIBEXECDIR "/northflare-shell-agent", NULL };
static const char advice[] =
        "install northflare-shell-agent, which belongs to this package, to " NF_LIBEXECDIR;

static int shell_probe(Json *agent_config, char **ret_error) {
        return plan_executable(agent_config, program_paths, advice, NULL, ret_error);
}

static int shell_plan(Json *spec, Json *agent_config, LaunchPlan *ret, char **ret_error) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        char *path = NULL;
        int r;

        r = plan_executable(agent_config, program_paths, advice, &path, ret_error);
        if (r < 0)
                return r;
        r = strv_consume(&plan.argv, path);
        if (r < 0)
                return r;
        r = plan_env(spec, agent_config, NULL, &plan.env, ret_error);
        if (r < 0)
                return r;
        *ret = plan;
        memset(&plan, 0, sizeof(plan)); /* handed over */
        return 0;
}

static int shell_begin(Driver *d, Buffer *ret_lines) {
        return 0;
}

/* ---- lines ---- */

static int feed_started(Shell *s, DriverFeed *f, Slice line) {
        s->started = true;
        feed_begin(f, "started");
        feed_json(f, "version", slice_member(line, "version", SCAN_STRING));
        feed_json(f, "cwd", slice_member(line, "cwd", SCAN_STRING));
        return feed_end(f);
}

static int feed_output(Shell *s, DriverFeed *f, Slice line) {
        Slice text = slice_member(line, "text", SCAN_STRING);

        if (!slice_is_set(text))
                return feed_notice_line(f, "output without text", line.data, line.size);
        feed_begin(f, "text");
        feed_json(f, "delta", text);
        feed_json(f, "stream", slice_member(line, "stream", SCAN_STRING));
        return feed_end(f);
}

static int feed_turn_end(Shell *s, DriverFeed *f, Slice line) {
        Slice code = slice_member(line, "exitCode", SCAN_NUMBER),
              signal = slice_member(line, "signal", SCAN_NUMBER), v;
        bool interrupted = json_scan_member(line, "interrupted", &v) && json_scan_is_true(v);
        bool ok = code.size == 1 && code.data[0] == '0' && !interrupted;

        s->running = false;
        s->last_failed = !ok && !interrupted;
        s->turns++;
        feed_begin(f, "turn_end");
        feed_bool(f, "ok", ok);
        feed_string(f, "reason", interrupted ? "interrupted" : ok ? "done" : "error");
        feed_json(f, "exitCode", code);
        feed_json(f, "signal", signal);
        feed_json(f, "durationMs", slice_member(line, "durationMs", SCAN_NUMBER));
        return feed_end(f);
}

static void script_settled(Shell *s) {
        if (s->sent > 0)
                s->sent--;
}

static int feed_error(Shell *s, DriverFeed *f, Slice line) {
        Slice v;

        /* With an id it is about a message that was refused; a turn that runs has been settled by its start. */
        if (!s->running && json_scan_member(line, "id", &v))
                script_settled(s);
        return feed_error_event(
                f, SLICE_LITERAL("\"agent\""), (Slice){}, slice_member(line, "text", SCAN_STRING), false);
}

static const char *const line_names[] = {
        "type",        "text",   "stream",     "version", "cwd", "exitCode",
        "interrupted", "signal", "durationMs", "id",      NULL,
};
static const LineShape line_shape = { line_names, NULL };

static int shell_feed_oversize(
        Driver *d,
        const char *head,
        size_t head_size,
        uint64_t size,
        uint64_t offset,
        const DriverSink *sink) {
        Shell *s = shell(d);
        _cleanup_(feed_done) DriverFeed f = { .sink = sink, .offset = offset, .scratch = &s->scratch };

        s->oversize_lines++;
        return feed_oversize_event(&f, (Slice){ head, head_size }, size, false);
}

static int shell_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink) {
        Shell *s = shell(d);
        _cleanup_(feed_done) DriverFeed f = { .sink = sink, .offset = offset, .scratch = &s->scratch };
        Slice o = { line, size }, type;

        if (size == 0)
                return 0;
        if (!json_scan_valid(line, size))
                return feed_notice_line(&f, "the agent wrote a line that is not JSON", line, size);
        if (line_is_ambiguous(o, &line_shape)) {
                s->ambiguous_lines++;
                return feed_ambiguous(&f, line, size);
        }
        if (!json_scan_member(o, "type", &type))
                return feed_notice_line(&f, "the agent wrote a line without a type", line, size);
        if (json_scan_string_is(type, "output"))
                return feed_wants_events(&f) ? feed_output(s, &f, o) : 0;
        if (json_scan_string_is(type, "started"))
                return feed_started(s, &f, o);
        if (json_scan_string_is(type, "turn_start")) {
                s->running = true;
                script_settled(s);
                return 0;
        }
        if (json_scan_string_is(type, "turn_end"))
                return feed_turn_end(s, &f, o);
        if (json_scan_string_is(type, "error"))
                return feed_error(s, &f, o);
        return 0;
}

/* ---- commands ---- */

/* A string, or the texts of an array of text blocks, one after the other. */
static int script_of(Json *content, Buffer *ret, char **ret_error) {
        if (json_object_is_type(content, json_type_string))
                return buffer_append(
                        ret, json_object_get_string(content), (size_t) json_object_get_string_len(content));
        if (!json_object_is_type(content, json_type_array))
                return refuse(ret_error, "content is neither a string nor an array of blocks");
        for (size_t i = 0; i < json_object_array_length(content); i++) {
                Json *block = json_object_array_get_idx(content, i), *text = json_get(block, "text");
                const char *type = json_get_string(block, "type");

                if (!type || !streq(type, "text") || !json_object_is_type(text, json_type_string))
                        return refuse(
                                ret_error,
                                "content[%zu] is not a text block; the shell accepts only text",
                                i);
                int r = buffer_append(
                        ret, json_object_get_string(text), (size_t) json_object_get_string_len(text));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int render_user(Shell *s, const DriverCommand *c, Buffer *b, char **ret_error) {
        _cleanup_buffer_ Buffer script = {};
        int r;

        r = script_of(json_get(c->params, "content"), &script, ret_error);
        if (r < 0)
                return r;
        if (script.size > 0 && memchr(script.data, 0, script.size))
                return refuse(ret_error, "content has a NUL character, which a script cannot contain");
        (void) buffer_printf(b, "{\"type\":\"user\",\"id\":\"m%" PRIu64 "\",\"text\":", c->seq);
        (void) buffer_append_json(b, strempty(script.data), script.size);
        r = buffer_append_str(b, "}\n");
        if (r < 0)
                return r;
        s->sent++;
        return 1;
}

static int shell_command(Driver *d, const DriverCommand *c, Buffer *ret_lines, char **ret_error) {
        int r;

        switch (c->type) {
        case DRIVER_COMMAND_USER:
                return render_user(shell(d), c, ret_lines, ret_error);
        case DRIVER_COMMAND_INTERRUPT:
                r = buffer_append_str(ret_lines, "{\"type\":\"interrupt\"}\n");
                return r < 0 ? r : 1;
        case DRIVER_COMMAND_END:
                r = buffer_append_str(ret_lines, "{\"type\":\"end\"}\n");
                return r < 0 ? r : 1;
        case DRIVER_COMMAND_ANSWER:
                return refuse(ret_error, "the shell asks no questions");
        case DRIVER_COMMAND_CONFIG:
                return refuse(ret_error, "the shell has neither a model nor permission modes");
        }
        return refuse(ret_error, "the shell does not support this command");
}

/* ---- what it knows ---- */

static DriverPhase shell_phase(Driver *d) {
        Shell *s = shell(d);

        return !s->started ? DRIVER_STARTING : s->running || s->sent > 0 ? DRIVER_RUNNING : DRIVER_IDLE;
}

static bool shell_last_turn_failed(Driver *d) {
        return shell(d)->last_failed;
}

static void shell_usage(Driver *d, DriverUsage *ret) {
        *ret = (DriverUsage){
                .turns = shell(d)->turns,
                .oversize_lines = shell(d)->oversize_lines,
                .ambiguous_lines = shell(d)->ambiguous_lines,
        };
}

const DriverOps shell_driver_ops = {
        .name = "shell",
        .probe = shell_probe,
        .plan = shell_plan,
        .new = shell_new,
        .load = shell_load,
        .free = shell_free,
        .save = shell_save,
        .begin = shell_begin,
        .feed = shell_feed,
        .feed_oversize = shell_feed_oversize,
        .command = shell_command,
        .phase = shell_phase,
        .questions = driver_no_questions,
        .last_turn_failed = shell_last_turn_failed,
        .background = driver_no_background,
        .processes_are_tasks = true,
        .session = driver_no_session,
        .usage = shell_usage,
};
