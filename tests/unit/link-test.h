/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/link.h"
#include "test-server.h"

/* What the tests of the link share: an orchestrator that does what its members say, and the owner of a link. */

#define LIST_MAX 4096

/* A runner around a link: it accepts what it is given into a real store. */
typedef struct Fixture {
        sd_event *event;
        TestServer *server;
        char dir[64];
        int dirfd;
        Store *store;
        Link *link;
        LinkConfig config;
        LinkTiming timing;

        /* the orchestrator */
        int register_status;
        const char *register_extra, *register_body; /* NULL: the usual */
        const char *cursor, *last_processed_at;     /* in the answer to runner.register */
        const char *max_body;                       /* the same, as JSON */
        bool standby, no_claims;
        unsigned n_registers, n_streams, n_pages, n_claims, n_heartbeats;
        char *register_params, *heartbeat_params, *claim_ids;
        char *stream_target, *stream_last_event_id, *stream_authorization, *stream_runner_id;
        TestRequest *stream;                /* the newest */
        int stream_status, stream_failures; /* so many times */
        const char *stream_type;
        bool stream_closes;
        int claim_status, claim_failures;
        bool hold_claims, claim_unknown;
        TestRequest *claim;
        const char *refuse_claims_of; /* this id belongs to another */
        const char *pages[4];
        char *page_targets[16];
        TestRequest *held_post;
        bool hold_posts;
        unsigned n_posts;

        /* the owner */
        char *processed[LIST_MAX]; /* "id@cursor" */
        size_t n_processed;
        char *known[8];
        size_t n_known;
        int knows_failures;
        int process_result, process_failures;
        unsigned n_responded, n_states;
        LinkState states[32];
        bool has_work;
        const char *held, *decided;                     /* what was taken in before a restart */
        int (*heartbeat)(Json *params, void *userdata); /* adds to a heartbeat; or NULL */
        void *heartbeat_data;
        int exit_code;
        char *exit_text;
} Fixture;

void set(char **p, const char *s);
void answer_claim(Fixture *f, TestRequest *r);
void send_envelope(
        Fixture *f,
        const char *cursor,
        const char *id,
        const char *members,
        const char *method,
        const char *params);
void make_link(Fixture *f);
int link_test_set_up(void **state);
int link_test_tear_down(void **state);
void link_test_start(Fixture *f);
void start_no_stream(Fixture *f);
void check_stored(Fixture *f, const char *key, const char *expected);
char *stored(Fixture *f, const char *key);
void check_processed(Fixture *f, size_t i, const char *expected);
void check_response(Fixture *f, unsigned i, const char *expected);
void ping(Fixture *f, const char *cursor);
