/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/registration.h"
#include "runner/link/sender.h"

/* What the link needs of a sender, beside sender.h. */

typedef struct SenderTiming {
        uint64_t retry_min_usec, retry_max_usec; /* back-off */
        uint64_t timeout_usec;                   /* of a POST, beside what its size may take */
} SenderTiming;
#define SENDER_TIMING_DEFAULT                                 \
        ((SenderTiming){ .retry_min_usec = USEC_PER_SEC / 2,  \
                         .retry_max_usec = 60 * USEC_PER_SEC, \
                         .timeout_usec = 30 * USEC_PER_SEC })

typedef enum SenderTrouble {
        SENDER_FINE,
        SENDER_STOPPED, /* 401, 403, 409 or 410 is about who we are, not what we send: the sender has switched itself off */
        SENDER_REFUSED, /* everything is refused as malformed: it goes on, backing off */
} SenderTrouble;
/* 401 and 403: the credentials; 409 and 410: the registration. */
static inline bool http_status_is_identity(long status) {
        return status == 401 || status == 403 || status == 409 || status == 410;
}

/* Called from the loop, whenever it changes. */
typedef void (*SenderTroubleFunc)(SenderTrouble t, long status, void *userdata);

/* http must outlive the sender. */
int sender_new(sd_event *event,
               HttpClient *http,
               const SenderTiming *timing,
               SenderTroubleFunc trouble,
               void *userdata,
               Sender **ret);
/* Sources that are left are only to be freed after it. */
Sender *sender_free(Sender *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Sender *, sender_free);

/* Where to post to and with which headers; copied. Used from the next request on. */
int sender_set_target(Sender *s, const char *url, char *const *headers);
/* Off: what is under way is given up (lost) and nothing is sent. A new sender is off. */
void sender_set_enabled(Sender *s, bool enabled);
/* The orchestrator is there again: no use in waiting. */
void sender_retry_now(Sender *s);
