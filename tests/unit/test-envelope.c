/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/json.h"
#include "runner/link/envelope.h"
#include "runner/link/rpc.h"
#include "runner/store/store-inbound.h"

#define GOOD                                                                                         \
        "{\"id\":\"01JD\",\"runnerUid\":\"ru-1\",\"taskId\":\"t-7\",\"conversationId\":\"c-42\","    \
        "\"createdAt\":\"2026-11-22T15:04:05.123Z\",\"later\":[1],\"payload\":{\"jsonrpc\":\"2.0\"," \
        "\"id\":\"rq-9\",\"method\":\"message.user\",\"params\":{\"conversationId\":\"c-42\",\"content\":\"hi\"}}}"

static void test_good(void **state) {
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};

        assert_int_equal(envelope_parse(GOOD, strlen(GOOD), "17", &p, &e), 0);
        assert_string_equal(p->e.id, "01JD");
        assert_string_equal(p->e.runner_uid, "ru-1");
        assert_string_equal(p->e.task, "t-7");
        assert_string_equal(p->e.conversation, "c-42");
        assert_string_equal(p->e.created_at, "2026-11-22T15:04:05.123Z");
        assert_string_equal(p->e.cursor, "17");
        assert_string_equal(p->e.method, "message.user");
        assert_string_equal(p->e.request_id, "\"rq-9\"");
        assert_string_equal(json_get_string(p->e.params, "content"), "hi");
        /* Fifteen values count a KiB each. */
        assert_int_equal(p->size, strlen(GOOD) + (size_t) 15 * 1024);
        parsed_envelope_free(p);
}

static void test_least(void **state) {
        static const char text[] =
                "{\"id\":\"1\",\"taskId\":null,\"payload\":{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}}";
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};
        Json *root = NULL;

        assert_int_equal(envelope_parse(text, strlen(text), "", &p, &e), 0);
        assert_null(p->e.runner_uid);
        assert_null(p->e.task);
        assert_null(p->e.conversation);
        assert_null(p->e.created_at);
        assert_null(p->e.cursor);
        assert_null(p->e.request_id);
        assert_int_equal(json_object_object_length(p->e.params), 0);
        parsed_envelope_free(p);

        assert_int_equal(json_parse(text, strlen(text), &root, NULL), 0);
        assert_int_equal(envelope_parse_json(root, "3", &p, &e), 0);
        json_object_put(root);
        assert_string_equal(p->e.id, "1"); /* it has a reference of its own */
        assert_string_equal(p->e.cursor, "3");
        parsed_envelope_free(p);
}

static void test_conversation_of_params(void **state) {
        static const char text[] =
                "{\"id\":\"1\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{\"conversationId\":\"c\"}}}";
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};

        assert_int_equal(envelope_parse(text, strlen(text), NULL, &p, &e), 0);
        assert_string_equal(p->e.conversation, "c");
        assert_string_equal(p->e.request_id, "7");
        parsed_envelope_free(p);
}

#define P(members) "{\"id\":\"e1\",\"payload\":{\"jsonrpc\":\"2.0\"," members "}}"
#define PARAMS(params) P("\"id\":1,\"method\":\"m\",\"params\":" params)
#define E(members) "{" members "\"payload\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}}"

