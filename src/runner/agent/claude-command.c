/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/claude-ask.h"
#include "runner/agent/claude-command.h"
#include "runner/agent/driver-util.h"
#include "runner/agent/launch-plan.h"

/* From commands to lines. Claude Code exits at the first line that is not JSON, so each one is checked again
 * before it is sent. */

#define MODEL_MAX 256

/* Checks what was rendered and hands it over. */
static int finish(Buffer *b, Buffer *ret_lines, char **ret_error) {
        int r;

        if (b->failed)
                return -ENOMEM;
        if (!json_scan_valid(b->data, b->size))
                return refuse(ret_error, "the message is nested deeper than the agent can read");
        (void) buffer_append(b, "\n", 1);
        r = buffer_append(ret_lines, b->data, b->size);
        return r < 0 ? r : 1;
}

static int append_json(Buffer *b, Json *o) {
        const char *text = json_text(o);
        return text ? buffer_append_str(b, text) : -ENOMEM;
}

int claude_begin(Claude *c, Buffer *ret_lines) {
        (void) buffer_append_str(
                ret_lines,
                "{\"type\":\"control_request\",\"request_id\":\"" CLAUDE_INIT_ID
                "\",\"request\":{\"subtype\":\"initialize\",\"hooks\":null");
        if (c->append_prompt) {
                (void) buffer_append_str(ret_lines, ",\"appendSystemPrompt\":");
                (void) buffer_append_str(ret_lines, c->append_prompt);
        }
        return buffer_append_str(ret_lines, "}}\n");
}

/* ---- messages ---- */

static bool is_base64(Json *v) {
        const char *s = json_object_get_string(v);
        size_t n = (size_t) json_object_get_string_len(v),
               digits = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

        return n > 0 && n % 4 == 0 && digits + 2 >= n && strspn(s + digits, "=") == n - digits;
}

static int check_image(Json *block, size_t i, char **ret_error) {
        static const char *const types[] = { "image/png", "image/jpeg", "image/gif", "image/webp" };
        Json *source = json_get(block, "source"), *data = json_get(source, "data");
        const char *type = json_get_string(source, "type"), *media = json_get_string(source, "media_type");
        bool known = false;

        if (!type || !streq(type, "base64"))
                return refuse(ret_error, "content[%zu].source is not of type base64", i);
        for (size_t k = 0; media && k < ELEMENTSOF(types); k++)
                known = known || streq(media, types[k]);
        if (!known)
                return refuse(
                        ret_error,
                        "content[%zu].source.media_type is not image/png, image/jpeg, image/gif or image/webp",
                        i);
        if (!json_object_is_type(data, json_type_string) || !is_base64(data))
                return refuse(ret_error, "content[%zu].source.data is not base64", i);
        return 0;
}

static int check_content(Json *content, char **ret_error) {
        if (json_object_is_type(content, json_type_string))
                return json_object_get_string_len(content) > 0 ? 0 : refuse(ret_error, "content is empty");
        if (!json_object_is_type(content, json_type_array))
                return refuse(ret_error, "content is neither a string nor an array of blocks");
        if (json_object_array_length(content) == 0)
                return refuse(ret_error, "content is empty");
        for (size_t i = 0; i < json_object_array_length(content); i++) {
                Json *block = json_object_array_get_idx(content, i), *text = json_get(block, "text");
                const char *type = json_get_string(block, "type");

                if (type && streq(type, "text")) {
                        if (!json_object_is_type(text, json_type_string) ||
                            json_object_get_string_len(text) == 0)
                                return refuse(ret_error, "content[%zu] has no text", i);
                } else if (type && streq(type, "image")) {
                        int r = check_image(block, i, ret_error);
                        if (r < 0)
                                return r;
                } else
                        return refuse(ret_error, "content[%zu] is neither a text nor an image block", i);
        }
        return 0;
}

