/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "runner/host/unit-end.h"

/* Is notified by systemd when a service ended in another way than it should. Requires that this connection is subscribed
 * to systemd's signals. */
typedef struct ServiceWatch ServiceWatch;

/* exit_usec: CLOCK_REALTIME; may come several times for one end. */
typedef void (*ServiceFailed)(const UnitEnd *end, uint64_t exit_usec, void *userdata);

int service_watch_new(
        sd_bus *bus,
        const char *unit,
        ServiceFailed callback,
        void *userdata,
        ServiceWatch **ret);
ServiceWatch *service_watch_free(ServiceWatch *w);
