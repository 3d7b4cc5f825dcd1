/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rpc-error.h"

static void test_each_error_is_listed_once(void **state) {
        for (size_t i = 0; i < error_codes_n; i++) {
                const ErrorCode *e = &error_codes[i];

                assert_true(e->code != 0 || e->bus_error);
                assert_int_equal(e->code != 0, *e->symbol != 0);
                for (size_t k = 0; k < i; k++) {
                        assert_true(e->code == 0 || e->code != error_codes[k].code);
                        assert_true(!e->bus_error || !streq_ptr(e->bus_error, error_codes[k].bus_error));
                }
        }
}

static void test_codes_on_the_bus(void **state) {
        assert_string_equal(rpc_code_bus_error(-32001), "org.northflare.Runner1.Error.NoSuchConversation");
        assert_string_equal(rpc_code_bus_error(-32601), "org.northflare.Runner1.Error.NotSupported");
        assert_string_equal(rpc_code_bus_error(-32012), "org.northflare.Runner1.Error.MachineBusy");
        /* Those that have no error of their own, and numbers that are no code. */
        assert_string_equal(rpc_code_bus_error(RPC_INTERNAL_ERROR), "org.northflare.Runner1.Error.Failed");
        assert_string_equal(rpc_code_bus_error(RPC_STALE_STORE), "org.northflare.Runner1.Error.Failed");
        assert_string_equal(rpc_code_bus_error(0), "org.northflare.Runner1.Error.Failed");
        assert_string_equal(rpc_code_bus_error(INT64_MIN), "org.northflare.Runner1.Error.Failed");
}

static void check_text(const char *conversation, const char *detail, const char *expected) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(rpc_error_append(&b, RPC_WRONG_STATE, "no \"x\"", conversation, detail), 0);
        assert_string_equal(b.data, expected);
}

static void test_the_error_object(void **state) {
        check_text(NULL, NULL, "{\"code\":-32010,\"message\":\"no \\\"x\\\"\"}");
        check_text(
                "c-1",
                NULL,
                "{\"code\":-32010,\"message\":\"no \\\"x\\\"\",\"data\":{\"conversationId\":\"c-1\"}}");
        check_text(
                NULL,
                "a\n",
                "{\"code\":-32010,\"message\":\"no \\\"x\\\"\",\"data\":{\"detail\":\"a\\n\"}}");
        check_text(
                "c-1",
                "a",
                "{\"code\":-32010,\"message\":\"no \\\"x\\\"\","
                "\"data\":{\"conversationId\":\"c-1\",\"detail\":\"a\"}}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_error_is_listed_once),
                cmocka_unit_test(test_codes_on_the_bus),
                cmocka_unit_test(test_the_error_object),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
