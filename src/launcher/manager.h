/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "launcher/settings.h"

/* What the launcher's files share: the connection, the settings, and what is under way. */

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT "org.freedesktop.systemd1.Unit"

/* dbus-daemon allows 128 calls without a reply on one connection; starts and verbs stay below it together. */
#define STARTS_RUNNING_MAX 32U
#define STARTS_MAX 256U
#define VERBS_MAX 64U

typedef struct Start Start;

typedef struct Manager {
        sd_event *event;
        sd_bus *bus;
        sd_event_source *idle;
        Settings settings;
        char *unusable; /* why the settings are, or NULL */
        uint64_t idle_usec;
        char *slice_path; /* the slice's folder in the cgroup file system */
        bool pidfds;      /* systemd takes PIDFDs= (since 255) */
        bool no_oom_policy;
        bool leaving;
        Start *starts; /* oldest first; the first ones run, the others wait */
        unsigned n_starts, n_running, n_verbs;
} Manager;

/* Something began or ended: leaves after a while where nothing is under way. */
void manager_touch(Manager *m);
/* 0, or negative with e set unless the bus says that the caller is the runner's user. */
int manager_check_caller(Manager *m, sd_bus_message *call, sd_bus_error *e);
/* 0, or negative with e set where the settings cannot be used. */
int manager_check_usable(Manager *m, sd_bus_error *e);

int method_start(sd_bus_message *call, void *userdata, sd_bus_error *e);
int method_pending(sd_bus_message *call, void *userdata, sd_bus_error *e);
int method_verb(sd_bus_message *call, void *userdata, sd_bus_error *e);

int on_job_removed(sd_bus_message *signal, void *userdata, sd_bus_error *e);
void starts_abandon(Manager *m);

/* Whether limits, for a scope of that name which there is or is going to be, fit in with those of the other scopes and
 * of the slice; with `another`, whether there may be one more scope. */
int manager_check_sum(Manager *m, const char *unit, const Limits *limits, bool another, sd_bus_error *e);

/* Appends the limits to an open a(sv). */
int limits_append(sd_bus_message *m, const Limits *l);
