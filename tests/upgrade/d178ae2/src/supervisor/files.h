/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/scope.h"

/* The supervisor's files in the run's folder, but for out.log. */

typedef enum Stopper {
        STOPPED_BY_NOBODY,
        STOPPED_BY_RUNNER,
        STOPPED_BY_SYSTEMD,
        STOPPED_BY_CLOCK, /* our own: nobody else has ended it when its time was over */
} Stopper;

typedef struct Outcome {
        int exit_code, signal; /* -1: none */
        const char *stage;     /* NULL: the program ran */
        int error;             /* positive errno of the stage, or 0 */
        Stopper stopped_by;
        bool out_full;
        bool oomd; /* killed by systemd-oomd */
        uint64_t out_bytes, in_bytes, started_usec, ended_usec;
        CgroupUsage usage;
} Outcome;

/* Makes `started`, empty: the descriptor, or -EEXIST where this run was started before. */
int started_claim(int dirfd);
/* Fills it in, for good. */
int started_write(int dirfd, int fd, pid_t agent, const char *cgroup, const char *cwd);
/* Writes outcome.json by rename. */
int outcome_write(int dirfd, const Outcome *o);
