/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/link/sender.h"
#include "runner/store/store.h"

/* The events that the orchestrator refused for good, and those of them that are sent again. */
typedef struct Resend Resend;

/* Both are borrowed; sender NULL: there is no orchestrator. */
int resend_new(Store *store, Sender *sender, Resend **ret);
Resend *resend_free(Resend *r);
/* Returns an array of {messageId, conversationId, why, when, size}. */
int resend_list(Resend *r, Json **ret);
/* Sends all of them again; events that the orchestrator accepts leave the list. -ENOTCONN: there is no orchestrator. */
int resend_begin(Resend *r, unsigned *ret_count);
/* Tries again where the store could not be read. r may be NULL. */
void resend_wake(Resend *r);
