/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/bus/caller.h"

/* Decides whether the sender of a message may call the method. The decision takes a while (bus daemon, systemd, a person
 * with a password), so a method handler asks first and returns where it has to wait. The same message is dispatched to it
 * again once the decision is there, and then the same question is answered at once. A handler must not change
 * anything before. */
typedef struct Access Access;

#define ACCESS_QUERIES_MAX 64
#define ACCESS_QUERIES_PER_SENDER_MAX 16
/* Of all calls that wait for a decision together; any user may cause one. */
#define ACCESS_BYTES_MAX ((size_t) 32 * 1024 * 1024)

typedef enum AccessLevel {
        ACCESS_LIST,   /* every user but agents */
        ACCESS_MANAGE, /* root, and users that polkit authorizes */
} AccessLevel;

int access_new(sd_event *event, bool user_mode, Access **ret);
Access *access_free(Access *a);
DEFINE_TRIVIAL_CLEANUP_FUNC(Access *, access_free);

/* conversation: for polkit's rules, "" where it is about none.
 * Returns 1: yes, *ret is set. 0: not known yet, the handler returns 1 without a reply. Negative: no, error is set
 * and the handler returns that. */
int access_check(
        Access *a,
        sd_bus_message *m,
        AccessLevel level,
        const char *conversation,
        Caller *ret,
        sd_bus_error *error);

/* For tests: what decides. */
AccessRules *access_get_rules(Access *a);
