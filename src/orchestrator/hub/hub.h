/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/buffer.h"
#include "common/json.h"
#include "orchestrator/hub/database.h"
#include "orchestrator/wire/rpc.h"
#include "orchestrator/wire/runner-message.h"

/* What the orchestrator knows and decides: tokens, the runners registered with them, conversations and who owns them,
 * messages to runners, events from them. It knows nothing of HTTP: the two APIs call it, and it wakes their streams
 * by way of HubListener. Everything is in the database before it is answered or announced. */
typedef struct Hub Hub;

/* Open messages of one token; beyond it the administrator gets an error. */
#define HUB_OPEN_MESSAGES_MAX 10000
/* Params of a message: it must fit into a runner's 16 MiB with its envelope around it. */
#define HUB_PARAMS_MAX ((size_t) 15 * 1024 * 1024)
#define HUB_RUNNERS_PER_TOKEN_MAX 64
#define HUB_TOKENS_MAX 1000
#define HUB_CLAIM_MAX 1000
/* The params of a registration, and the conversations that it may name. */
#define HUB_REGISTRATION_MAX ((size_t) 2 * 1024 * 1024)
#define HUB_ADOPTED_MAX 10000
/* Of a registration so much is kept for those who list runners. */
#define HUB_REGISTRATION_KEPT ((size_t) 64 * 1024)
/* What a runner calls a thing, in bytes: longer ones are cut. */
#define HUB_NAME_MAX 256
#define HUB_TITLE_MAX 1024
#define HUB_REASON_MAX 1024
/* Open questions of a conversation; more are events and nothing else. */
#define HUB_QUESTIONS_MAX 256

typedef struct HubConfig {
        uint64_t dead_after_usec; /* a runner without a stream, silent for so long, is taken for dead */
        uint64_t keep_usec;       /* ended conversations are kept for so long */
        uint64_t heartbeat_msec;  /* asked of runners at registration; 0: left to them */
        uint64_t max_body_bytes;  /* of a POST, as runners are told at registration; 0: they are not */
} HubConfig;

int hub_new(sd_event *event, Database *db, const HubConfig *config, Hub **ret);
Hub *hub_free(Hub *h);
DEFINE_TRIVIAL_CLEANUP_FUNC(Hub *, hub_free);

/* Somebody who waits for something: a runner's stream, a follower of events, a request that waits for an answer.
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
/* A second HUB_RUNNER listener of the same runner closes the first. */
void hub_listen(Hub *h, HubListener *l);
void hub_unlisten(Hub *h, HubListener *l);

/* ---- tokens (hub-tokens.c) ---- */

/* The secret is in the answer and nowhere else; stored is its SHA-256. */
int hub_token_create(Hub *h, const char *name, Json **ret, RpcError *e);
int hub_token_list(Hub *h, Json **ret);
/* name: or the id. Ends the streams opened with it. 1: done; 0: there is no such token. */
int hub_token_revoke(Hub *h, const char *name);
/* 1 and the token's id; 0 where the secret is not a valid token's. */
int hub_token_check(Hub *h, const char *secret, char **ret_id);
/* The id of a valid token by its id or name; NULL: the one that new work goes to if nobody says more. */
int hub_token_find(Hub *h, const char *name, char **ret_id, RpcError *e);

/* ---- runners (hub-runners.c) ---- */

int hub_register(Hub *h, const char *token, const char *runner_id, Slice params, Json **ret, RpcError *e);
/* Finds a registered runner by the id it sends and notes that it lives. 1 and its uid, or 0. */
int hub_runner_seen(Hub *h, const char *token, const char *runner_id, char **ret_uid);
int hub_heartbeat(Hub *h, const char *uid, const RunnerMessage *heartbeat);
int hub_runner_token(Hub *h, const char *uid, char **ret, RpcError *e);
int hub_runner_activate(Hub *h, const char *uid, RpcError *e);
/* A runner that will not come back: its conversations have no owner afterwards. */
int hub_runner_forget(Hub *h, const char *uid, RpcError *e);
/* Appends the runners of the next token behind *token ("": the first), as objects with commas between them, and moves
 * *token on. 1, or 0 where there is none. */
int hub_next_runners(Hub *h, char **token, Buffer *b);
bool hub_is_connected(Hub *h, const char *uid);

/* ---- messages to runners (hub-messages.c) ---- */

typedef struct HubMessage {
        const char *token;
        const char *target; /* uid, or NULL: whoever owns the conversation; for work, the active runner */
        const char *conversation; /* or NULL */
        const char *task;         /* or NULL */
        const char *method;
        Json *params; /* borrowed */
        bool notification;
} HubMessage;
/* Queues it; *ret_id is its envelope id. */
int hub_send(Hub *h, const HubMessage *m, char **ret_id, RpcError *e);
bool hub_is_work(const char *method);

/* The next message for that runner behind place *seq, as an envelope; moves *seq on. 1, or 0 where there is none. */
int hub_next_message(Hub *h, const char *uid, int64_t *seq, Buffer *b);
/* All up to that place have arrived. */
int hub_acknowledge(Hub *h, const char *uid, int64_t seq);
/* The wire's form of a place. Reading one that is not ours, or of another database, gives 0: the beginning. */
#define CURSOR_SIZE 40
const char *hub_cursor(Hub *h, int64_t seq, char buf[static CURSOR_SIZE]);
int64_t hub_cursor_parse(Hub *h, const char *cursor);

int hub_claim(Hub *h, const char *token, const char *uid, Slice params, Json **ret, RpcError *e);
int hub_response(Hub *h, const char *uid, const RunnerMessage *response);
/* State, and the answer where there is one, of the message or of that which has replaced it. 1, or 0: unknown. */
int hub_message_get(Hub *h, const char *id, bool *ret_answered, Json **ret);

/* ---- conversations (hub-conversations.c) ---- */

/* token and id may be NULL. *ret: {"conversationId","messageId"}. */
int hub_conversation_start(Hub *h, const char *token, const char *id, Json *params, Json **ret, RpcError *e);
int hub_conversation_send(
                Hub *h,
                const char *id,
                const char *method,
                Json *params,
                bool notification,
                char **ret_id,
                RpcError *e);
/* Issues it anew for the active runner. force: also where its owner is connected. */
int hub_conversation_takeover(Hub *h, const char *id, bool force, char **ret_id, RpcError *e);
int hub_conversation_get(Hub *h, const char *id, Json **ret); /* 1, or 0: unknown */
/* 1: it has ended, or was refused; 0: not so; *ret_known: there is one. */
int hub_conversation_is_over(Hub *h, const char *id, bool *ret_known);
int hub_conversation_list(Hub *h, bool all, uint64_t limit, Json **ret);

/* ---- events (hub-events.c) ---- */

/* Stores the notifications and responses of a body, which is valid JSON, in one transaction; requests in it are left to
 * the caller. 1: refused whole. */
int hub_receive(Hub *h, const char *token, const char *uid, Slice body, RpcError *e);

typedef struct EventFilter {
        const char *conversation, *runner; /* NULL: any */
} EventFilter;
/* The next event behind place *n as one line of JSON; moves *n on. 1, or 0 where there is none. */
int hub_next_event(Hub *h, const EventFilter *filter, int64_t *n, Buffer *b);
