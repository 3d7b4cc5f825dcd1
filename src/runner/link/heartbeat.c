/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/heartbeat.h"

struct Heartbeat {
        Endpoint *endpoint;
        HeartbeatDescribe describe;
        void *userdata;
        uint64_t interval_usec;
        HttpRequest *request;
        sd_event_source *timer;
};

static void on_sent(HttpRequest *request, const HttpResult *result, void *userdata) {
        Heartbeat *h = userdata;

        h->request = http_request_free(h->request);
        if (endpoint_is_refused(h->endpoint, result))
                return;
        if (result->error < 0 || result->status >= 300)
                log_debug(
                        "Failed to deliver a heartbeat (%s, HTTP %ld), ignoring.",
                        strempty(result->error_text),
                        result->status);
}

void heartbeat_send(Heartbeat *h) {
        _cleanup_json_ Json *params = json_object_new_object();
        int r;

        oneshot_arm(h->timer, h->interval_usec);
        h->request = http_request_free(h->request);
        r = params ? h->describe(h->userdata, params) : -ENOMEM;
        if (r >= 0)
                r = endpoint_post(h->endpoint, "runner.heartbeat", params, NULL, on_sent, h, &h->request);
        if (r < 0)
                log_debug_errno(r, "Failed to send a heartbeat, ignoring: %m");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        heartbeat_send(userdata);
        return 0;
}

void heartbeat_set_interval(Heartbeat *h, uint64_t interval_usec) {
        h->interval_usec = interval_usec;
}

void heartbeat_stop(Heartbeat *h) {
        h->request = http_request_free(h->request);
        oneshot_disarm(h->timer);
}

int heartbeat_new(
        sd_event *event,
        Endpoint *endpoint,
        uint64_t interval_usec,
        HeartbeatDescribe describe,
        void *userdata,
        Heartbeat **ret) {
        _cleanup_(heartbeat_freep) Heartbeat *h = new0(Heartbeat, 1);
        int r;

        if (!h)
                return -ENOMEM;
        *h = (Heartbeat){
                .endpoint = endpoint,
                .describe = describe,
                .userdata = userdata,
                .interval_usec = interval_usec,
        };
        r = oneshot_new(event, "link-heartbeat", on_timer, h, &h->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

Heartbeat *heartbeat_free(Heartbeat *h) {
        if (!h)
                return NULL;
        http_request_free(h->request);
        sd_event_source_disable_unref(h->timer);
        free(h);
        return NULL;
}
