/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/buffer.h"
#include "runner/link/rpc.h"

bool token_text_is_valid(const char *s) {
        size_t n = 0;

        for (; s && s[n]; n++)
                if (n >= TOKEN_TEXT_MAX || (unsigned char) s[n] <= 0x20 || (unsigned char) s[n] >= 0x7f)
                        return false;
        return n > 0;
}

char *rpc_response(const char *envelope_id, const char *request_id, const char *result, const char *error) {
        _cleanup_buffer_ Buffer b = {};
        _cleanup_free_ char *message_id = xasprintf("rsp:%s", envelope_id);

        assert(!result != !error);
        if (!message_id)
                return NULL;
        (void) buffer_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
        (void) buffer_append_str(&b, request_id);
        (void) buffer_append_str(&b, result ? ",\"result\":" : ",\"error\":");
        (void) buffer_append_str(&b, result ? result : error);
        (void) buffer_append_str(&b, ",\"messageId\":");
        (void) buffer_append_json_str(&b, message_id);
        (void) buffer_append_str(&b, "}");
        return buffer_steal(&b);
}

char *rpc_error(int code, const char *message, const char *conversation, const char *detail) {
        _cleanup_buffer_ Buffer b = {};

        (void) rpc_error_append(&b, code, message, conversation, detail);
        return buffer_steal(&b);
}

char *rpc_request(uint64_t id, const char *method, Json *params, size_t *ret_size) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, "{\"jsonrpc\":\"2.0\",");
        if (id > 0)
                (void) buffer_printf(&b, "\"id\":%" PRIu64 ",", id);
        (void) buffer_append_str(&b, "\"method\":");
        (void) buffer_append_json_str(&b, method);
        (void) buffer_append_str(&b, ",\"params\":");
        (void) buffer_append_str(&b, params ? json_text(params) : "{}");
        (void) buffer_append_str(&b, "}");
        if (ret_size)
                *ret_size = b.size;
        return buffer_steal(&b);
}

void rpc_answer_done(RpcAnswer *a) {
        if (a->result)
                json_object_put(a->result);
        free(a->message);
        *a = (RpcAnswer){};
}

static bool answers(Json *o, uint64_t id) {
        uint64_t n = 0;

        return json_object_is_type(o, json_type_object) && json_get_u64(o, "id", &n) > 0 && n == id &&
                (json_get(o, "result") || json_get(o, "error"));
}

int rpc_answer_parse(const char *body, size_t size, uint64_t id, RpcAnswer *ret) {
        _cleanup_json_ Json *root = NULL;
        Json *o, *error;
        int r;

        r = json_parse_from(JSON_OF_ORCHESTRATOR, body, size, &root, NULL);
        if (r < 0)
                return r;
        o = root;
        if (json_object_is_type(root, json_type_array)) {
                o = NULL;
                for (size_t i = 0; i < json_object_array_length(root) && !o; i++)
                        if (answers(json_object_array_get_idx(root, i), id))
                                o = json_object_array_get_idx(root, i);
        }
        if (!answers(o, id))
                return -EBADMSG;
        error = json_get(o, "error");
        if (!error) {
                *ret = (RpcAnswer){ .result = json_object_get(json_get(o, "result")) };
                return 1;
        }
        Json *code = json_get(error, "code");
        const char *text = json_get_string(error, "message");
        _cleanup_free_ char *message = strdup(text ? text : "no reason given");
        if (!message)
                return -ENOMEM;
        *ret = (RpcAnswer){
                .code = json_object_is_type(code, json_type_int) ? json_object_get_int(code) :
                                                                   RPC_INTERNAL_ERROR,
                .message = TAKE_PTR(message),
        };
        return 0;
}
