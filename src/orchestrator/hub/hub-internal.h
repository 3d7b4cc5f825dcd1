/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/hub/hub.h"

struct Hub {
        sd_event *event;
        Database *db;
        HubConfig config;
        char *epoch; /* tells the cursors of one database from those of another */
        uint64_t started;
        HubListener *listeners;
        sd_event_source *timer;
};

void hub_wake_runner(Hub *h, const char *uid);
void hub_wake_topic(Hub *h, HubTopic topic);

/* "<prefix>" and 32 random hex digits. */
#define RANDOM_ID_SIZE 40
void random_id(const char *prefix, char ret[static RANDOM_ID_SIZE]);

/* Members of a row that are strings or times are left out where they are NULL. */
int row_string(Json *o, const char *name, Statement *s, int column);
int row_time(Json *o, const char *name, Statement *s, int column);

/* The token's active runner: 1, or 0. */
int active_runner(Hub *h, const char *token, char **ret_uid);
/* Gives each open, unclaimed piece of work of the token a new place, addressed to that runner. */
int readdress_work(Hub *h, const char *token, const char *uid);
/* Messages that waited for the conversation to have an owner go to it. */
int release_held(Hub *h, const char *conversation, const char *uid);
/* Answers open messages of a conversation that never got an owner. */
int fail_held(Hub *h, const char *conversation, int code, const char *text);
/* A conversation that runs at this runner: makes it known, or the runner its owner where it has none, unless it was
 * taken from this very runner. */
int adopt_conversation(Hub *h, const char *token, const char *uid, const char *id);
/* Takes never-served conversations from runners that are dead. NULL: of all tokens. */
int sweep_dead(Hub *h, const char *token);
/* What was left of a forgotten runner: its conversations ended as "lost", its messages answered. */
int lose_runner(Hub *h, const char *uid);
/* What the answer to a message means for its conversation. error: empty where it is a result. */
int conversation_answered(Hub *h, const char *uid, const char *id, const char *method, Slice error);
/* What an event means for its conversation; *ret_foreign: it belongs to another token's runner. */
int conversation_event(
                Hub *h,
                const char *token,
                const char *uid,
                const RunnerMessage *event,
                bool *ret_foreign);
/* Forgets what is old, a little at a time. */
int prune(Hub *h);
