/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"

/* Room on the disk of the state directory and of the runs' directories. */
typedef struct Disk Disk;

typedef enum DiskState {
        DISK_ENOUGH,
        DISK_LOW,  /* below the configured floor */
        DISK_FULL, /* nothing fits any more */
} DiskState;

typedef struct DiskOps {
        /* The state has changed, and that was logged. */
        void (*changed)(void *userdata);
        /* There is room again, after a call of disk_wait(). A caller that fails again calls it again, also from inside
         * this function. */
        void (*room)(void *userdata);
} DiskOps;

/* All are borrowed; of ctx: event, config, and the two directories. */
int disk_new(const RunContext *ctx, const DiskOps *ops, void *userdata, Disk **ret);
Disk *disk_free(Disk *d);
/* Checks now. That is not needed after a lack of room: a timer does it. */
void disk_check(Disk *d);
/* Returns the result of the last check. */
DiskState disk_get_state(const Disk *d);
bool disk_is_low(const Disk *d); /* for a new conversation */
/* A write failed because the disk is full: room() is called when there is room again. */
void disk_wait(Disk *d);
