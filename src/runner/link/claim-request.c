/* SPDX-License-Identifier: MIT */
#include "runner/link/claim-request.h"

int claim_request_post(
        Endpoint *e,
        Json *ids,
        uint64_t *ret_id,
        HttpDone done,
        void *userdata,
        HttpRequest **ret) {
        _cleanup_json_ Json *params = json_object_new_object();
        int r = params && ids ? json_set(params, "ids", json_object_get(ids)) : -ENOMEM;

        return r < 0 ? r : endpoint_post(e, "runner.claim", params, ret_id, done, userdata, ret);
}

bool claim_result_grants(Json *result, const char *id) {
        Json *granted = json_get(result, "granted");

        for (size_t i = 0; i < json_length(granted); i++) {
                Json *o = json_object_array_get_idx(granted, i);

                if (json_object_is_type(o, json_type_string) && streq(json_object_get_string(o), id))
                        return true;
        }
        return false;
}

const char *claim_result_owner(Json *result, const char *id) {
        Json *refused = json_get(result, "refused");

        for (size_t i = 0; i < json_length(refused); i++) {
                Json *o = json_object_array_get_idx(refused, i);

                if (streq_ptr(json_get_string(o, "id"), id))
                        return json_get_string(o, "owner");
        }
        return NULL;
}
