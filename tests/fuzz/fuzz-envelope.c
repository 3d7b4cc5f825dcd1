/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "runner/link/envelope.h"
#include "runner/link/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted keeps every promise of Envelope; what is refused can be answered with valid JSON. */

#define CHECK(x)                 \
        do {                     \
                if (!(x))        \
                        abort(); \
        } while (false)

static void check_json(char *text_consume) {
        _cleanup_free_ char *text = text_consume;
        _cleanup_json_ Json *o = NULL;

        CHECK(text && json_parse(text, strlen(text), &o, NULL) >= 0);
}

static void check_good(const Envelope *e) {
        CHECK(token_text_is_valid(e->id));
        CHECK(!isempty(e->method));
        CHECK(json_object_is_type(e->params, json_type_object));
        CHECK(!e->conversation || ident_is_valid(e->conversation));
        CHECK(!e->task || ident_is_valid(e->task));
        CHECK(!e->runner_uid || token_text_is_valid(e->runner_uid));
        CHECK(streq(e->cursor, "7"));
        if (e->request_id)
                check_json(rpc_response(e->id, e->request_id, "{}", NULL));
        InboundMessage m = envelope_row(e, NULL);
        CHECK(m.params);
}

static void check_bad(const EnvelopeError *e) {
        CHECK(e->code < 0 && !isempty(e->text) && token_text_is_valid(e->id));
        char *error = rpc_error(e->code, e->text, e->conversation, NULL);
        CHECK(error);
        check_json(rpc_response(e->id, e->request_id ? e->request_id : "null", NULL, error));
        free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(parsed_envelope_freep) ParsedEnvelope *p = NULL;
        _cleanup_envelope_error_ EnvelopeError e = {};
        int r = envelope_parse((const char *) data, size, "7", &p, &e);

        CHECK(r == 0 || r == -EBADMSG);
        if (r == 0)
                check_good(&p->e);
        else
                check_bad(&e);
        return 0;
}
