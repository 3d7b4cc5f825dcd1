/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "runner/link/sender.h"
#include "runner/store/store.h"

/* The connection to the orchestrator: registration with its retry strategies, the event stream, the heartbeat,
 * whose work a message is, claims. It owns the HTTP client and the sender. It parses envelopes and decides; what
 * a message does is the business of its owner, who is called through LinkOps. */
typedef struct Link Link;

typedef enum LinkState {
        LINK_REGISTERING, /* first registration not done yet */
        LINK_OFFLINE,     /* registered once; not reachable now */
        LINK_ACTIVE,
        LINK_STANDBY,
        LINK_REFUSED, /* credentials or everything refused: loud, retried every 60 s */
        _LINK_STATE_MAX,
} LinkState;
const char *link_state_to_string(LinkState s);

typedef enum RetryStrategy {
        RETRY_NONE,
        RETRY_INTERVAL,
        RETRY_EXPONENTIAL,
        _RETRY_INVALID = -EINVAL,
} RetryStrategy;

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

/* One message from the orchestrator, already decided to be ours. All borrowed for the call. */
typedef struct Envelope {
        const char *id, *runner_uid, *task, *conversation, *created_at;
        const char *cursor; /* opaque; NULL where the stream gave none */
        const char *method;
        const char *request_id; /* JSON text, or NULL for a notification */
        Json *params;           /* never NULL: {} where there were none */
} Envelope;

typedef struct LinkOps {
        /* Adds what only the owner knows to the params of runner.register: hostname, machineId, os, arch, agents,
         * capacity, labels, conversations. */
        int (*describe)(void *userdata, Json *params);
        /* The same for runner.heartbeat: state, conversations, capacity, load, queue. */
        int (*heartbeat)(void *userdata, Json *params);
        /* Does this conversation live here? */
        bool (*knows)(void *userdata, const char *conversation);
        /* Accept and act. Must store the message and its cursor in one transaction (store_accept). Negative errno:
         * it could not be accepted; the stream is dropped and comes back with the old cursor. */
        int (*process)(void *userdata, const Envelope *e);
        /* The link has stored a response by itself (runner.ping, bad input, a duplicate, an unknown conversation):
         * there may be something for the owner's source of responses. */
        void (*responded)(void *userdata);
        /* runner.* methods that the link has dealt with itself are accepted by it; these two tell the owner. */
        void (*state_changed)(void *userdata, LinkState state);
        /* The link has given up (never registered): the program ends with this code and text. */
        void (*give_up)(void *userdata, int exit_code, const char *text);
        /* Are there live conversations (then a runner never gives up)? */
        bool (*has_work)(void *userdata);
        /* Adds the ids of messages whose work was taken in before a restart and has not begun: they are claimed once
         * more before it does, since the orchestrator may have given them to another meanwhile. */
        int (*list_held)(void *userdata, Json *ids);
        void (*held_decided)(void *userdata, const char *id, bool granted, const char *owner);
} LinkOps;

int link_new(sd_event *event,
             Store *store,
             const LinkConfig *config,
             const LinkOps *ops,
             void *userdata,
             Link **ret);
Link *link_free(Link *l);
DEFINE_TRIVIAL_CLEANUP_FUNC(Link *, link_free);

int link_start(Link *l);
LinkState link_get_state(Link *l);
bool link_is_connected(Link *l); /* the event stream stands */
Sender *link_get_sender(Link *l);
const char *link_runner_id(Link *l); /* NULL before the first registration */
const char *link_runner_uid(Link *l);
/* A new token: used from the next request on; the stream is opened anew. */
int link_set_token(Link *l, const char *token);
/* Asks about held work, where there is some. By itself after every registration. */
void link_confirm(Link *l);
/* Registers again, since what describe() says has changed; the stream is opened anew behind it. */
void link_describe_again(Link *l);
/* While the state is LINK_REFUSED: the HTTP status that came last, 0 where it was something else. */
long link_refused_status(Link *l);
/* Sends a heartbeat now (a change of state that the orchestrator should see soon). */
void link_heartbeat(Link *l);

typedef struct LinkStats {
        uint64_t reconnects, duplicates, skipped, bad_messages;
        uint64_t ignored;         /* stream events of a type that means nothing here */
        uint64_t last_event_usec; /* CLOCK_REALTIME, 0: never */
} LinkStats;
void link_get_stats(Link *l, LinkStats *ret);
