/* SPDX-License-Identifier: MIT */
#include "runner/agent/claude-ask.h"
#include "runner/agent/claude-command.h"
#include "runner/agent/claude-feed.h"
#include "runner/agent/claude-plan.h"
#include "runner/agent/driver-claude.h"

/* 1, which is still read: with what the questions say in the place of how much that is. With another one comes another version
 * of the store (store-schema.c), which keeps older programs out of it. */
#define STATE_VERSION 2

static void driver_claude_free(Driver *d) {
        Claude *c = claude(d);

        for (size_t i = 0; i < c->n_asks; i++)
                claude_ask_done(&c->asks[i]);
        for (size_t i = 0; i < c->n_tasks; i++)
                free(c->tasks[i]);
        free(c->append_prompt);
        free(c->session);
        free(c->model);
        free(c->mode);
        free(c->session_id);
        free(c->error_kind);
        buffer_done(&c->scratch);
        free(c);
}

static int driver_claude_new(Json *spec, Driver **ret) {
        _cleanup_(driver_freep) Driver *d = NULL;
        const char *resume = json_get_string(spec, "resumeSessionId"),
                   *id = json_get_string(spec, "sessionId");
        Json *prompt = json_get(spec, "appendSystemPrompt");
        bool fork = false;
        Claude *c;

        c = new0(Claude, 1);
        if (!c)
                return -ENOMEM;
        d = &c->driver;
        d->ops = &claude_driver_ops;
        (void) json_get_bool(spec, "forkSession", &fork);
        c->resumed = resume;
        c->trusted = claude_is_trusted(spec);
        if (free_and_strdup(&c->session_id, resume && !fork ? resume : id) < 0)
                return -ENOMEM;
        if (json_object_is_type(prompt, json_type_string) && json_object_get_string_len(prompt) > 0) {
                _cleanup_buffer_ Buffer b = {};

                (void) buffer_append_json(
                        &b, json_object_get_string(prompt), (size_t) json_object_get_string_len(prompt));
                c->append_prompt = buffer_steal(&b);
                if (!c->append_prompt)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(d);
        return 0;
}

/* ---- state ---- */

static int save_ask(Json *list, const ClaudeAsk *a) {
        _cleanup_json_ Json *o = json_object_new_object();

        if (!o || json_set_u64(o, "offset", a->offset) < 0 || json_set_u64(o, "n", a->n) < 0 ||
            json_set_string(o, "requestId", a->request_id) < 0 ||
            json_set_string(o, "toolCallId", a->tool_call_id) < 0 || json_set_u64(o, "size", a->size) < 0 ||
            json_set_bool(o, "overlong", a->overlong) < 0 || json_set_bool(o, "answered", a->answered) < 0 ||
            json_object_array_add(list, o) < 0)
                return -ENOMEM;
        TAKE_PTR(o);
        return 0;
}

static int save_asks(Claude *c, Json *o) {
        _cleanup_json_ Json *list = json_object_new_array();

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_asks; i++)
                if (save_ask(list, &c->asks[i]) < 0)
                        return -ENOMEM;
        return json_set(o, "asks", TAKE_PTR(list));
}

static int save_tasks(Claude *c, Json *o) {
        _cleanup_json_ Json *list = json_object_new_array();

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_tasks; i++) {
                Json *s = json_object_new_string(c->tasks[i]);

                if (!s || json_object_array_add(list, s) < 0) {
                        json_object_put(s);
                        return -ENOMEM;
                }
        }
        return json_set(o, "tasks", TAKE_PTR(list));
}

