/* SPDX-License-Identifier: MIT */
#include "runner/agent/claude-shape.h"
#include "runner/agent/line-shape.h"

/* Which members of a line are read. What is looked up in claude-feed.c, claude-ask.c and claude-result.c is named here, by
 * the type of the line. */

#define NAMES(...)                \
        (const char *const[]) {   \
                __VA_ARGS__, NULL \
        }
#define MEMBERS(...)                \
        (const LineShapeMember[]) { \
                __VA_ARGS__, {      \
                }                   \
        }

static const LineShape delta = { NAMES("type", "text", "thinking"), NULL };
static const LineShape stream = { NAMES("type", "delta"), MEMBERS({ "delta", &delta, false }) };
static const LineShape text = { NAMES("type", "text"), NULL };
static const LineShape block = {
        NAMES("type", "text", "id", "name", "input", "tool_use_id", "is_error", "content"),
        MEMBERS({ "content", &text, true }),
};
static const LineShape message = { NAMES("content"), MEMBERS({ "content", &block, true }) };
static const LineShape task = { NAMES("task_id"), NULL };
static const LineShape patch = { NAMES("status"), NULL };
static const LineShape usage = {
        NAMES("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        NULL
};
static const LineShape model_usage = { NAMES("costUSD"), NULL };
static const LineShape request = {
        NAMES("subtype",
              "tool_name",
              "tool_use_id",
              "title",
              "description",
              "display_name",
              "input",
              "permission_suggestions"),
        NULL,
};
static const LineShape response = { NAMES("request_id", "subtype", "error"), NULL };

static const struct {
        const char *type;
        LineShape shape;
} lines[] = {
        { "stream_event",
          { NAMES("type", "event", "parent_tool_use_id"), MEMBERS({ "event", &stream, false }) } },
        { "assistant",
          { NAMES("type", "error", "message", "parent_tool_use_id"),
            MEMBERS({ "message", &message, false }) } },
        { "user",
          { NAMES("type", "message", "parent_tool_use_id"), MEMBERS({ "message", &message, false }) } },
        { "system",
          { NAMES("type",
                  "subtype",
                  "session_id",
                  "model",
                  "permissionMode",
                  "claude_code_version",
                  "error",
                  "error_status",
                  "attempt",
                  "max_retries",
                  "retry_delay_ms",
                  "task_id",
                  "tasks",
                  "patch"),
            MEMBERS({ "tasks", &task, true }, { "patch", &patch, false }) } },
        { "result",
          { NAMES("type",
                  "is_error",
                  "subtype",
                  "terminal_reason",
                  "result",
                  "errors",
                  "usage",
                  "total_cost_usd",
                  "api_error_status",
                  "queued_turn_count",
                  "model_usage_since_last_result"),
            MEMBERS({ "usage", &usage, false }, { "model_usage_since_last_result", &model_usage, true }) } },
        { "control_request",
          { NAMES("type", "request_id", "request"), MEMBERS({ "request", &request, false }) } },
        { "control_response", { NAMES("type", "response"), MEMBERS({ "response", &response, false }) } },
        { "control_cancel_request", { NAMES("type", "request_id"), NULL } },
};

static const LineShape any = { NAMES("type"), NULL };

bool claude_line_is_ambiguous(Slice line) {
        Slice type;

        if (!json_scan_member(line, "type", &type))
                return line_is_ambiguous(line, &any);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                if (json_scan_string_is(type, lines[i].type))
                        return line_is_ambiguous(line, &lines[i].shape);
        return line_is_ambiguous(line, &any);
}
