/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* One request of HTTP on one connection, for a socket that systemd accepts: enough for a scraper and for curl, and no more.
 * Every bound is here. */
#define HTTP_REQUEST_MAX 8192
#define HTTP_HEADERS_MAX 64
#define HTTP_READ_USEC (5 * USEC_PER_SEC)
#define HTTP_WRITE_USEC (10 * USEC_PER_SEC)
/* What a client may still send while it gets its answer. */
#define HTTP_DRAIN_MAX 65536

typedef struct HttpRequest {
        bool head;        /* the answer goes without its body */
        const char *path; /* borrowed, without a query */
        size_t path_size;
} HttpRequest;

/* The status that a request gets for its form: 200 where it is a good GET or HEAD (whatever its path), 0 where its end has
 * not come yet. data is the request so far. */
unsigned http_request_parse(const char *data, size_t size, HttpRequest *ret);

/* Reads a request. The status as above; 408 where it does not come, 0 where the client went away. data is filled with it,
 * and ret borrows from there. */
unsigned http_request_read(int fd, Buffer *data, HttpRequest *ret);

/* Writes the whole answer and waits for the client to have it. Returns 0 or negative errno. */
int http_answer(
        int in,
        int out,
        unsigned status,
        bool head,
        const char *content_type,
        const char *body,
        size_t size);