static int driver_claude_save(Driver *d, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        Claude *c = claude(d);

        if (!o || json_set_u64(o, "version", STATE_VERSION) < 0 || json_set_bool(o, "ready", c->ready) < 0 ||
            json_set_bool(o, "inTurn", c->in_turn) < 0 || json_set_bool(o, "told", c->reported) < 0 ||
            json_set_string(o, "session", c->session) < 0 || json_set_string(o, "model", c->model) < 0 ||
            json_set_string(o, "mode", c->mode) < 0 || json_set_string(o, "sessionId", c->session_id) < 0 ||
            json_set_string(o, "errorKind", c->error_kind) < 0 || json_set_u64(o, "turns", c->turns) < 0 ||
            json_set_u64(o, "inputTokens", c->input_tokens) < 0 ||
            json_set_u64(o, "outputTokens", c->output_tokens) < 0 ||
            json_set_u64(o, "cacheReadTokens", c->cache_read_tokens) < 0 ||
            json_set_u64(o, "cacheWriteTokens", c->cache_write_tokens) < 0 ||
            json_set_bool(o, "hasCost", c->has_cost) < 0 ||
            json_set(o, "totalCost", json_object_new_double(c->total_cost)) < 0 ||
            json_set(o, "cost", json_object_new_double(c->cost)) < 0 ||
            json_set_bool(o, "lastFailed", c->last_failed) < 0 || json_set_bool(o, "sent", c->sent) < 0 ||
            json_set_bool(o, "queued", c->queued) < 0 ||
            json_set_u64(o, "oversizeLines", c->oversize_lines) < 0 ||
            json_set_u64(o, "ambiguousLines", c->ambiguous_lines) < 0 || save_asks(c, o) < 0 ||
            save_tasks(c, o) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static int load_string(Json *o, const char *name, char **ret) {
        const char *s = json_get_string(o, name);

        if (!s)
                return json_get(o, name) ? -EINVAL : 0;
        return free_and_strdup(ret, s);
}

static int load_double(Json *o, const char *name, double *ret) {
        Json *v = json_get(o, name);

        if (!json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int))
                return -EINVAL;
        *ret = json_object_get_double(v);
        return 0;
}

static Slice text_of(Json *o, const char *name) {
        const char *s = json_get_string(o, name);

        return (Slice){ s, s ? strlen(s) : 0 };
}

/* Of version 1, which had another bound for it. */
static int measure_ask(ClaudeAsk *a, Json *o) {
        const DriverQuestionText text = {
                text_of(o, "tool"), text_of(o, "title"), text_of(o, "input"), text_of(o, "suggestions")
        };
        const ClaudeAskText t = { text_of(o, "requestId"), text_of(o, "toolCallId"), text };

        if (!text.tool.data || !text.title.data || !text.input.data || !text.suggestions.data)
                return -EINVAL;
        a->size = claude_ask_text_bytes(&t);
        a->overlong = text.input.size + text.suggestions.size > CLAUDE_ASK_LINE_MAX ||
                a->size > CLAUDE_ASK_LINE_MAX + CLAUDE_TOOL_NAME_MAX;
        return 0;
}

static int load_ask(Claude *c, Json *o, uint64_t version) {
        uint64_t n = 0;
        int r;

        if (c->n_asks == CLAUDE_ASKS_MAX)
                return -EINVAL;
        ClaudeAsk *a = &c->asks[c->n_asks++];
        if ((r = load_string(o, "requestId", &a->request_id)) < 0 ||
            (r = load_string(o, "toolCallId", &a->tool_call_id)) < 0 ||
            (r = json_get_u64(o, "offset", &a->offset)) < 0 || (r = json_get_u64(o, "n", &n)) < 0 ||
            (r = json_get_bool(o, "answered", &a->answered)) < 0)
                return r;
        if (version == 1)
                r = measure_ask(a, o);
        else if (json_get_u64(o, "size", &a->size) > 0)
                r = json_get_bool(o, "overlong", &a->overlong);
        else
                r = -EINVAL;
        a->n = (unsigned) n;
        return r < 0 ? r : a->request_id ? 0 : -EINVAL;
}

static int load_members(Claude *c, Json *o) {
        Json *asks = json_get(o, "asks");
        uint64_t version = 0;
        int r;

        if (json_get_u64(o, "version", &version) <= 0 || version < 1 || version > STATE_VERSION ||
            !json_object_is_type(asks, json_type_array))
                return -EINVAL;
        if ((r = json_get_bool(o, "ready", &c->ready)) < 0 ||
            (r = json_get_bool(o, "inTurn", &c->in_turn)) < 0 ||
            (r = json_get_bool(o, "told", &c->reported)) < 0 ||
            (r = load_string(o, "session", &c->session)) < 0 ||
            (r = load_string(o, "model", &c->model)) < 0 || (r = load_string(o, "mode", &c->mode)) < 0 ||
            (r = load_string(o, "sessionId", &c->session_id)) < 0 ||
            (r = load_string(o, "errorKind", &c->error_kind)) < 0 ||
            (r = json_get_u64(o, "turns", &c->turns)) < 0 ||
            (r = json_get_u64(o, "inputTokens", &c->input_tokens)) < 0 ||
            (r = json_get_u64(o, "outputTokens", &c->output_tokens)) < 0 ||
            (r = json_get_u64(o, "cacheReadTokens", &c->cache_read_tokens)) < 0 ||
            (r = json_get_u64(o, "cacheWriteTokens", &c->cache_write_tokens)) < 0 ||
            (r = json_get_u64(o, "oversizeLines", &c->oversize_lines)) < 0 ||
            (r = json_get_u64(o, "ambiguousLines", &c->ambiguous_lines)) < 0 ||
            (r = json_get_bool(o, "hasCost", &c->has_cost)) < 0 ||
            (r = load_double(o, "totalCost", &c->total_cost)) < 0 ||
            (r = load_double(o, "cost", &c->cost)) < 0 ||
            (r = json_get_bool(o, "lastFailed", &c->last_failed)) < 0 ||
            (r = json_get_bool(o, "sent", &c->sent)) < 0 || (r = json_get_bool(o, "queued", &c->queued)) < 0)
                return r;
        for (size_t i = 0; i < json_object_array_length(asks); i++)
                if ((r = load_ask(c, json_object_array_get_idx(asks, i), version)) < 0)
                        return r;
        return 0;
}

/* A state of before there were any has none. */
static int load_tasks(Claude *c, Json *list) {
        if (list && !json_object_is_type(list, json_type_array))
                return -EINVAL;
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                Json *s = json_object_array_get_idx(list, i);

                if (!json_object_is_type(s, json_type_string) || c->n_tasks == CLAUDE_TASKS_MAX)
                        return -EINVAL;
                c->tasks[c->n_tasks] = strdup(json_object_get_string(s));
                if (!c->tasks[c->n_tasks++])
                        return -ENOMEM;
        }
        return 0;
}

