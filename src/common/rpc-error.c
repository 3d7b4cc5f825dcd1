/* SPDX-License-Identifier: MIT */
#include "common/rpc-error.h"

#define ROW(symbol, code, bus_error) { (code), #symbol, (bus_error) },

/* clang-format off */
const ErrorCode error_codes[] = {
        RPC_CODES(ROW)
        { 0, "", BUS_ERROR_NO_SUCH_WORKSPACE },
        { 0, "", BUS_ERROR_TOO_MANY_STREAMS },
        { 0, "", BUS_ERROR_FAILED },
};
/* clang-format on */
const size_t error_codes_n = ELEMENTSOF(error_codes);

const char *rpc_code_bus_error(int64_t code) {
        for (size_t i = 0; i < error_codes_n; i++)
                if (code != 0 && error_codes[i].code == code && error_codes[i].bus_error)
                        return error_codes[i].bus_error;
        return BUS_ERROR_FAILED;
}

int rpc_error_append(
        Buffer *b,
        int code,
        const char *message,
        const char *conversation,
        const char *detail) {
        (void) buffer_printf(b, "{\"code\":%d,\"message\":", code);
        (void) buffer_append_json_str(b, message);
        if (conversation || detail) {
                (void) buffer_append_str(b, ",\"data\":{");
                if (conversation) {
                        (void) buffer_append_str(b, "\"conversationId\":");
                        (void) buffer_append_json_str(b, conversation);
                }
                if (detail) {
                        (void) buffer_append_str(b, conversation ? ",\"detail\":" : "\"detail\":");
                        (void) buffer_append_json_str(b, detail);
                }
                (void) buffer_append_str(b, "}");
        }
        return buffer_append_str(b, "}");
}
