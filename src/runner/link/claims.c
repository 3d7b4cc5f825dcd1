/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/claim-request.h"
#include "runner/link/claims.h"
#include "runner/link/http-status.h"
#include "runner/link/rpc.h"

/* So many in a row are no passing trouble; new work waits meanwhile. */
#define FAILURES_REPORTED 6

struct Claims {
        Endpoint *endpoint;
        Backoff backoff;
        const ClaimsOps *ops;
        void *userdata;
        HttpRequest *request;
        uint64_t request_id;
        sd_event_source *timer;
        unsigned failures;
};

static void try_again(Claims *c, const HttpResult *result) {
        uint64_t delay = backoff_next(&c->backoff, ++c->failures, result ? result->retry_after_usec : 0);

        log_full(
                c->failures == FAILURES_REPORTED ? LOG_WARNING : LOG_DEBUG,
                0,
                NULL,
                "Failed to claim messages (%s, HTTP %ld), trying again in %.1f s.",
                result ? strempty(result->error_text) : "not sent",
                result ? result->status : 0,
                (double) delay / USEC_PER_SEC);
        c->ops->decided(c->userdata, CLAIMS_UNANSWERED, NULL);
        oneshot_arm(c->timer, delay);
}

static void on_claimed(HttpRequest *request, const HttpResult *result, void *userdata) {
        Claims *c = userdata;
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        int r;

        c->request = http_request_free(c->request);
        if (endpoint_is_refused(c->endpoint, result))
                return;
        if (result->error < 0 || result->status < 200 || http_status_is_transient(result->status)) {
                try_again(c, result);
                return;
        }
        r = rpc_answer_parse(result->body, result->body_size, c->request_id, &a);
        if (r < 0) {
                /* A proxy on the way answered, with any status. The orchestrator may have granted them already, and then no
                 * other runner will process them. */
                try_again(c, result);
                return;
        }
        c->failures = 0;
        if (r > 0 && result->status < 300)
                c->ops->decided(c->userdata, CLAIMS_ANSWERED, a.result);
        else if (r == 0 && a.code == RPC_METHOD_NOT_FOUND) {
                log_notice("The orchestrator does not support claims, continuing without them.");
                endpoint_set_can_claim(c->endpoint, false);
                c->ops->decided(c->userdata, CLAIMS_UNKNOWN, NULL);
        } else {
                log_warning(
                        "The orchestrator refused a claim: %s (HTTP %ld), ignoring its messages.",
                        a.message ? a.message : "no reason given",
                        result->status);
                c->ops->decided(c->userdata, CLAIMS_REFUSED, NULL);
        }
}

bool claims_is_busy(Claims *c) {
        return c->request || oneshot_is_armed(c->timer);
}

void claims_ask(Claims *c, Json *ids) {
        if (claim_request_post(c->endpoint, ids, &c->request_id, on_claimed, c, &c->request) < 0)
                try_again(c, NULL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Claims *c = userdata;

        c->ops->retry(c->userdata);
        return 0;
}

void claims_stop(Claims *c) {
        c->request = http_request_free(c->request);
        c->failures = 0;
        oneshot_disarm(c->timer);
}

int claims_new(
        sd_event *event,
        Endpoint *endpoint,
        const Backoff *backoff,
        const ClaimsOps *ops,
        void *userdata,
        Claims **ret) {
        _cleanup_(claims_freep) Claims *c = new0(Claims, 1);
        int r;

        if (!c)
                return -ENOMEM;
        *c = (Claims){ .endpoint = endpoint, .backoff = *backoff, .ops = ops, .userdata = userdata };
        r = oneshot_new(event, "link-claim", on_timer, c, &c->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

Claims *claims_free(Claims *c) {
        if (!c)
                return NULL;
        http_request_free(c->request);
        sd_event_source_disable_unref(c->timer);
        free(c);
        return NULL;
}
