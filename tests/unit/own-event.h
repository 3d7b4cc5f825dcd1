/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/store/store-events.h"

/* store_add_own_event() of what the event says as text, without braces; NULL or "": nothing. */
static inline int add_own_event(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t at_offset,
        const char *message_id,
        const char *method,
        const char *members,
        int64_t *ret_seq) {
        _cleanup_free_ char *text = xasprintf("{%s}", strempty(members));
        _cleanup_json_ Json *params = NULL;

        if (!text || json_parse(text, strlen(text), &params, NULL) < 0)
                return -EINVAL;
        return store_add_own_event(s, conversation, run, at_offset, message_id, method, params, ret_seq);
}