static const struct {
        const char *text;
        int code;
        const char *id;      /* NULL: one is made */
        const char *request; /* NULL: cannot be answered */
        const char *says;    /* part of the text */
} bad[] = {
        { "", RPC_PARSE_ERROR, NULL, NULL, "not valid JSON" },
        { "{", RPC_PARSE_ERROR, NULL, NULL, "unexpected end" },
        { "hello", RPC_PARSE_ERROR, NULL, NULL, "not valid JSON" },
        { "{\"id\":\"a\xff\"}", RPC_PARSE_ERROR, NULL, NULL, "not valid JSON" },
        { GOOD " x", RPC_PARSE_ERROR, NULL, NULL, "not valid JSON at byte" },
        { "null", RPC_INVALID_REQUEST, NULL, NULL, "not a JSON object" },
        { "[]", RPC_INVALID_REQUEST, NULL, NULL, "not a JSON object" },
        { "7", RPC_INVALID_REQUEST, NULL, NULL, "not a JSON object" },
        { "{}", RPC_INVALID_REQUEST, NULL, NULL, "payload" },
        { "{\"id\":\"e1\"}", RPC_INVALID_REQUEST, "e1", NULL, "payload" },
        { "{\"id\":\"e1\",\"payload\":[]}", RPC_INVALID_REQUEST, "e1", NULL, "payload" },
        { "{\"id\":\"e1\",\"payload\":{\"id\":5,\"method\":\"m\"}}",
          RPC_INVALID_REQUEST,
          "e1",
          "5",
          "jsonrpc" },
        { "{\"id\":\"e1\",\"payload\":{\"jsonrpc\":\"1.0\",\"id\":\"x\",\"method\":\"m\"}}",
          RPC_INVALID_REQUEST,
          "e1",
          "\"x\"",
          "jsonrpc" },
        { P("\"id\":1"), RPC_INVALID_REQUEST, "e1", "1", "method" },
        { P("\"id\":1,\"method\":\"\""), RPC_INVALID_REQUEST, "e1", "1", "method" },
        { P("\"id\":1,\"method\":5"), RPC_INVALID_REQUEST, "e1", "1", "method" },
        { P("\"id\":{},\"method\":\"m\""), RPC_INVALID_REQUEST, "e1", NULL, "payload.id" },
        { P("\"id\":true,\"method\":\"m\""), RPC_INVALID_REQUEST, "e1", NULL, "payload.id: \"true\"" },
        { PARAMS("[]"), RPC_INVALID_PARAMS, "e1", "1", "params" },
        { PARAMS("\"x\""), RPC_INVALID_PARAMS, "e1", "1", "params" },
        { E(""), RPC_INVALID_REQUEST, NULL, "1", "id: missing" },
        { E("\"id\":5,"), RPC_INVALID_REQUEST, NULL, "1", "id: \"5\"" },
        { E("\"id\":\"\","), RPC_INVALID_REQUEST, NULL, "1", "id: \"\"" },
        { E("\"id\":\"a b\","), RPC_INVALID_REQUEST, NULL, "1", "id: \"a b\"" },
        { E("\"id\":\"a\\u0000b\","), RPC_INVALID_REQUEST, NULL, "1", "id: " },
        { E("\"id\":\"e1\",\"conversationId\":\"../etc\","),
          RPC_INVALID_PARAMS,
          "e1",
          "1",
          "conversationId: \"../etc\" is not valid" },
        { E("\"id\":\"e1\",\"conversationId\":\"a..b\","), RPC_INVALID_PARAMS, "e1", "1", "\"a..b\"" },
        { E("\"id\":\"e1\",\"conversationId\":7,"), RPC_INVALID_PARAMS, "e1", "1", "conversationId: \"7\"" },
        { E("\"id\":\"e1\",\"taskId\":\"-x\","), RPC_INVALID_PARAMS, "e1", "1", "taskId: \"-x\"" },
        { E("\"id\":\"e1\",\"runnerUid\":\"\","), RPC_INVALID_REQUEST, "e1", "1", "runnerUid" },
        { E("\"id\":\"e1\",\"runnerUid\":[],"), RPC_INVALID_REQUEST, "e1", "1", "runnerUid" },
        { E("\"id\":\"e1\",\"createdAt\":5,"), RPC_INVALID_REQUEST, "e1", "1", "createdAt" },
        { PARAMS("{\"conversationId\":\"a/b\"}"), RPC_INVALID_PARAMS, "e1", "1", "conversationId: \"a/b\"" },
        { PARAMS("{\"workspaceId\":\"a b\"}"), RPC_INVALID_PARAMS, "e1", "1", "workspaceId: \"a b\"" },
        { PARAMS("{\"agent\":\"\"}"), RPC_INVALID_PARAMS, "e1", "1", "agent: \"\"" },
        { PARAMS("{\"sessionId\":{\"a\":1}}"), RPC_INVALID_PARAMS, "e1", "1", "sessionId" },
        { PARAMS("{\"taskId\":\"a\\nb\"}"), RPC_INVALID_PARAMS, "e1", "1", "taskId: \"a\\nb\"" },
        { "{\"id\":\"e1\",\"conversationId\":\"a\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":"
          "{\"conversationId\":\"b\"}}}",
          RPC_INVALID_PARAMS,
          "e1",
          "1",
          "\"a\" in the envelope, but \"b\" in its params" },
};

static void test_bad(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ParsedEnvelope *p = NULL;
                EnvelopeError e = {}, again = {};

                if (envelope_parse(bad[i].text, strlen(bad[i].text), "c", &p, &e) != -EBADMSG)
                        fail_msg("accepted: %s", bad[i].text);
                assert_null(p);
                if (e.code != bad[i].code || !strstr(e.text, bad[i].says))
                        fail_msg("%s: %d %s", bad[i].text, e.code, e.text);
                if (!streq_ptr(e.request_id, bad[i].request))
                        fail_msg("%s: request %s", bad[i].text, strempty(e.request_id));
                if (bad[i].id)
                        assert_string_equal(e.id, bad[i].id);
                else
                        assert_non_null(startswith(e.id, "bad:"));
                assert_true(token_text_is_valid(e.id));
                /* The same text is known again by the same id. */
                assert_int_equal(
                        envelope_parse(bad[i].text, strlen(bad[i].text), NULL, &p, &again), -EBADMSG);
                assert_string_equal(e.id, again.id);
                envelope_error_done(&e);
                envelope_error_done(&again);
        }
}

