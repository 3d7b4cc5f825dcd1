/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/host/shutdown-watch.h"
#include "runner/method/method-entry.h"
#include "runner/run/run-internal.h"
#include "runner/runner-internal.h"

/* The hub's list of conversations. Real: the store, the method table, the conversations, drivers, files, inotify. Played by the
 * test: PID 1, the launcher, the supervisor and the kernel's cgroups, of one conversation at the most. */

typedef struct Place {
        char path[64];
        int fd;
        sd_event *event;
        RunnerConfig config;
        Runner *r;
        Methods *methods;
        bool called; /* a call is on the stack */
        bool scope;  /* of c-0, and the agent in it lives */
        char *killed;
        bool busy;    /* no order for its scope may wait any more */
        bool refuses; /* the store takes no commit */
        unsigned n_removed, n_replies, n_ordered, n_starts, n_checkouts;
        const ShutdownOps *shutdown;
        char *reason; /* in the last reply */
        int64_t code; /* of an error, in the last reply */
} Place;

#define UNIT "northflare-conversation-c-0-1.scope"
#define CGROUP "/played"

/* The line that the shell agent says, and the state of its driver behind so many of them. */
#define LINE "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"said\"}\n"
#define BEHIND_ONE "{\"lines\":1,\"driver\":{\"version\":1,\"started\":true,\"turns\":3}}"

typedef struct Stored {
        const char *agent, *state, *spec, *driven_state, *params;
        bool no_row, no_folder;
} Stored;

int setup(void **state);
int teardown(void **state);
/* Of conversation c-i; members: of its parameters, each behind a comma. */
int try_call(Place *p, const char *method, unsigned i, const char *members);
void call(Place *p, const char *method, unsigned i, const char *members);
void turn_until(Place *p, const unsigned *n, unsigned expected);
/* Into the directory of the run. */
void write_file(Place *p, const char *name, const char *text);
/* What a runner before us left: one line was read, a second one is there. */
void store(Place *p, const Stored *s);
void run_sql(Place *p, const char *sql);
void supervisor_ends(Place *p, const char *members);
/* The runner begins, or begins again; it returns conversation c-0. */
int adopt_rows(Place *p);
Conversation *adopt(Place *p);
/* The store takes commits again, and the runner reads it again. */
void repair_store(Place *p);
/* All that can go on does. */
void turn(Place *p);
/* It has ended, once, for that reason, and with what it said. */
void assert_end(Place *p, const char *reason, const char *words, unsigned said);
/* Of the newest run, those that contain text. */
unsigned count_events(Place *p, const char *text);

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