static int driver_claude_load(Json *spec, Json *state, Driver **ret) {
        _cleanup_(driver_freep) Driver *d = NULL;
        int r;

        r = driver_claude_new(spec, &d);
        if (r < 0)
                return r;
        r = load_members(claude(d), state);
        if (r >= 0)
                r = load_tasks(claude(d), json_get(state, "tasks"));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

/* ---- what it knows ---- */

static int driver_claude_begin(Driver *d, Buffer *ret_lines) {
        return claude_begin(claude(d), ret_lines);
}

static DriverPhase driver_claude_phase(Driver *d) {
        Claude *c = claude(d);

        if (!c->ready)
                return DRIVER_STARTING;
        for (size_t i = 0; i < c->n_asks; i++)
                if (!c->asks[i].answered)
                        return DRIVER_WAITING_PERMISSION;
        return c->in_turn || c->sent ? DRIVER_RUNNING : DRIVER_IDLE;
}

static_assert(CLAUDE_ASKS_MAX <= DRIVER_QUESTIONS_MAX, "one for each");

static size_t driver_claude_questions(Driver *d, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]) {
        Claude *c = claude(d);
        size_t n = 0;

        for (size_t i = 0; i < c->n_asks; i++) {
                const ClaudeAsk *a = &c->asks[i];

                if (!a->answered)
                        ret[n++] = (DriverQuestion){ a->offset, a->n };
        }
        return n;
}

static int
driver_claude_read_question(Driver *d, const DriverQuestion *q, Slice line, DriverQuestionText *ret) {
        ClaudeAsk *a = claude_find_ask(claude(d), q->offset, q->n);
        ClaudeAskText t;

        if (!a || claude_ask_read(a, line, &t) < 0)
                return -EBADMSG;
        *ret = t.text;
        return 0;
}

static bool driver_claude_overlong_question(Driver *d, uint64_t *ret_offset, unsigned *ret_n) {
        Claude *c = claude(d);

        for (size_t i = 0; i < c->n_asks; i++) {
                const ClaudeAsk *a = &c->asks[i];

                if (a->answered || !a->overlong)
                        continue;
                *ret_offset = a->offset;
                *ret_n = a->n;
                return true;
        }
        return false;
}

static bool driver_claude_last_turn_failed(Driver *d) {
        return claude(d)->last_failed;
}

static unsigned driver_claude_background(Driver *d) {
        return (unsigned) claude(d)->n_tasks;
}

static const char *driver_claude_session(Driver *d) {
        return claude(d)->session_id;
}

static void driver_claude_usage(Driver *d, DriverUsage *ret) {
        Claude *c = claude(d);

        *ret = (DriverUsage){
                .turns = c->turns,
                .input_tokens = c->input_tokens,
                .output_tokens = c->output_tokens,
                .cache_read_tokens = c->cache_read_tokens,
                .cache_write_tokens = c->cache_write_tokens,
                .oversize_lines = c->oversize_lines,
                .ambiguous_lines = c->ambiguous_lines,
                .cost_usd = c->cost,
                .has_cost = c->has_cost,
        };
}

const DriverOps claude_driver_ops = {
        .name = "claude",
        .probe = claude_probe,
        .plan = claude_plan,
        .new = driver_claude_new,
        .load = driver_claude_load,
        .free = driver_claude_free,
        .save = driver_claude_save,
        .begin = driver_claude_begin,
        .feed = claude_feed,
        .feed_oversize = claude_feed_oversize,
        .command = claude_command,
        .phase = driver_claude_phase,
        .questions = driver_claude_questions,
        .read_question = driver_claude_read_question,
        .overlong_question = driver_claude_overlong_question,
        .last_turn_failed = driver_claude_last_turn_failed,
        .background = driver_claude_background,
        .session = driver_claude_session,
        .usage = driver_claude_usage,
};
