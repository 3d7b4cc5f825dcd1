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
        /* The state is another one, which the journal has already. */
        void (*changed)(void *userdata);
        /* There is room for who called disk_wait(). Who fails again calls it again, from inside this if he likes. */
        void (*room)(void *userdata);
} DiskOps;

/* All are borrowed; of ctx: event, config, and the two directories. */
int disk_new(const RunContext *ctx, const DiskOps *ops, void *userdata, Disk **ret);
Disk *disk_free(Disk *d);
/* Checks now. That is not needed after a lack of space: a timer does it. */
void disk_check(Disk *d);
/* As checked last. */
DiskState disk_get_state(const Disk *d);
bool disk_is_low(const Disk *d); /* for a new conversation */
/* Something could not be written for want of room: it is tried again soon. */
void disk_wait(Disk *d);
