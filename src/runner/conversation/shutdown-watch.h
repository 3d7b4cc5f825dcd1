/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

/* Whether the machine, or in user mode the user's manager, is going down: systemd has a job for shutdown.target then. */
typedef struct ShutdownWatch ShutdownWatch;

/* *flag follows it; borrowed until the watch is freed. */
int shutdown_watch_new(sd_bus *bus, bool *flag, ShutdownWatch **ret);
ShutdownWatch *shutdown_watch_free(ShutdownWatch *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(ShutdownWatch *, shutdown_watch_free);
