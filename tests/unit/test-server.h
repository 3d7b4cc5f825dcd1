/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/buffer.h"

/* A small HTTP/1.1 server on the test's own event loop, on loopback. The handler answers at once or keeps the request
 * and answers later; requests stay valid until the server is freed. */

typedef struct TestServer TestServer;
typedef struct TestConnection TestConnection;

typedef struct TestRequest {
        TestServer *server;
        TestConnection *connection; /* NULL: gone, by either side */
        struct TestRequest *next;
        unsigned connection_number; /* from 1, in the order of acceptance */
        char *method, *target, *head, *body;
        size_t body_size;
        bool answered;
} TestRequest;

typedef void (*TestHandler)(TestRequest *r, void *userdata);

TestServer *test_server_new(sd_event *event, TestHandler handler, void *userdata);
TestServer *test_server_free(TestServer *s);
const char *test_server_url(TestServer *s);
unsigned test_server_connections(TestServer *s); /* accepted so far */
/* Closes everything and refuses connections, until it is up again. */
void test_server_down(TestServer *s);
void test_server_up(TestServer *s);

/* The header's value, for the caller to free, or NULL. */
char *test_request_header(TestRequest *r, const char *name);
/* extra: "Name: value\r\n…" or NULL. */
void test_reply(TestRequest *r, int status, const char *extra, const char *body);
void test_stream_begin(TestRequest *r, const char *content_type);
void test_stream_send(TestRequest *r, const char *data, size_t size);
void test_stream_text(TestRequest *r, const char *format, ...) _printf_(2, 3);
void test_request_close(TestRequest *r);

/* Runs the loop until the condition holds; fails the test where the deadline comes first. */
extern bool test_deadline_over;
void test_deadline_arm(sd_event *event);
void test_deadline_disarm(void);
#define RUN_UNTIL(event, condition)                                        \
        do {                                                               \
                while (!(condition)) {                                     \
                        if (test_deadline_over)                            \
                                fail_msg("deadline: %s", #condition);      \
                        assert_true(sd_event_run(event, UINT64_MAX) >= 0); \
                }                                                          \
        } while (false)
