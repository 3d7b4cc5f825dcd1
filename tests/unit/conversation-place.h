/* SPDX-License-Identifier: MIT */
#pragma once

#include "fake-run.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/store/store-internal.h"

/* A conversation, and its run as the test plays it. Real: the conversation, the store, the event loop. Played: the run
 * (fake-run.h), git, and the owner of the conversation, whose hooks stand among the calls to the run. */

#define UNIT "northflare-conversation-c-1-1.scope"
#define DAY (86400 * USEC_PER_SEC)

#define USAGE                                                                                \
        "\"usage\":{\"turns\":1,\"inputTokens\":2,\"outputTokens\":3,\"cacheReadTokens\":4," \
        "\"cacheWriteTokens\":5,\"costUsd\":0.5}"

typedef struct Place {
        char path[64];
        int fd;
        sd_event *event;
        RunnerConfig config;
        ConversationContext ctx;
        Conversation *c;
        unsigned n_commits; /* to the database, each of a whole transaction */
        bool commit_fails;
        int expiring_error;
        int64_t events_read; /* own events up to here were compared */
        uint64_t n_visible;  /* own events in the store when they were announced */
        unsigned n_accepted;
        unsigned run;
} Place;

struct Checkout {
        CheckoutDone done;
        void *userdata;
};

struct CheckoutStatus {
        CheckoutStatusDone done;
        void *userdata;
};

/* What fails in the store: a table that takes no row of that kind, or the commit. */
typedef struct Failure {
        const char *table, *operation; /* or NULL */
        bool commit;
        int effects, started, end,
                expiring;  /* what the run and the hook return then, after they have stored */
        const char *calls; /* which there are then; or NULL */
} Failure;

/* Every text that is returned is for the caller to free. */

/* ---- the conversation: c-1 of workspace w, with one run, that lives and waits for nothing ---- */

int setup(void **state);
int teardown(void **state);
/* Makes it anew, without events, messages or calls; state: of its row, CONVERSATION_LIVE or one before that. */
void begin(Place *p);
void begin_in(Place *p, ConversationState state);
/* Starts it anew, up to where the launcher has to answer. */
void begin_start(Place *p);
/* A member of what it was started with, JSON text. */
void set_params(Place *p, const char *name, const char *text);
void take_checkout(Place *p); /* directory /d, branch b */
void use(void);               /* what USAGE says */
/* Accepts a message and returns its number. Their ids are m-1, m-2, …; request_id may be NULL. */
int64_t accept_message(Place *p, const char *method, const char *params, const char *request_id);
void say(Place *p, const char *content); /* message.user */
int64_t count_pending(Place *p);         /* in the store */

/* Orders a stop, without words. */
void stop(Place *p, StopCause cause, uint64_t grace_usec);

/* ---- the store ---- */

bool in_transaction(Place *p);
void begin_failure(Place *p, const Failure *f);
void end_failure(Place *p, const Failure *f);
/* All that a conversation may write to, as text. */
char *dump(Place *p);
/* in.log as it has to become. */
char *input(Place *p);

/* ---- what its run reports ---- */

/* One piece of output, with lines for the agent (or ""); session may be NULL. */
int report_effects(Place *p, const char *lines, const char *session, bool replayed);
void report_driven(Place *p, bool progress);
void report_started(Place *p);
void report_ordered(Place *p, LauncherVerb verb, int error, const char *text);
/* It is over, as fake_run.facts says. */
void report_over(Place *p);
void report_released(Place *p);

/* ---- what came of it ---- */

/* All calls since the last time, to the run and to the owner. */
void assert_calls(const char *words);
/* The own events since the last time, "METHOD MEMBERS\n" each. */
void assert_events(Place *p, const char *lines);
void skip_events(Place *p);
void assert_input(Place *p, const char *text);
/* A member of the stored end, a string; text NULL: there is none. */
void assert_detail(Place *p, const char *name, const char *text);
/* Of the timer of the stop; 0: it does not run. */
uint64_t time_left(Place *p);
/* That much is left, less what the test has taken. */
void assert_time_left(Place *p, uint64_t usec);
void let_time_pass(Place *p);
