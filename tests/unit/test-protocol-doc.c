/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/json.h"
#include "runner/link/envelope.h"
#include "runner/link/rpc.h"

/* The examples of docs/protocol.md are what they say they are. */

typedef struct Seen {
        unsigned blocks, envelopes, pages, requests, answers, arrays;
} Seen;

static void check_envelope(Json *o, Seen *seen) {
        ParsedEnvelope *p = NULL;
        EnvelopeError e = {};

        if (envelope_parse_json(o, "1", &p, &e) < 0)
                fail_msg("%s: %s", json_text(o), e.text);
        parsed_envelope_free(p);
        seen->envelopes++;
}

static void check_sent(Json *o) {
        assert_string_equal(json_get_string(o, "jsonrpc"), "2.0");
        if (json_get(o, "method")) {
                Json *params = json_get(o, "params");
                assert_non_null(json_get_string(params, "messageId"));
                assert_non_null(json_get_string(params, "conversationId"));
                assert_null(json_get(o, "id"));
        } else {
                assert_non_null(startswith(json_get_string(o, "messageId"), "rsp:"));
                assert_int_not_equal(json_get(o, "result") != NULL, json_get(o, "error") != NULL);
        }
}

static void check_block(const char *text, size_t size, Seen *seen) {
        _cleanup_free_ char *error = NULL;
        _cleanup_json_ Json *o = NULL;

        if (json_parse(text, size, &o, &error) < 0)
                fail_msg("%s in\n%.*s", error, (int) size, text);
        seen->blocks++;
        if (json_object_is_type(o, json_type_array)) {
                for (size_t i = 0; i < json_object_array_length(o); i++)
                        check_sent(json_object_array_get_idx(o, i));
                seen->arrays++;
        } else if (json_get(o, "payload"))
                check_envelope(o, seen);
        else if (json_get(o, "messages")) {
                for (size_t i = 0; i < json_object_array_length(json_get(o, "messages")); i++)
                        check_envelope(json_object_array_get_idx(json_get(o, "messages"), i), seen);
                assert_non_null(json_get_string(o, "cursor"));
                seen->pages++;
        } else if (json_get(o, "method"))
                seen->requests++;
        else if (json_get(o, "result")) {
                _cleanup_(rpc_answer_done) RpcAnswer a = {};
                uint64_t id = 0;

                assert_int_equal(json_get_u64(o, "id", &id), 1);
                assert_int_equal(rpc_answer_parse(text, size, id, &a), 1);
                seen->answers++;
        }
}

static void test_examples(void **state) {
        _cleanup_free_ char *text = NULL;
        static const char begin[] = "\n```json\n", end[] = "\n```\n";
        Seen seen = {};

        assert_int_equal(read_file_at(AT_FDCWD, getenv("NF_PROTOCOL_MD"), 1024 * 1024, &text, NULL), 0);
        for (char *p = text; (p = strstr(p, begin));) {
                char *to;

                p += strlen(begin);
                to = strstr(p, end);
                assert_non_null(to);
                check_block(p, (size_t) (to - p), &seen);
                p = to;
        }
        /* All of them were found and known for what they are. */
        assert_true(seen.blocks >= 15);
        assert_true(seen.envelopes >= 5);
        assert_true(seen.pages >= 1);
        assert_true(seen.requests >= 4);
        assert_true(seen.answers >= 3);
        assert_true(seen.arrays >= 2);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_examples) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
