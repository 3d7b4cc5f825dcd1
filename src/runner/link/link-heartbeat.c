/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/link/link-internal.h"

/* A heartbeat has a request of its own, beside all events, and says how things are now: one that fails or is late is
 * replaced by the next, never repeated. */

static void on_sent(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;

        l->heartbeat = http_request_free(l->heartbeat);
        if (result->error == 0 && http_status_is_identity(result->status))
                link_lost_registration(l, result->status);
        else if (result->error < 0 || result->status >= 300)
                log_debug("A heartbeat was not taken (%s, HTTP %ld), ignoring.",
                          strempty(result->error_text),
                          result->status);
}

void link_heartbeat(Link *l) {
        _cleanup_json_ Json *params = json_object_new_object();
        size_t size = 0;
        int r;

        if (!l->running)
                return;
        link_timer_arm(l->heartbeat_timer, l->heartbeat_usec);
        l->heartbeat = http_request_free(l->heartbeat);
        r = link_flush(l);
        if (r < 0)
                log_debug_errno(r, "The cursor cannot be stored, ignoring: %m");
        r = json_set_string(params, "cursor", l->cursor);
        if (r >= 0)
                r = json_set_string(params, "lastProcessedAt", l->last_processed_at);
        if (r >= 0)
                r = l->ops->heartbeat(l->userdata, params);
        if (r >= 0) {
                char *body = rpc_request(0, "runner.heartbeat", params, &size);
                r = link_post(l, body, size, on_sent, &l->heartbeat);
        }
        if (r < 0)
                log_debug_errno(r, "A heartbeat cannot be sent, ignoring: %m");
}

static int on_heartbeat_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        link_heartbeat(userdata);
        return 0;
}

int link_heartbeat_init(Link *l) {
        return link_timer_new(l, on_heartbeat_timer, "link-heartbeat", &l->heartbeat_timer);
}

void link_heartbeat_stop(Link *l) {
        l->heartbeat = http_request_free(l->heartbeat);
        link_timer_disarm(l->heartbeat_timer);
}

void link_heartbeat_done(Link *l) {
        l->heartbeat = http_request_free(l->heartbeat);
        l->heartbeat_timer = sd_event_source_disable_unref(l->heartbeat_timer);
}
