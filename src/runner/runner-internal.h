/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the hub share. */

#include "runner/conversation/conversation-internal.h"
#include "runner/host/admission.h"
#include "runner/host/service-watch.h"
#include "runner/host/shutdown-watch.h"
#include "runner/limits/ceilings.h"
#include "runner/link/link.h"
#include "runner/runner-announce.h"
#include "runner/runner-audit.h"
#include "runner/runner-control.h"
#include "runner/runner-housekeeping.h"
#include "runner/runner-queue.h"
#include "runner/runner-registry.h"
#include "runner/runner-set-aside.h"
#include "runner/runner-totals.h"
#include "runner/runner.h"

/* The unit has RestartForceExitStatus= for it. */
#define EXIT_START_AGAIN 75

typedef enum DiskState {
        DISK_ENOUGH,
        DISK_LOW,  /* below the configured floor */
        DISK_FULL, /* nothing fits any more */
} DiskState;

struct Runner {
        sd_event *event;
        sd_bus *bus;
        RunnerConfig *config;
        const RunnerOptions *options;
        Ceilings ceilings;
        Store *store;
        Link *link;
        ConversationContext ctx;
        Registry *conversations;
        Announcer *announcer;
        Totals *totals;
        QueueCounter *queue;
        Control *control; /* NULL where there is no orchestrator, as the link */
        Resend *resend;
        Housekeeping *housekeeping;
        ShutdownWatch *shutdown;

        WorkspaceCall *workspace_calls;
        const RunnerMethods *methods;
        void *methods_data;
        sd_event_source *readopt_timer, *disk_timer, *sigterm, *sigint, *sighup;
        int state_fd;
        bool user_mode, draining, ready;
        sd_bus_slot *exit_question;
        ServiceWatch *launcher_watch;
        uint64_t launcher_exit_usec; /* of the last one that was told of */
        bool exit_asked;             /* by a signal */
        bool crash_marked;
        unsigned crash_looks; /* for an earlier runner's end in the journal */
        bool recovering;      /* the store is being made anew from the folders */
        DiskState disk;
        AdmissionFigures machine; /* as last looked at */
        Admission admission, admission_told;
        uint64_t admission_told_usec;
        sd_event_source *admission_timer, *exit_timer, *crash_timer;
        bool disk_waiters;        /* something could not be written for want of room */
        uint64_t started_usec;    /* CLOCK_MONOTONIC */
        uint64_t started_at_usec; /* CLOCK_REALTIME */
        sd_event_source *drain_source, *drain_deadline, *drain_processes;
        unsigned drain_total;     /* conversations when it began */
        uint64_t drain_left_usec; /* at the start, of a deadline that was set before */
        int exit_code;
        char *git_cache; /* in user mode */
        char machine_id[33], hostname[256];
};

/* runner-retention.c */
void runner_remove_old(Runner *r);
void runner_sweep(Runner *r); /* what a removal or an operation of the runner before us left */

/* runner-drain.c */
int runner_drain_open(Runner *r);
/* Something changed that may let a conversation end. */
void runner_drain_look(Runner *r);
/* deadline_usec: after that what is left is stopped; USEC_INFINITY: never. */
void runner_set_draining(Runner *r, bool draining, uint64_t deadline_usec);
/* The same for the next start: into the store, and out of it. */
int runner_store_draining(Runner *r, bool draining, uint64_t deadline_usec);
void runner_load_draining(Runner *r);

/* runner-recover.c */
int runner_set_store_aside(Runner *r);
/* Where a store was put aside: the new one is the same runner's. */
int runner_recover_identity(Runner *r);
/* The same: makes the rows of what is in the folders. */
int runner_recover(Runner *r, char *const *units);
void runner_recovered(Runner *r);

/* runner-link.c */
extern const LinkOps runner_link_ops;
int runner_open_link(Runner *r);

/* runner-user.c: where it is one person's own, says at its start what that does not do. */
void runner_tell_user_mode(Runner *r);

/* runner-status.c */
/* What the announcer does before the observer hears. */
void runner_update_status(void *userdata);
const char *runner_state_name(Runner *r);
int runner_queue_json(Runner *r, Json **ret);
int runner_delivery_json(Runner *r, Json **ret);

/* runner-workspaces.c */
void runner_workspaces_open(Runner *r);
/* It is there; used: now. */
void runner_workspace_note(Runner *r, const char *id, bool used);
/* Nothing may begin in it. */
bool runner_workspace_is_removed(Runner *r, const char *id);

/* runner-reload.c */
void runner_take_git_settings(Runner *r);

/* runner-crash.c: marks that a runner is there, finds the mark of one that did not end in order, and hears of the launcher. */
void runner_crash_open(Runner *r);
int runner_crash_watch(Runner *r); /* the launcher, once there is a bus */
void runner_crash_look(Runner *r); /* what is known by now of such an end is told */
void runner_crash_close(Runner *r);

/* runner-shutdown.c */
int runner_shutdown_open(Runner *r);
/* Something was ended or acknowledged that a shutdown may have waited for. */
void runner_shutdown_look(Runner *r);
/* For SIGTERM: leaves at once, or after the last reports where the machine goes down. */
int runner_shutdown_exit(Runner *r);

/* runner-admission.c */
int runner_admission_open(Runner *r);
/* Something changed that may matter for it. */
void runner_admission_look(Runner *r);
/* The same with fresh figures of the machine. */
Admission runner_admission_ask(Runner *r);
/* Whether it refuses a conversation of that origin. */
bool runner_admission_is_for(Admission a, const char *origin);
/* Why not, for people; NULL where it is open, or memory is out. */
char *runner_admission_text(Runner *r);
int runner_admission_json(Runner *r, Json **ret);

/* runner-disk.c */
void runner_disk_look(Runner *r);
bool runner_disk_is_low(Runner *r); /* for a new conversation, when it was last looked at */
/* Something could not be written for want of room: it is tried again soon. */
void runner_disk_wait(Runner *r);
