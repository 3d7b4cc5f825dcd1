/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/host/shutdown-watch.h"
#include "runner/run/run-internal.h"
#include "runner/scope/launcher-client.h"

/* What the tests of a run share: a run with neither a runner nor a conversation. Real: the event loop, the store, the watch, the
 * queue of orders, the driver and the files of the run, of which the supervisor's are written by the test. The test is the owner,
 * who writes down what is reported to it, and stands in for the launcher, systemd, the journal and the kernel by defining their
 * functions itself, ahead of the archive's: so nothing else that is exported here may have the name of one of those. */

#define ID "c-1"
#define UNIT "northflare-conversation-c-1-1.scope"
#define CGROUP "/northflare-none"
#define STARTED "{\"version\":1,\"cgroup\":\"" CGROUP "\"}"

typedef enum Storing {
        STORES,
        ROLLS_BACK,     /* having stored, which the owner reports as -EIO */
        STORES_NOTHING, /* the same, without having tried */
} Storing;

typedef struct Sent {
        const char *verb;
        uint64_t limit; /* the first one, of SetLimits */
        LauncherCall *call;
} Sent;

/* All of it but what is made of it is zero at the beginning of a test. */
typedef struct World {
        char path[64];
        int fd;
        sd_event *event;
        sd_bus *bus; /* never started: for the loop of the queue of orders, and for slots */
        RunnerConfig config;
        RunContext ctx;
        Run *r;
        pid_t supervisor; /* of the test's, which is ended with it; 0: none */

        /* the owner */
        Buffer calls;   /* what was reported, in its order, with "; " between two */
        Buffer lines;   /* all lines for the agent, of effects that were stored */
        size_t most;    /* bytes of lines of one call */
        size_t n_parts; /* of the last call */
        Storing storing;
        char *session;    /* as is_session() knows it */
        const char *late; /* output that is written while the owner is told that something was read */
        const char *kept; /* stored in the transaction of a start */
        int starting_error, event_error, deny_result; /* what those calls return */
        bool answers;                                 /* a denial, in the place of deny_result */
        bool ending;                                  /* what that call returns */
        bool starts_again;                            /* whenever it is told to */
        bool keeps;                                   /* it does not store the end when it is over */
        bool marked_over;                             /* at that call the conclusion was marked, … */
        bool marked_ending;                           /* … and at that one */
        Json *outcome;                                /* as ended() had it */

        /* the launcher */
        Sent sent[16];
        unsigned n_sent, n_starts, n_limits;
        LauncherCall *start;
        char *start_text; /* what was ordered last */
        int make_error;   /* of the run's directory; 0: it can be made */

        /* systemd, the journal, the kernel */
        UnitsResult result;
        void *result_userdata;
        unsigned n_questions; /* for the scope's Result */
        ShutdownAnswer shutdown;
        void *shutdown_userdata;
        uint64_t stop_usec; /* of systemd's line about the scope; 0: there is none */
        bool populated;
        unsigned n_warnings;
} World;
extern World world;

typedef struct Setup {
        const char *spec, *state, *driven_state;
        unsigned crashes;
        uint64_t started_usec;
} Setup;

int run_test_set_up(void **state);
int run_test_tear_down(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, run_test_set_up, run_test_tear_down)

/* What was reported since the last time, and no more than that. */
void expect_calls(const char *calls);
/* All that is due. */
void spin(void);
void pass_time(uint64_t usec);
/* Until something is reported. */
void wait_for_call(void);
/* As a row of the store says, and no more. */
void make_run(const Setup *s);
/* Makes its directory, of which the run then knows. */
void open_folder(void);
/* One that lives, of which nothing was read yet; the latter of an agent with that protocol. */
void live_as(const Setup *s);
void live(const char *protocol);
/* The supervisor writes: a file; more of out.log; so much of it that steers nothing, at least. */
void write_file(const char *name, const char *text);
void say(const char *text);
void say_much(size_t size);
/* Starts it; the owner starts it again in the same way. */
int start_run(char **ret_error);
/* Its driver takes a denial; returns as run_command(). */
int deny_question(uint64_t offset, unsigned n);
/* Stores its end and lets it go, as the owner does when it is over. */
void store_end(void);
/* Nothing is asked for, so there are limits that can be hit. */
void begin_limits(void);
/* The launcher answers a start, and what it was sent as the n-th (from 0); systemd says the scope's Result. */
void answer_start(int error, const char *text, const char *unit, const char *invocation);
void answer_order(unsigned n, const char *verb, int error, const char *text);
void answer_result(const char *result);
/* What the store has of it; the row is for the caller to give back. */
RunRow stored_row(void);
void assert_stored_up_to(uint64_t offset, uint64_t lines);
void assert_state(RunState state);
uint64_t stored_input_size(void);
bool owner_has_stored(void);

/* What agents write. */
#define SHELL_STARTED "{\"type\":\"started\"}\n"
#define TURN_START "{\"type\":\"turn_start\"}\n"
#define OUTPUT "{\"type\":\"output\",\"text\":\"x\"}\n"
#define TURN_END "{\"type\":\"turn_end\",\"exitCode\":0}\n"
#define TURN_FAILED "{\"type\":\"turn_end\",\"exitCode\":1}\n"

#define INIT(session) "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"" session "\"}\n"
#define RESULT "{\"type\":\"result\",\"is_error\":false}\n"
/* What no host serves: the driver answers that itself. */
#define REQUEST(id) \
        "{\"type\":\"control_request\",\"request_id\":\"" id "\",\"request\":{\"subtype\":\"x\"}}\n"
#define QUESTION(id)                                         \
        "{\"type\":\"control_request\",\"request_id\":\"" id \
        "\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"Bash\",\"input\":{}}}\n"
