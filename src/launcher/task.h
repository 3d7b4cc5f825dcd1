/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/manager-internal.h"

/* Serves every method of the interface; userdata: the manager, here and below. Errors are answered, by e or later. */
int on_call(sd_bus_message *call, void *userdata, sd_bus_error *e);
/* systemd's signal: what a start has waited for is done. */
int on_job_removed(sd_bus_message *signal, void *userdata, sd_bus_error *e);

/* Something began or ended: leaves after a while where nothing is under way. */
void manager_touch(Manager *m);
