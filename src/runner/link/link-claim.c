/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/link/link-internal.h"

/* runner.claim: the orchestrator says to whom a message that creates work belongs. One request at a time, for all that
 * stand in the queue and need one. */

static void go_on(Link *l) {
        int r = link_inbound_run(l);

        if (r < 0)
                link_stream_drop(l, r);
}

static void mark(Link *l, int from, int to) {
        for (Inbound *i = l->queue; i; i = i->next)
                if ((int) i->claim == from)
                        i->claim = to;
}

/* So many in a row are no passing trouble; new work waits meanwhile. */
#define FAILURES_TOLD 6

static void try_again(Link *l, const HttpResult *result) {
        uint64_t delay = link_backoff(l, ++l->claim_failures, result ? result->retry_after_usec : 0);

        log_full(l->claim_failures == FAILURES_TOLD ? LOG_WARNING : LOG_DEBUG,
                 0,
                 NULL,
                 "A claim was not answered (%s, HTTP %ld), asking again in %.1f s.",
                 result ? strempty(result->error_text) : "not sent",
                 result ? result->status : 0,
                 (double) delay / USEC_PER_SEC);
        mark(l, CLAIM_ASKED, CLAIM_NONE);
        link_timer_arm(l->claim_timer, delay);
}

static const char *owner_of(Json *refused, const char *id) {
        for (size_t i = 0;
             json_object_is_type(refused, json_type_array) && i < json_object_array_length(refused);
             i++) {
                Json *o = json_object_array_get_idx(refused, i);

                if (streq_ptr(json_get_string(o, "id"), id))
                        return json_get_string(o, "owner");
        }
        return NULL;
}

static bool contains(Json *granted, const char *id) {
        for (size_t i = 0;
             json_object_is_type(granted, json_type_array) && i < json_object_array_length(granted);
             i++) {
                Json *o = json_object_array_get_idx(granted, i);

                if (json_object_is_type(o, json_type_string) && streq(json_object_get_string(o), id))
                        return true;
        }
        return false;
}

/* Only what is granted in so many words is ours. */
static void take(Link *l, Json *result) {
        Json *granted = json_get(result, "granted"), *refused = json_get(result, "refused");

        for (Inbound *i = l->queue; i; i = i->next) {
                const char *id = i->parsed->e.id, *owner;

                if (i->claim != CLAIM_ASKED)
                        continue;
                i->claim = contains(granted, id) ? CLAIM_GRANTED : CLAIM_REFUSED;
                owner = owner_of(refused, id);
                if (owner)
                        (void) free_and_strdup(&i->owner, owner);
        }
}

static void on_claimed(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        int r;

        l->claim_request = http_request_free(l->claim_request);
        if (result->error == 0 && http_status_is_identity(result->status)) {
                link_lost_registration(l, result->status);
                return;
        }
        if (result->error < 0 || result->status < 200 || http_status_is_transient(result->status)) {
                try_again(l, result);
                return;
        }
        r = rpc_answer_parse(result->body, result->body_size, l->claim_id, &a);
        if (r < 0) {
                /* Whoever stands on the way, with whatever status: it is not the orchestrator's word, which may have granted
                 * them already, and then nobody else will serve them. */
                try_again(l, result);
                return;
        }
        l->claim_failures = 0;
        if (r > 0 && result->status < 300)
                take(l, a.result);
        else if (r == 0 && a.code == RPC_METHOD_NOT_FOUND) {
                log_notice("The orchestrator knows no claims after all, going on without them.");
                l->can_claim = false;
                mark(l, CLAIM_ASKED, CLAIM_NONE);
        } else {
                log_warning("A claim was refused: %s (HTTP %ld), leaving its messages alone.",
                            a.message ? a.message : "no reason given",
                            result->status);
                mark(l, CLAIM_ASKED, CLAIM_REFUSED);
        }
        go_on(l);
}

/* Those at the head of the queue that need one; one about the runner itself may change who is active. */
static int collect(Link *l, Json *ids) {
        size_t n = 0;

        for (Inbound *i = l->queue; i && n < LINK_CLAIM_MAX; i = i->next) {
                if (startswith(i->parsed->e.method, "runner."))
                        break;
                if (!link_inbound_wants_claim(l, i))
                        continue;
                Json *id = json_object_new_string(i->parsed->e.id);
                if (!id || json_object_array_add(ids, id) < 0) {
                        json_object_put(id);
                        return -ENOMEM;
                }
                i->claim = CLAIM_ASKED;
                n++;
        }
        return 0;
}

