/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/buffer.h"

/* HTTP requests on an sd-event loop by libcurl's multi interface: no thread that the loop waits for. */
typedef struct HttpClient HttpClient;
typedef struct HttpRequest HttpRequest;

typedef struct HttpResult {
        int error; /* 0, or a negative errno where no HTTP answer came (…, -ETIMEDOUT, -ECANCELED never) */
        const char *error_text;    /* for people: what libcurl said, or NULL */
        long status;               /* HTTP status, 0 where none came */
        uint64_t retry_after_usec; /* of a Retry-After header, 0: none */
        const char *content_type;  /* or NULL */
        const char *body;          /* NUL-terminated, at most max_body bytes; NULL for a streamed one */
        size_t body_size;
} HttpResult;

/* Runs exactly once, from the loop, never from inside http_request_start() nor after http_request_free(). It may
 * free the request, other requests and the client. */
typedef void (*HttpDone)(HttpRequest *r, const HttpResult *result, void *userdata);
/* Bytes of a streamed 2xx body; first of all once with size 0, when the answer's header is complete. Negative: the
 * transfer ends with that error. It may start and free requests (this one too), but not free the client. */
typedef int (*HttpData)(HttpRequest *r, const char *data, size_t size, void *userdata);

typedef struct HttpParams {
        const char *method; /* "GET" or "POST" */
        const char *url;
        const char *const *headers; /* NULL-terminated "Name: value"; copied */
        char *body_consume;         /* malloc'ed, taken over; NULL for none */
        const char *body;           /* in its place: borrowed until done ran or the request was freed */
        size_t body_size;
        size_t max_body;       /* a longer 2xx answer is -EMSGSIZE, another is cut off there */
        uint64_t timeout_usec; /* whole transfer; 0: none (a stream) */
        HttpData data;         /* set: the 2xx body is streamed to it */
        HttpDone done;
        void *userdata;
} HttpParams;

/* ca_file: the only certificates to trust, or NULL for the system's. */
int http_client_new(sd_event *event, const char *ca_file, HttpClient **ret);
/* Requests that are left are cancelled; their owners still have to free them. */
HttpClient *http_client_free(HttpClient *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpClient *, http_client_free);

/* body_consume is taken over also on failure. */
int http_request_start(HttpClient *c, const HttpParams *params, HttpRequest **ret);
/* Cancels where it is still under way; done will not run. A transfer that libcurl still resolves a name for is left
 * to end by itself in the background (removing it would join the resolver's thread and block the loop). */
HttpRequest *http_request_free(HttpRequest *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpRequest *, http_request_free);

/* The Content-Type of the answer so far, borrowed until the next call, or NULL. */
const char *http_request_content_type(HttpRequest *r);