static int render_user(Claude *c, Json *params, Buffer *b, Buffer *ret_lines, char **ret_error) {
        Json *content = json_get(params, "content");
        int r;

        r = check_content(content, ret_error);
        if (r < 0)
                return r;
        /* Before that it might be lost: a session that cannot be resumed ends the program. */
        if (!c->ready)
                return 0;
        (void) buffer_append_str(b, "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":");
        r = append_json(b, content);
        if (r < 0)
                return r;
        (void) buffer_append_str(b, "},\"parent_tool_use_id\":null,\"session_id\":\"\"}");
        r = finish(b, ret_lines, ret_error);
        if (r > 0) {
                c->queued = c->in_turn || c->sent;
                c->sent = true;
        }
        return r;
}

/* ---- requests ---- */

static void begin_request(Buffer *b, uint64_t seq, const char *suffix, const char *subtype) {
        (void) buffer_printf(
                b,
                "{\"type\":\"control_request\",\"request_id\":\"nf-%" PRIu64
                "%s\",\"request\":{\"subtype\":\"%s\"",
                seq,
                suffix,
                subtype);
}

static int
render_request(uint64_t seq, const char *subtype, Buffer *b, Buffer *ret_lines, char **ret_error) {
        begin_request(b, seq, "", subtype);
        (void) buffer_append_str(b, "}}");
        return finish(b, ret_lines, ret_error);
}

/* The model may be null, which is the default's name. */
static int render_model(uint64_t seq, Json *model, Buffer *b, Buffer *ret_lines, char **ret_error) {
        if (model) {
                const char *s = json_object_get_string(model);

                if (!json_object_is_type(model, json_type_string))
                        return refuse(ret_error, "model is neither a string nor null");
                if (!*s || json_object_get_string_len(model) > MODEL_MAX)
                        return refuse(
                                ret_error, "model is empty or longer than %u bytes", (unsigned) MODEL_MAX);
        }
        begin_request(b, seq, "", "set_model");
        (void) buffer_append_str(b, ",\"model\":");
        int r = model ? append_json(b, model) : buffer_append_str(b, "null");
        if (r < 0)
                return r;
        (void) buffer_append_str(b, "}}");
        return finish(b, ret_lines, ret_error);
}

static int render_mode(uint64_t seq, Json *params, Buffer *b, Buffer *ret_lines, char **ret_error) {
        const char *mode;
        int r;

        r = plan_string(params, "permissionMode", MODEL_MAX, &mode, ret_error);
        if (r <= 0)
                return r;
        begin_request(b, seq, "m", "set_permission_mode");
        (void) buffer_append_str(b, ",\"mode\":");
        (void) buffer_append_json_str(b, mode);
        (void) buffer_append_str(b, "}}");
        return finish(b, ret_lines, ret_error);
}

static int
render_config(Claude *c, const DriverCommand *cmd, Buffer *b, Buffer *ret_lines, char **ret_error) {
        _cleanup_buffer_ Buffer lines = {};
        Json *model = NULL;
        int r;

        if (json_object_is_type(cmd->params, json_type_object) &&
            json_object_object_get_ex(cmd->params, "model", &model)) {
                r = render_model(cmd->seq, model, b, &lines, ret_error);
                if (r < 0)
                        return r;
                b->size = 0;
        }
        r = render_mode(cmd->seq, cmd->params, b, &lines, ret_error);
        if (r < 0)
                return r;
        if (!c->ready)
                return 0;
        r = buffer_append(ret_lines, strempty(lines.data), lines.size);
        return r < 0 ? r : 1;
}

/* ---- answers ---- */

/* Rules that would be written into the working directory, where they are not read again, hold for the session instead.
 * *ret is new; permissions stays as it is, for others have it too. */
static int keep_in_session(Json *permissions, Json **ret) {
        _cleanup_json_ Json *copy = NULL;

        if (json_object_deep_copy(permissions, &copy, NULL) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < json_object_array_length(copy); i++) {
                Json *update = json_object_array_get_idx(copy, i);
                const char *to = json_get_string(update, "destination");

                if (to && (streq(to, "localSettings") || streq(to, "projectSettings")) &&
                    json_set_string(update, "destination", "session") < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

/* The input goes back always: without it 2.1.197 takes the answer for a broken one. */
static int
append_input(const ClaudeAsk *a, const DriverCommand *cmd, Json *updated, Buffer *b, char **ret_error) {
        ClaudeAskText t;

        if (updated && !json_object_is_type(updated, json_type_object))
                return refuse(ret_error, "updatedInput is not an object");
        if (updated)
                return append_json(b, updated);
        if (claude_ask_read(a, cmd->line, &t) < 0)
                return refuse(ret_error, "failed to read the question in the agent's output");
        return buffer_append(b, t.text.input.data, t.text.input.size);
}

static int
render_allow(const Claude *c, const ClaudeAsk *a, const DriverCommand *cmd, Buffer *b, char **ret_error) {
        _cleanup_json_ Json *in_session = NULL;
        Json *permissions = json_get(cmd->params, "updatedPermissions");
        int r;

        (void) buffer_append_str(b, "\"behavior\":\"allow\",\"updatedInput\":");
        r = append_input(a, cmd, json_get(cmd->params, "updatedInput"), b, ret_error);
        if (r < 0)
                return r;
        if (!permissions)
                return 0;
        if (!json_object_is_type(permissions, json_type_array))
                return refuse(ret_error, "updatedPermissions is not an array");
        if (!c->trusted) {
                r = keep_in_session(permissions, &in_session);
                if (r < 0)
                        return r;
                permissions = in_session;
        }
        (void) buffer_append_str(b, ",\"updatedPermissions\":");
        return append_json(b, permissions);
}

static int render_deny(Json *params, Buffer *b, char **ret_error) {
        Json *message = json_get(params, "message");
        bool interrupt = false;
        int r;

        if (message && !json_object_is_type(message, json_type_string))
                return refuse(ret_error, "message is not a string");
        if (json_get_bool(params, "interrupt", &interrupt) < 0)
                return refuse(ret_error, "interrupt is neither true nor false");
        (void) buffer_append_str(b, "\"behavior\":\"deny\",\"message\":");
        r = message && json_object_get_string_len(message) > 0 ?
                append_json(b, message) :
                buffer_append_json_str(b, "The user did not allow this.");
        if (r < 0)
                return r;
        return interrupt ? buffer_append_str(b, ",\"interrupt\":true") : 0;
}

static int
render_answer(Claude *c, const DriverCommand *cmd, Buffer *b, Buffer *ret_lines, char **ret_error) {
        const char *behavior = json_get_string(cmd->params, "behavior");
        ClaudeAsk *a = claude_find_ask(c, cmd->offset, cmd->n);
        int r;

        if (!a)
                return refuse(ret_error, "no such question is open");
        if (a->answered)
                return refuse(ret_error, "this question was already answered");
        (void) buffer_append_str(
                b, "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":");
        (void) buffer_append_str(b, a->request_id);
        (void) buffer_append_str(b, ",\"response\":{");
        if (behavior && streq(behavior, "allow"))
                r = render_allow(c, a, cmd, b, ret_error);
        else if (behavior && streq(behavior, "deny"))
                r = render_deny(cmd->params, b, ret_error);
        else
                r = refuse(ret_error, "behavior is neither allow nor deny");
        if (r < 0)
                return r;
        (void) buffer_append_str(b, "}}}");
        r = finish(b, ret_lines, ret_error);
        if (r > 0)
                a->answered = true;
        return r;
}

int claude_command(Driver *d, const DriverCommand *cmd, Buffer *ret_lines, char **ret_error) {
        _cleanup_buffer_ Buffer b = {};
        Claude *c = claude(d);

        *ret_error = NULL;
        switch (cmd->type) {
        case DRIVER_COMMAND_USER:
                return render_user(c, cmd->params, &b, ret_lines, ret_error);
        case DRIVER_COMMAND_INTERRUPT:
                return c->ready ? render_request(cmd->seq, "interrupt", &b, ret_lines, ret_error) : 0;
        case DRIVER_COMMAND_ANSWER:
                return render_answer(c, cmd, &b, ret_lines, ret_error);
        case DRIVER_COMMAND_CONFIG:
                return render_config(c, cmd, &b, ret_lines, ret_error);
        case DRIVER_COMMAND_END:
                /* end_session breaks off a turn that runs; the end of stdin lets it finish. */
                return c->ready && !c->in_turn && !c->sent && !c->queued ?
                        render_request(cmd->seq, "end_session", &b, ret_lines, ret_error) :
                        0;
        }
        return refuse(ret_error, "Claude Code does not support this command");
}
