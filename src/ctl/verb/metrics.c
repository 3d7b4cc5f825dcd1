/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/snapshot.h"
#include "ctl/metrics/http-answer.h"
#include "ctl/metrics/metrics.h"
#include "ctl/metrics/openmetrics.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/metrics.h"

/* A scraper gives up after ten seconds by default. */
#define CALL_TIMEOUT_USEC (5 * USEC_PER_SEC)

static int collect(bool quiet, Buffer *out) {
        _cleanup_json_ Json *snapshot = NULL;
        int status = snapshot_take(quiet, &snapshot);

        if (status != EXIT_OK)
                return status;
        return metrics_write(snapshot, out) < 0 ? EXIT_FAILED : EXIT_OK;
}

/* The runner is asked only for a request that is good. */
static unsigned answer_with(const HttpRequest *q, Buffer *out) {
        if (q->path_size != strlen("/metrics") || memcmp(q->path, "/metrics", q->path_size) != 0) {
                (void) buffer_append_str(out, "Not found; the metrics are at /metrics.\n");
                return 404;
        }
        if (connect_bus() != EXIT_OK || sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT_USEC) < 0 ||
            collect(false, out) != EXIT_OK) {
                buffer_clear(out, 0);
                (void) buffer_append_str(out, "northflare-runner does not respond.\n");
                return 503;
        }
        return 200;
}

/* One request on standard input, which is a socket that systemd accepted. */
static int serve(void) {
        _cleanup_buffer_ Buffer request = {}, body = {};
        unsigned status;
        HttpRequest q;
        int r;

        status = http_request_read(STDIN_FILENO, &request, &q);
        if (status == 0)
                return EXIT_OK; /* the client has left */
        if (status == 200)
                status = answer_with(&q, &body);
        else
                (void) buffer_append_str(&body, "Malformed request.\n");
        r = http_answer(
                STDIN_FILENO,
                STDOUT_FILENO,
                status,
                q.head,
                status == 200 ? OPENMETRICS_CONTENT_TYPE : "text/plain; charset=utf-8",
                strempty(body.data),
                body.size);
        /* What a client does wrong, or that it goes away, is no failure of the service. */
        return r == -ENOMEM ? EXIT_FAILED : EXIT_OK;
}

int verb_metrics(char **words) {
        _cleanup_buffer_ Buffer out = {};
        int status;

        if (arg.http)
                return serve();
        status = connect_bus();
        if (status != EXIT_OK)
                return status;
        status = collect(false, &out);
        if (status != EXIT_OK)
                return status;
        pager_open();
        put_text(stdout, NULL, out.data, out.size);
        return EXIT_OK;
}
