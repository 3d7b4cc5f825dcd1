/* SPDX-License-Identifier: MIT */
#include "orchestrator/wire/json-members.h"
#include "orchestrator/wire/runner-message.h"

bool runner_message_next(Slice body, size_t *iter, Slice *ret) {
        if (json_scan_type(body) == SCAN_ARRAY)
                return json_scan_element(body, iter, ret);
        *ret = body;
        return (*iter)++ == 0;
}

static int refuse_twice(size_t i, const char *where, const char *name, RpcError *e) {
        return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: %s%s: duplicate member", i, where, name);
}

static int parse_response(RunnerMessage *m, Slice id, Slice message_id, size_t i, RpcError *e) {
        char text[MESSAGE_ID_MAX + 1];
        const char *answered;
        int r;

        if (!json_is_there(id) && json_scan_type(message_id) != SCAN_STRING)
                return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: a response without an id", i);
        r = json_string_into(message_id, text, sizeof(text));
        if (r == -ENOMEM)
                return r;
        answered = startswith(text, "rsp:");
        if (answered) {
                memcpy(m->answers, answered, strlen(answered) + 1);
                return 0;
        }
        /* An id that is longer than any of ours names no message. */
        r = json_string_into(id, m->answers, sizeof(m->answers));
        return r == -ENOMEM ? r : 0;
}

/* What is read of the params of an event. */
static int find_params(RunnerMessage *m, Slice *message_id, Slice *conversation, size_t i, RpcError *e) {
        const struct {
                const char *method, *name; /* method NULL: of all */
                Slice *value;
        } table[] = {
                { NULL, "messageId", message_id },
                { NULL, "conversationId", conversation },
                { "runner.heartbeat", "cursor", &m->cursor },
                { "conversation.started", "run", &m->run },
                { "conversation.state", "state", &m->state },
                { "conversation.ended", "reason", &m->reason },
                { "permission.request", "tool", &m->tool },
                { "permission.request", "title", &m->title },
                { "permission.expired", "requestId", &m->request_id },
                { "message.agent", "event", &m->event },
        };
        JsonMember members[ELEMENTSOF(table)];
        const char *twice;
        size_t n = 0;

        for (size_t k = 0; k < ELEMENTSOF(table); k++)
                if (!table[k].method || streq(table[k].method, m->method))
                        members[n++] = (JsonMember){ table[k].name, table[k].value };
        twice = json_members(m->params, members, n);
        if (twice)
                return refuse_twice(i, "params.", twice, e);
        if (json_scan_type(m->event) != SCAN_OBJECT)
                return 0;
        twice = json_members(
                m->event,
                (const JsonMember[]){ { "type", &m->event_type }, { "requestId", &m->request_id } },
                2);
        return twice ? refuse_twice(i, "params.event.", twice, e) : 0;
}

static int parse_event(RunnerMessage *m, size_t i, RpcError *e) {
        Slice message_id = {}, conversation = {};
        int r;

        if (json_scan_type(m->params) != SCAN_OBJECT)
                return rpc_refuse(e, RPC_INVALID_PARAMS, "element %zu: params: not an object", i);
        m->kind = streq(m->method, "runner.heartbeat") ? MESSAGE_HEARTBEAT : MESSAGE_EVENT;
        if (m->kind == MESSAGE_HEARTBEAT && m->params.size > HEARTBEAT_MAX)
                return rpc_refuse(
                        e, RPC_INVALID_PARAMS, "element %zu: params: more than %zu bytes", i, HEARTBEAT_MAX);
        r = find_params(m, &message_id, &conversation, i, e);
        if (r != 0 || m->kind == MESSAGE_HEARTBEAT)
                return r;
        r = json_string_into(message_id, m->message_id, sizeof(m->message_id));
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !m->message_id[0])
                return rpc_refuse(e, RPC_INVALID_PARAMS, "element %zu: messageId: missing or too long", i);
        if (!json_is_there(conversation))
                return 0;
        r = json_string_into(conversation, m->conversation, sizeof(m->conversation));
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !ident_is_valid(m->conversation))
                return rpc_refuse(
                        e,
                        RPC_INVALID_PARAMS,
                        "element %zu: conversationId: not a valid id: %.*s",
                        i,
                        utf8_cut(m->conversation, 64),
                        m->conversation);
        return 0;
}

static int parse_request(RunnerMessage *m, size_t i, RpcError *e) {
        ScanType type = json_scan_type(m->id);

        m->kind = MESSAGE_REQUEST;
        if ((type != SCAN_STRING && type != SCAN_NUMBER) || m->id.size > MESSAGE_ID_MAX)
                return rpc_refuse(
                        e,
                        RPC_INVALID_REQUEST,
                        "element %zu: id: not a number or a string of at most %d bytes",
                        i,
                        MESSAGE_ID_MAX);
        return 0;
}

int runner_message_parse(Slice text, size_t i, RunnerMessage *ret, RpcError *e) {
        Slice version = {}, method = {}, message_id = {};
        const char *twice;
        int r;

        *ret = (RunnerMessage){ .text = text };
        twice = json_members(
                text,
                (const JsonMember[]){
                        { "jsonrpc", &version },
                        { "method", &method },
                        { "id", &ret->id },
                        { "params", &ret->params },
                        { "error", &ret->error },
                        { "result", &ret->result },
                        { "messageId", &message_id },
                },
                7);
        if (twice)
                return refuse_twice(i, "", twice, e);
        if (json_scan_type(text) != SCAN_OBJECT || !json_scan_string_is(version, "2.0"))
                return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: not a JSON-RPC 2.0 object", i);
        if (!json_is_there(ret->error))
                ret->error = (Slice){};
        if (!json_is_there(method) && (ret->error.size > 0 || ret->result.size > 0)) {
                ret->kind = MESSAGE_RESPONSE;
                return parse_response(ret, ret->id, message_id, i, e);
        }
        r = json_string_into(method, ret->method, sizeof(ret->method));
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !ret->method[0])
                return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: no method", i);
        return json_is_there(ret->id) ? parse_request(ret, i, e) : parse_event(ret, i, e);
}

int runner_body_check(Slice body, RpcError *e) {
        size_t iter = 0, i = 0, requests = 0;
        Slice text;
        int r;

        while (runner_message_next(body, &iter, &text)) {
                RunnerMessage m;

                if (i == RUNNER_BATCH_MAX)
                        return rpc_refuse(e, RPC_INVALID_REQUEST, "more than %d elements", RUNNER_BATCH_MAX);
                r = runner_message_parse(text, i++, &m, e);
                if (r != 0)
                        return r;
                requests += m.kind == MESSAGE_REQUEST;
                if (requests > RUNNER_REQUESTS_MAX)
                        return rpc_refuse(
                                e, RPC_INVALID_REQUEST, "more than %d requests", RUNNER_REQUESTS_MAX);
        }
        return 0;
}
