/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

#define POLKIT_ACTION_MANAGE "org.northflare.runner1.manage"

/* Asks polkit about the sender of a message, with the details "conversation" ("" is left out) and "method". */
typedef struct PolkitQuery PolkitQuery;
/* r: 0 is yes; negative with the error to reply is no, polkit absent included. Runs once, never from inside
 * polkit_query(), not after the free. */
typedef void (*PolkitDone)(int r, const sd_bus_error *error, void *userdata);

int polkit_query(
        sd_bus_message *m,
        const char *action,
        const char *conversation,
        PolkitDone done,
        void *userdata,
        PolkitQuery **ret);
/* Where no answer has come, the query is canceled at polkit (the password dialog is closed). */
PolkitQuery *polkit_query_free(PolkitQuery *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(PolkitQuery *, polkit_query_free);
