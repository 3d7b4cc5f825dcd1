/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/hub/database.h"

/* What the orchestrator knows and decides: tokens, the runners registered with them, conversations and who owns them,
 * messages to runners, events from them. It knows nothing of HTTP: the two APIs call it, and it wakes their streams by way of
 * HubListener. Everything is in the database before it is answered or announced. Each file calls only those before it:
 * database, hub, tokens, messages, conversations and takeover, runners, events, upkeep.
 *
 * Functions return 0 or negative errno where nothing else is said; those that take an RpcError return 1 where they refuse.
 * What they fill in (char **, Json **) is for the caller to free. */
typedef struct Hub Hub;

/* What a runner calls a thing, in bytes: longer ones are cut. */
#define HUB_NAME_MAX 256

typedef struct HubConfig {
        uint64_t dead_after_usec; /* a runner without a stream, silent for so long, is taken for dead */
        uint64_t keep_usec;       /* ended conversations are kept for so long */
        uint64_t heartbeat_msec;  /* asked of runners at registration; 0: left to them */
        uint64_t max_body_bytes;  /* of a POST, as reported to runners at registration; 0: not reported */
} HubConfig;

/* db is borrowed. */
int hub_new(Database *db, const HubConfig *config, Hub **ret);
/* No listener is left by then. */
Hub *hub_free(Hub *h);
DEFINE_TRIVIAL_CLEANUP_FUNC(Hub *, hub_free);

/* A party that waits for something: a runner's stream, a follower of events, a request that waits for an answer.
 * wake() must only schedule work: it runs in the midst of the hub's own. close() ends a stream. */
typedef enum HubTopic {
        HUB_RUNNER,  /* messages to the runner with uid `key`; such a listener makes it "connected" */
        HUB_EVENTS,  /* any new event */
        HUB_ANSWERS, /* any answered message */
} HubTopic;
typedef struct HubListener HubListener;
struct HubListener {
        HubTopic topic;
        const char *key;   /* borrowed, for HUB_RUNNER */
        const char *token; /* borrowed, for HUB_RUNNER: closed when it is revoked */
        void (*wake)(HubListener *l);
        void (*close)(HubListener *l);
        HubListener *next, *previous;
};
/* l is the caller's, who fills it in and keeps it until hub_unlisten(). A second HUB_RUNNER listener of the same runner closes
 * the first. */
void hub_listen(Hub *h, HubListener *l);
void hub_unlisten(Hub *h, HubListener *l);

/* Whether a runner has a stream. */
bool hub_is_connected(Hub *h, const char *uid);

/* Wakes who waits for messages to this runner, or for the topic. */
void hub_wake_runner(Hub *h, const char *uid);
void hub_wake_topic(Hub *h, HubTopic topic);

/* "<prefix>" and 32 random hex digits. */
#define RANDOM_ID_SIZE 40
void random_id(const char *prefix, char ret[static RANDOM_ID_SIZE]);
