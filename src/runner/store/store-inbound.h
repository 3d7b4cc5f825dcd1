/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store.h"

/* Inbound messages. */

typedef struct InboundMessage {
        int64_t seq;
        char *envelope_id;
        char *conversation; /* or NULL */
        char *method;
        char *params;     /* JSON text; NULL once the message is done: it is dropped then */
        char *request_id; /* JSON text of the JSON-RPC id, or NULL for a notification */
        char *response;   /* JSON text of the whole JSON-RPC response object, or NULL: not known yet */
        uint64_t received_usec;
} InboundMessage;
void inbound_message_done(InboundMessage *m);

/* Accepts: stores message, response to be and cursor (NULL: leave it) in one transaction. done: nothing is left to
 * do for it (else it stays pending until store_inbound_done). 1 and *ret_seq; 0 where the id was accepted before:
 * its stored response is then marked unsent again and the cursor is stored. */
int store_accept(Store *s, const InboundMessage *m, const char *cursor, bool done, int64_t *ret_seq);
int store_is_accepted(Store *s, const char *envelope_id); /* 1 or 0 */
int store_inbound_done(Store *s, int64_t seq);
int store_set_response(Store *s, int64_t seq, const char *response);
/* Calls cb for each pending message of that conversation (NULL: of all) in order of acceptance; cb returning
 * non-zero ends the walk and is returned. cb must not write to the store. */
typedef int (*InboundCallback)(const InboundMessage *m, void *userdata);
int store_pending_inbound(Store *s, const char *conversation, InboundCallback cb, void *userdata);
int64_t store_count_pending(Store *s, const char *conversation);
/* The next response after seq that is known and not acknowledged. 1, or 0 where there is none. Responses queue in the
 * order in which they became known: ret->seq is the place in that queue, the number that after_seq and upto_seq mean, and
 * not the message's own. */
int store_next_response(Store *s, int64_t after_seq, InboundMessage *ret);
int store_response_acked(Store *s, int64_t upto_seq);
/* The message that began this conversation (or its newest run), where the response to it was not acknowledged: its
 * sender does not know then that it was accepted. Returns 1 and its id, or 0. */
int store_unheard_start(Store *s, const char *conversation, char **ret_envelope_id);
/* Forgets ids that are done, acknowledged and older than both bounds. Returns how many; at
 * most some thousand in one call. */
int store_prune_inbound(Store *s, uint64_t older_than_usec, uint64_t keep_rows);
