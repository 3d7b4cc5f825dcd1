/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/util.h"

/* The runner's one inotify instance (128 a user is the kernel's limit, so one per run would not do). */
typedef struct Watch Watch;
typedef struct WatchSlot WatchSlot;

/* Something in the directory changed: out.log grew or, with new_files, a file may have come, started or outcome.json. The
 * call says no more than that, may come without a change, and comes for every slot, with new_files, after an overflow
 * of the kernel's queue. */
typedef void (*WatchCallback)(bool new_files, void *userdata);

int watch_new(sd_event *event, Watch **ret);
Watch *watch_free(Watch *w); /* after all its slots */
DEFINE_TRIVIAL_CLEANUP_FUNC(Watch *, watch_free);

int watch_add(Watch *w, int dirfd, WatchCallback callback, void *userdata, WatchSlot **ret);
WatchSlot *watch_slot_free(WatchSlot *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(WatchSlot *, watch_slot_free);
