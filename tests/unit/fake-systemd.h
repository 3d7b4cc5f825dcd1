/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/util.h"

/* The launcher's program on a bus of its own, between a caller and a systemd that the test plays: it takes each call of
 * the launcher's in turn, and answers it, or not, as it likes. Everything here fails the test where it fails. */

/* The bus admits users that the machine knows. */
#define RUNNER_UID 1
#define GIT_UID 61002
#define AGENT_UID 61003
#define AGENT2_UID 61004
#define CALLS_MAX 512

typedef struct World {
        char dir[32];
        bool system; /* as root, with users of its own; else as whoever runs the test */
        sd_event *event;
        pid_t daemon, launcher;
        int status; /* of the launcher, once it has ended */
        sd_bus *systemd, *caller;
        bool has_name;                    /* the launcher, on the bus */
        sd_bus_message *calls[CALLS_MAX]; /* of systemd, not yet taken; oldest first */
        size_t n_calls;
} World;

/* The answer of the launcher to one call. */
typedef struct Reply {
        bool done;
        sd_bus_message *message;
        const char *error, *text; /* NULL: none */
        sd_bus_slot *slot;
        char member[16]; /* what was called */
} Reply;

typedef struct Start {
        const char *kind, *id, *workspace, *cwd, *script;
        uint32_t run;
        const char *const *argv; /* in place of /bin/sh -c script */
        const char *const *env;  /* name, value, …, NULL */
        const char *limit;
        uint64_t value;
        int dirfd, extra[4]; /* dirfd: 0: a folder is made, named ID-RUN */
        unsigned n_extra;
} Start;

/* For tests with set-up and tear-down: a bus, and the caller and systemd on it. */
int world_set_up(void **state);
int world_set_up_system(void **state);
int world_tear_down(void **state);
/* Writes launcher.json. */
void world_configure(World *w, const char *text);
/* Starts the launcher (options may be NULL) without waiting for anything. It stays until it is ended, unless
 * $NF_TEST_LEAVES is "called" (it leaves when some time after a call no other came) or "always" (or none came at all). The
 * bound of its latest start elapses at SIGUSR1, and nothing else does, however slow the test is; but the calls of systemd
 * that $NF_TEST_NO_ANSWER names soon count as not answered. */
void world_spawn(World *w, const char *const options[]);
/* The same, and its name is on the bus. faster: by how much what it waits for before it
 * tries again is shorter; $NF_TEST_SLOWER: by how much longer. */
void world_launch(World *w, unsigned faster);
/* Ends the launcher, and its name is gone. */
void world_kill(World *w);
/* The launcher's name comes or goes. */
void wait_name(World *w, bool there);
/* A child of the launcher is stopped: its pidfd, for the caller to close or to pass to wait_gone(). */
int world_wait_stopped_child(World *w);
/* The launcher has ended; its exit status, or 256 and the signal. */
int world_wait_exit(World *w);
/* A path below the world's directory, valid until the next call. */
const char *world_path(World *w, const char *name);
/* A descriptor of the folder of a run, made where it is missing. */
int world_run(World *w, const char *name);
/* The contents of a run's file, when the (fake) supervisor has said that all is done; for the caller to free. */
char *world_run_file(World *w, const char *run, const char *file);
void world_put(World *w, const char *path, const char *text);

/* A connection of another uid; of no use without root. */
sd_bus *world_connect(World *w, uid_t uid);

/* Calls the launcher. types may be NULL. */
void call(World *w, Reply *r, sd_bus *by, const char *member, const char *types, ...);
void start(World *w, Reply *r, const Start *s);
void wait_reply(World *w, Reply *r);
/* Waits; the error's name is that of ours (InvalidArgument), and its text begins so. */
void wait_error(World *w, Reply *r, const char *error, const char *begin);
void wait_good(World *w, Reply *r);
void reply_done(Reply *r);
/* Ends where the launcher has done all that it does without an answer: nothing more is asked of systemd. */
void no_calls(World *w);

/* systemd's side. The next call, which has to be this one; valid until the next one is taken. */
sd_bus_message *next_call(World *w, const char *member);
void answer(World *w, sd_bus_message *call, const char *types, ...);
/* name: without org.freedesktop.systemd1. where it has no dot. */
void answer_error(World *w, sd_bus_message *call, const char *name);
void job_removed(World *w, const char *job, const char *unit, const char *result);
void systemd_leave(World *w);
void systemd_come(World *w);
/* Takes a StartTransientUnit, answers with the job, and says which process is to be put in: a pidfd, or -EBADF. */
int take_start(World *w, const char *unit, const char *job);
/* The rest of a good start: the job is done, and the invocation is asked for. */
void finish_start(World *w, const char *unit, const char *job);
/* The launcher has no child, not even one that has ended. */
void wait_childless(World *w);
/* The process has ended. */
void wait_gone(int pidfd_consumed);
bool is_alive(int pidfd);
/* A property of a StartTransientUnit or SetUnitProperties, in words: text, number, "yes"; or NULL. Free it. */
char *property_of(sd_bus_message *call, const char *name);