static void test_long_values(void **state) {
        for (size_t n = 60; n < 200; n++) {
                _cleanup_buffer_ Buffer b = {};
                ParsedEnvelope *p = NULL;
                EnvelopeError e = {};

                (void) buffer_append_str(&b, "{\"id\":\"e1\",\"conversationId\":\"");
                for (size_t i = 0; i < n; i++)
                        (void) buffer_append_str(&b, i == 0 ? "x" : "\xc3\xa4");
                (void) buffer_append_str(
                        &b, "\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}}");
                assert_int_equal(envelope_parse(b.data, b.size, NULL, &p, &e), -EBADMSG);
                assert_true(strlen(e.text) < 160);
                assert_true(utf8_is_valid(e.text, strlen(e.text)));
                envelope_error_done(&e);
        }
}

static void test_deep(void **state) {
        _cleanup_buffer_ Buffer b = {};
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};

        (void) buffer_append_str(&b, "{\"id\":\"e1\",\"x\":");
        for (int i = 0; i < 100000; i++)
                (void) buffer_append_str(&b, "[");
        assert_int_equal(envelope_parse(b.data, b.size, NULL, &p, &e), -EBADMSG);
        assert_int_equal(e.code, RPC_PARSE_ERROR);
        envelope_error_done(&e);
}

static void test_rows(void **state) {
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};
        InboundMessage m;

        assert_int_equal(envelope_parse(GOOD, strlen(GOOD), "17", &p, &e), 0);
        m = envelope_row(&p->e, NULL);
        assert_string_equal(m.envelope_id, "01JD");
        assert_string_equal(m.conversation, "c-42");
        assert_string_equal(m.method, "message.user");
        assert_string_equal(m.params, "{\"conversationId\":\"c-42\",\"content\":\"hi\"}");
        assert_string_equal(m.request_id, "\"rq-9\"");
        assert_null(m.response);
        assert_true(m.received_usec > 0);
        parsed_envelope_free(p);
}

static void test_rpc(void **state) {
        char *error = rpc_error(-32001, "un\"known", "c-1", NULL), *response;
        RpcAnswer a = {};

        assert_string_equal(
                error,
                "{\"code\":-32001,\"message\":\"un\\\"known\",\"data\":{\"conversationId\":\"c-1\"}}");
        response = rpc_response("e1", "\"rq\"", NULL, error);
        assert_string_equal(
                response,
                "{\"jsonrpc\":\"2.0\",\"id\":\"rq\",\"error\":{\"code\":-32001,\"message\":\"un\\\"known\","
                "\"data\":{\"conversationId\":\"c-1\"}},\"messageId\":\"rsp:e1\"}");
        free(error);
        free(response);
        response = rpc_response("e1", "5", "{\"pong\":true}", NULL);
        assert_string_equal(
                response,
                "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"pong\":true},\"messageId\":\"rsp:e1\"}");
        free(response);
        error = rpc_error(1, "m", NULL, "d");
        assert_string_equal(error, "{\"code\":1,\"message\":\"m\",\"data\":{\"detail\":\"d\"}}");
        free(error);
        error = rpc_error(1, "m", "c", "d");
        assert_string_equal(
                error,
                "{\"code\":1,\"message\":\"m\",\"data\":{\"conversationId\":\"c\",\"detail\":\"d\"}}");
        free(error);

        static const struct {
                const char *text;
                int r, code;
        } answers[] = {
                { "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"a\":1}}", 1, 0 },
                { "[{\"id\":2,\"result\":{}},{\"id\":3,\"result\":true}]", 1, 0 },
                { "{\"id\":3,\"error\":{\"code\":-32011,\"message\":\"stale\"}}", 0, -32011 },
                { "{\"id\":3,\"error\":{}}", 0, -32603 },
                { "{\"id\":3,\"error\":5}", 0, -32603 },
                { "{\"id\":4,\"result\":{}}", -EBADMSG, 0 },
                { "{\"id\":3}", -EBADMSG, 0 },
                { "{\"id\":3,\"result\":null}", -EBADMSG, 0 },
                { "[]", -EBADMSG, 0 },
                { "[5,{}]", -EBADMSG, 0 },
                { "null", -EBADMSG, 0 },
                { "", -EBADMSG, 0 },
                { "<html>", -EBADMSG, 0 },
        };
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                assert_int_equal(
                        rpc_answer_parse(answers[i].text, strlen(answers[i].text), 3, &a), answers[i].r);
                assert_int_equal(a.code, answers[i].code);
                assert_int_equal(a.result != NULL, answers[i].r == 1);
                rpc_answer_done(&a);
        }
        assert_true(token_text_is_valid("a"));
        assert_false(token_text_is_valid(NULL));
        assert_false(token_text_is_valid(""));
        assert_false(token_text_is_valid("a\r\nX: y"));
        assert_false(token_text_is_valid("\x7f"));
        assert_false(token_text_is_valid("\xc3\xa4"));
        char text[TOKEN_TEXT_MAX + 2];
        memset(text, 'x', sizeof(text));
        text[TOKEN_TEXT_MAX + 1] = 0;
        assert_false(token_text_is_valid(text));
        text[TOKEN_TEXT_MAX] = 0;
        assert_true(token_text_is_valid(text));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_least),
                cmocka_unit_test(test_conversation_of_params),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_deep),
                cmocka_unit_test(test_long_values),
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_rpc),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