void link_claim_start(Link *l) {
        _cleanup_json_ Json *params = json_object_new_object(), *ids = json_object_new_array();
        int enabled = SD_EVENT_OFF;
        size_t size = 0;
        int r;

        (void) sd_event_source_get_enabled(l->claim_timer, &enabled);
        if (l->claim_request || enabled != SD_EVENT_OFF)
                return;
        r = params && ids ? json_set(params, "ids", json_object_get(ids)) : -ENOMEM;
        if (r >= 0)
                r = collect(l, ids);
        if (r >= 0) {
                l->claim_id = ++l->last_request_id;
                char *body = rpc_request(l->claim_id, "runner.claim", params, &size);
                r = link_post(l, body, size, on_claimed, &l->claim_request);
        }
        if (r < 0)
                try_again(l, NULL);
}

static int on_claim_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        go_on(userdata);
        return 0;
}

/* ---- work that was taken in before a restart ---- */

static void confirm_again(Link *l, uint64_t retry_after) {
        link_timer_arm(l->confirm_timer, link_backoff(l, ++l->confirm_failures, retry_after));
}

static void decide_held(Link *l, bool all, Json *result) {
        Json *ids = TAKE_PTR(l->confirm_ids), *refused = json_get(result, "refused");

        for (size_t i = 0; i < json_object_array_length(ids); i++) {
                const char *id = json_object_get_string(json_object_array_get_idx(ids, i));

                l->ops->held_decided(
                                l->userdata,
                                id,
                                all || contains(json_get(result, "granted"), id),
                                owner_of(refused, id));
        }
        json_object_put(ids);
}

static void on_confirmed(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        int r;

        l->confirm_request = http_request_free(l->confirm_request);
        if (result->error == 0 && http_status_is_identity(result->status)) {
                link_lost_registration(l, result->status);
                return;
        }
        r = result->error < 0 ? result->error :
                                rpc_answer_parse(result->body, result->body_size, l->confirm_id, &a);
        if (r > 0 && result->status / 100 == 2) {
                l->confirm_failures = 0;
                decide_held(l, false, a.result);
        } else if (r == 0 && a.code == RPC_METHOD_NOT_FOUND)
                decide_held(l, true, NULL);
        else {
                log_debug("Held work could not be claimed once more (HTTP %ld), asking again.",
                          result->status);
                confirm_again(l, result->retry_after_usec);
        }
}

void link_confirm(Link *l) {
        _cleanup_json_ Json *params = json_object_new_object();
        size_t size = 0;
        int r;

        if (!l->running || !l->ops->list_held)
                return;
        l->confirm_request = http_request_free(l->confirm_request);
        link_timer_disarm(l->confirm_timer);
        if (l->confirm_ids)
                json_object_put(l->confirm_ids);
        l->confirm_ids = json_object_new_array();
        r = params && l->confirm_ids ? l->ops->list_held(l->userdata, l->confirm_ids) : -ENOMEM;
        if (r >= 0 && json_object_array_length(l->confirm_ids) == 0)
                return;
        if (r >= 0 && !l->can_claim) {
                decide_held(l, true, NULL);
                return;
        }
        if (r >= 0)
                r = json_set(params, "ids", json_object_get(l->confirm_ids));
        if (r >= 0) {
                l->confirm_id = ++l->last_request_id;
                char *body = rpc_request(l->confirm_id, "runner.claim", params, &size);
                r = link_post(l, body, size, on_confirmed, &l->confirm_request);
        }
        if (r < 0)
                confirm_again(l, 0);
}

static int on_confirm_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        link_confirm(userdata);
        return 0;
}

int link_claim_init(Link *l) {
        int r = link_timer_new(l, on_confirm_timer, "link-confirm", &l->confirm_timer);

        return r < 0 ? r : link_timer_new(l, on_claim_timer, "link-claim", &l->claim_timer);
}

void link_confirm_stop(Link *l) {
        link_timer_disarm(l->confirm_timer);
        l->confirm_request = http_request_free(l->confirm_request);
        if (l->confirm_ids)
                json_object_put(l->confirm_ids);
        l->confirm_ids = NULL;
        l->confirm_failures = 0;
}

void link_claim_stop(Link *l) {
        l->claim_request = http_request_free(l->claim_request);
        l->claim_failures = 0;
        link_timer_disarm(l->claim_timer);
}

void link_claim_done(Link *l) {
        l->claim_request = http_request_free(l->claim_request);
        l->claim_timer = sd_event_source_disable_unref(l->claim_timer);
        link_confirm_stop(l);
        l->confirm_timer = sd_event_source_disable_unref(l->confirm_timer);
}
