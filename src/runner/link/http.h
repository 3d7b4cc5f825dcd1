/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/buffer.h"

/* HTTP requests on an sd-event loop by libcurl's multi interface: no thread that the loop waits for. */
typedef struct HttpClient HttpClient;
typedef struct HttpRequest HttpRequest;

typedef struct HttpResult {
        int error;            /* 0, or a negative errno where no HTTP answer came (…, -ETIMEDOUT, -ECANCELED never) */
        const char *error_text; /* for people: what libcurl said, or NULL */
        long status;          /* HTTP status, 0 where none came */
        uint64_t retry_after_usec; /* of a Retry-After header, 0: none */
        const char *body;     /* NUL-terminated, at most max_body bytes; NULL for a streamed one */
        size_t body_size;
} HttpResult;

/* Runs exactly once, from the loop, never from inside http_request_start() nor after http_request_free(). */
typedef void (*HttpDone)(HttpRequest *r, const HttpResult *result, void *userdata);
/* Bytes of a streamed 2xx body. Negative: the transfer ends with that error. */
typedef int (*HttpData)(HttpRequest *r, const char *data, size_t size, void *userdata);

typedef struct HttpParams {
        const char *method; /* "GET" or "POST" */
        const char *url;
        const char *const *headers; /* NULL-terminated "Name: value"; copied */
        char *body_consume;         /* malloc'ed, taken over; NULL for none */
        size_t body_size;
        size_t max_body;    /* a longer answer is -EMSGSIZE */
        uint64_t timeout_usec; /* whole transfer; 0: none (a stream) */
        HttpData data;      /* set: the 2xx body is streamed to it */
        HttpDone done;
        void *userdata;
} HttpParams;

int http_client_new(sd_event *event, const char *ca_file, HttpClient **ret);
HttpClient *http_client_free(HttpClient *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpClient *, http_client_free);

/* body_consume is taken over also on failure. */
int http_request_start(HttpClient *c, const HttpParams *params, HttpRequest **ret);
/* Cancels where it is still under way; done will not run. A transfer that libcurl still resolves a name for is left
 * to end by itself in the background (removing it would join the resolver's thread and block the loop). */
HttpRequest *http_request_free(HttpRequest *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpRequest *, http_request_free);
