/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/link/http.h"
#include "runner/link/sender.h"

/* The orchestrator, as requests see it: where they go, with which token and which id of the runner, and what it is able to
 * do. */
typedef struct Endpoint Endpoint;

/* Of an answer, but for a page of messages, which brings a bound of its own. */
#define LINK_ANSWER_MAX (1024 * 1024)

typedef struct EndpointConfig {
        const char *url; /* base; strings are borrowed for the endpoint's life, but the token */
        const char *messages_path, *events_path; /* from "/api/runner/…" on */
        const char *token;
        const char *ca_file;   /* or NULL */
        uint64_t timeout_usec; /* of a request, but the event stream */
        /* An answer was about who we are: see endpoint_is_refused(). */
        void (*refused)(void *userdata, long status);
        void *userdata;
} EndpointConfig;

int endpoint_new(sd_event *event, const EndpointConfig *config, Endpoint **ret);
/* Requests that are left are cancelled; their owners still have to free them. */
Endpoint *endpoint_free(Endpoint *e);
DEFINE_TRIVIAL_CLEANUP_FUNC(Endpoint *, endpoint_free);

HttpClient *endpoint_get_http(Endpoint *e);
/* Takes part in every change of token and id from then on; borrowed. */
void endpoint_set_sender(Endpoint *e, Sender *s);

/* Both count from the next request on; runner_id may be NULL. Nothing is sent before the first of them. Where it fails,
 * all is as it was. -EINVAL: not a token. */
int endpoint_set_runner_id(Endpoint *e, const char *runner_id);
int endpoint_set_token(Endpoint *e, const char *token, const char *runner_id);

/* runner.claim is known. */
bool endpoint_can_claim(Endpoint *e);
void endpoint_set_can_claim(Endpoint *e, bool can_claim);

/* Posts one request (*ret_id: its id) or, where ret_id is NULL, a notification. */
int endpoint_post(
        Endpoint *e,
        const char *method,
        Json *params,
        uint64_t *ret_id,
        HttpDone done,
        void *userdata,
        HttpRequest **ret);

/* The event stream: data is set, and limit and max_body do not count; else a page of messages. */
typedef struct EndpointQuery {
        const char *cursor; /* what comes behind it; or NULL */
        unsigned limit;     /* messages in a page */
        size_t max_body;
        HttpData data;
        HttpDone done;
        void *userdata;
} EndpointQuery;
int endpoint_get(Endpoint *e, const EndpointQuery *q, HttpRequest **ret);

/* 401, 403, 409 and 410 to any request are about the runner, not about the request. True where it is one: the owner of the
 * endpoint was notified and ends all requests, and the caller returns at once. */
bool endpoint_is_refused(Endpoint *e, const HttpResult *result);
