/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "runner/link/envelope.h"
#include "runner/link/link-state.h"
#include "runner/link/registration.h"
#include "runner/link/sender.h"
#include "runner/store/store.h"

/* The connection to the orchestrator. It makes the parts and ties them together: each does one thing, knows those below it and
 * reports upwards by a table of calls. A message comes from the event stream (inbound-stream), is parsed (envelope), decided
 * about and perhaps claimed (inbox, claims); what it does is the business of the owner, who is called through LinkOps. */
typedef struct Link Link;

typedef struct LinkConfig {
        const char *url; /* base, checked by the configuration; all strings borrowed for the link's life */
        const char *token;
        const char *ca_file;                     /* or NULL */
        const char *messages_path, *events_path; /* endpoints, from "/api/runner/…" on */
        RetryStrategy retry_strategy;
        uint64_t retry_interval_usec, retry_duration_usec;
        uint64_t heartbeat_usec;
        size_t max_message_bytes; /* 16 MiB */
        const char *version;
        const char *data_dir; /* for people, or NULL */
} LinkConfig;

typedef struct LinkOps {
        /* Adds what only the owner knows to the params of runner.register: hostname, machineId, os, arch, agents,
         * capacity, labels, conversations. */
        int (*describe)(void *userdata, Json *params);
        /* The same for runner.heartbeat: state, conversations, capacity, load, queue. */
        int (*heartbeat)(void *userdata, Json *params);
        /* Whether this conversation lives here: 1 or 0. Negative errno: that is unknown now, so nothing is decided
         * about the message, and the stream is dropped as below. */
        int (*knows)(void *userdata, const char *conversation);
        /* Accept and act. Must store the message and its cursor in one transaction (store_accept). Negative errno:
         * it could not be accepted; the stream is dropped and comes back with the old cursor. */
        int (*process)(void *userdata, const Envelope *e);
        /* The link has stored a response by itself (runner.ping, bad input, a duplicate, an unknown conversation):
         * there may be something for the owner's source of responses. */
        void (*responded)(void *userdata);
        /* The link processes some runner.* methods itself; these two notify the owner. */
        void (*state_changed)(void *userdata, LinkState state);
        /* The link has given up (never registered): the program ends with this code and text. */
        void (*give_up)(void *userdata, int exit_code, const char *text);
        /* Are there live conversations (then a runner never gives up)? */
        bool (*has_work)(void *userdata);
        /* Adds the ids of messages whose work was accepted before a restart and has not begun: they are claimed
         * again before it begins, since the orchestrator may have given them to another meanwhile. */
        int (*list_held)(void *userdata, Json *ids);
        void (*held_decided)(void *userdata, const char *id, bool granted, const char *owner);
} LinkOps;

/* All in µs; other values than the defaults are for tests. */
typedef struct LinkTiming {
        uint64_t silence;              /* an event stream this long without a byte is dead */
        uint64_t reopen;               /* a stream that had worked is opened again after this */
        uint64_t retry_min, retry_max; /* back-off of what failed */
        uint64_t held;                 /* a stream that lasted this long was a success */
        uint64_t poll;                 /* between catch-up requests where there is no stream */
        uint64_t stream_again;         /* where there was no stream, try again after this */
        uint64_t request;              /* time limit of a request */
        uint64_t flush;                /* a cursor of skipped messages is stored after this */
        SenderTiming sender;
        JitterFunc jitter;
        void *jitter_userdata;
} LinkTiming;
extern const LinkTiming link_timing_default;

int link_new(
        sd_event *event,
        Store *store,
        const LinkConfig *config,
        const LinkOps *ops,
        void *userdata,
        Link **ret);
/* The same with another timing, for tests. */
int link_new_with_timing(
        sd_event *event,
        Store *store,
        const LinkConfig *config,
        const LinkTiming *timing,
        const LinkOps *ops,
        void *userdata,
        Link **ret);
Link *link_free(Link *l);
DEFINE_TRIVIAL_CLEANUP_FUNC(Link *, link_free);

/* Registers, and opens the stream then. Nothing where that was begun before. Negative errno. */
int link_start(Link *l);
LinkState link_get_state(Link *l);
bool link_is_connected(Link *l); /* the event stream stands */
Sender *link_get_sender(Link *l);
const char *link_runner_id(Link *l); /* NULL before the first registration */
const char *link_runner_uid(Link *l);
/* Sets a new token, which is used from the next request on; the stream is opened again. */
int link_set_token(Link *l, const char *token);
/* Asks about held work, where there is some. By itself after every registration. */
void link_confirm(Link *l);
/* Registers again, since what describe() says has changed; the stream is opened again after it. */
void link_describe_again(Link *l);
/* While the state is LINK_REFUSED: the HTTP status that came last, 0 where it was something else. */
long link_refused_status(Link *l);
/* Sends a heartbeat now (a change of state that the orchestrator should see soon). */
void link_heartbeat(Link *l);

typedef struct LinkStats {
        uint64_t reconnects, duplicates, skipped, bad_messages;
        uint64_t ignored;              /* stream events of a type that means nothing here */
        uint64_t last_event_usec;      /* CLOCK_REALTIME, 0: never */
        size_t waiting, waiting_bytes; /* messages that wait for a claim */
} LinkStats;
void link_get_stats(Link *l, LinkStats *ret);
