/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/store/store-inbound.h"

/* From the text of an envelope to an Envelope, strictly: what is not exactly an envelope is refused with a JSON-RPC
 * error. Members that are not known are left alone. */

/* One message from the orchestrator, all borrowed. */
typedef struct Envelope {
        const char *id, *runner_uid, *task, *conversation, *created_at;
        const char *cursor; /* opaque; NULL where the stream gave none */
        const char *method;
        const char *request_id; /* JSON text, or NULL for a notification */
        Json *params;           /* never NULL: {} where there were none */
} Envelope;

typedef struct ParsedEnvelope {
        Envelope e; /* points into what follows */
        Json *root, *no_params;
        char *request_id, *cursor;
        size_t size; /* what it costs to keep: its text, and a KiB for each value; 0 where it came parsed */
} ParsedEnvelope;
ParsedEnvelope *parsed_envelope_free(ParsedEnvelope *p);
DEFINE_TRIVIAL_CLEANUP_FUNC(ParsedEnvelope *, parsed_envelope_free);

typedef struct EnvelopeError {
        int code;   /* of JSON-RPC */
        char *text; /* a sentence */
        char *id;   /* the envelope's, or one made from its text, so that it is known again; never NULL */
        char *request_id;   /* JSON text, or NULL: no response is expected */
        char *conversation; /* where a valid one is named, or NULL */
} EnvelopeError;
void envelope_error_done(EnvelopeError *e);
#define _cleanup_envelope_error_ _cleanup_(envelope_error_done)

/* cursor may be NULL. 0 and *ret; -EBADMSG and *ret_error; -ENOMEM. */
int envelope_parse(
        const char *text,
        size_t size,
        const char *cursor,
        ParsedEnvelope **ret,
        EnvelopeError *ret_error);
/* The same for one that has been parsed already; takes a reference. */
int envelope_parse_json(Json *root, const char *cursor, ParsedEnvelope **ret, EnvelopeError *ret_error);

/* Rows for store_accept(). They borrow everything: never call inbound_message_done() on them. */
InboundMessage envelope_row(const Envelope *e, char *response);
InboundMessage envelope_error_row(const EnvelopeError *e, char *response);
