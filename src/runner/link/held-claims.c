/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/claim-request.h"
#include "runner/link/held-claims.h"
#include "runner/link/rpc.h"

struct HeldClaims {
        Endpoint *endpoint;
        Backoff backoff;
        const HeldClaimsOps *ops;
        void *userdata;
        Json *ids; /* those that were asked for */
        HttpRequest *request;
        uint64_t request_id;
        sd_event_source *timer;
        unsigned failures;
};

static void ask_again(HeldClaims *h, uint64_t retry_after) {
        oneshot_arm(h->timer, backoff_next(&h->backoff, ++h->failures, retry_after));
}

static void decide(HeldClaims *h, bool all, Json *result) {
        Json *ids = TAKE_PTR(h->ids);

        for (size_t i = 0; i < json_object_array_length(ids); i++) {
                const char *id = json_object_get_string(json_object_array_get_idx(ids, i));

                h->ops->decided(
                        h->userdata,
                        id,
                        all || claim_result_grants(result, id),
                        claim_result_owner(result, id));
        }
        json_object_put(ids);
}

static void on_answered(HttpRequest *request, const HttpResult *result, void *userdata) {
        HeldClaims *h = userdata;
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        int r;

        h->request = http_request_free(h->request);
        if (endpoint_is_refused(h->endpoint, result))
                return;
        r = result->error < 0 ? result->error :
                                rpc_answer_parse(result->body, result->body_size, h->request_id, &a);
        if (r > 0 && result->status / 100 == 2) {
                h->failures = 0;
                decide(h, false, a.result);
        } else if (r == 0 && a.code == RPC_METHOD_NOT_FOUND)
                decide(h, true, NULL);
        else {
                log_debug("Failed to claim held work again (HTTP %ld), retrying.", result->status);
                ask_again(h, result->retry_after_usec);
        }
}

void held_claims_ask(HeldClaims *h) {
        int r;

        h->request = http_request_free(h->request);
        oneshot_disarm(h->timer);
        json_object_put(h->ids);
        h->ids = json_object_new_array();
        r = h->ids ? h->ops->list(h->userdata, h->ids) : -ENOMEM;
        if (r >= 0 && json_object_array_length(h->ids) == 0)
                return;
        if (r >= 0 && !endpoint_can_claim(h->endpoint)) {
                decide(h, true, NULL);
                return;
        }
        if (r >= 0)
                r = claim_request_post(h->endpoint, h->ids, &h->request_id, on_answered, h, &h->request);
        if (r < 0)
                ask_again(h, 0);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        held_claims_ask(userdata);
        return 0;
}

void held_claims_stop(HeldClaims *h) {
        oneshot_disarm(h->timer);
        h->request = http_request_free(h->request);
        json_object_put(h->ids);
        h->ids = NULL;
        h->failures = 0;
}

int held_claims_new(
        sd_event *event,
        Endpoint *endpoint,
        const Backoff *backoff,
        const HeldClaimsOps *ops,
        void *userdata,
        HeldClaims **ret) {
        _cleanup_(held_claims_freep) HeldClaims *h = new0(HeldClaims, 1);
        int r;

        if (!h)
                return -ENOMEM;
        *h = (HeldClaims){ .endpoint = endpoint, .backoff = *backoff, .ops = ops, .userdata = userdata };
        r = oneshot_new(event, "link-confirm", on_timer, h, &h->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

HeldClaims *held_claims_free(HeldClaims *h) {
        if (!h)
                return NULL;
        http_request_free(h->request);
        json_object_put(h->ids);
        sd_event_source_disable_unref(h->timer);
        free(h);
        return NULL;
}
