/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "launcher/settings.h"

/* What the launcher's files share: the connection, the settings, and the calls that are under way. */

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

typedef struct Manager Manager;

/* A call that is answered when systemd has done what follows from it. */
typedef struct Task Task;
struct Task {
        Manager *manager;
        Task *next;              /* of the starts */
        const struct Verb *verb; /* NULL: a start */
        sd_bus_message *call;    /* holds the strings and descriptors of the request */
        sd_bus_slot *slot;       /* systemd's answer is awaited */
        Request request;         /* of a verb, the limits alone */
        char *unit;
        char slice[WORKSPACE_SLICE_SIZE]; /* of the workspace that a start is for; "" where it has none */

        /* Of a start. */
        const User *user; /* NULL for as long as it waits for its turn */
        sd_event_source *timer, *again;
        unsigned n_again;
        char *job;
        pid_t pid;
        int gate;
        uint64_t
                runtime; /* for systemd to keep too: root's ceiling, else the default; 0: the caller's own */
};

struct Manager {
        sd_event *event;
        sd_bus *bus;
        sd_event_source *idle;
        Settings settings;
        const char *unusable; /* why the settings are, or NULL */
        uint64_t idle_usec;
        char *slice_path; /* the slice's directory in the cgroup file system */
        bool leaving;
        Task *starts; /* oldest first; the first ones run, the others wait */
        unsigned n_starts, n_verbs;
};
