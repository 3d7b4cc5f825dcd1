/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "fuzz.h"
#include "runner/link/envelope.h"
#include "runner/link/rpc.h"
#include "runner/store/store-inbound.h"

/* What is accepted keeps every promise of Envelope; what is refused can be answered with valid JSON; what is kept in the
 * store can be read again. */

static void check_row(const InboundMessage *m) {
        CHECK(!isempty(m->envelope_id) && m->method);
        check_json(m->params, strlen(strempty(m->params)));
        if (m->request_id)
                check_json(m->request_id, strlen(m->request_id));
}

static void check_good(const Envelope *e) {
        static const char *const ids[] = {
                "conversationId", "taskId", "workspaceId", "sessionId", "resumeSessionId", "agent",
        };

        CHECK(token_text_is_valid(e->id));
        CHECK(!isempty(e->method));
        CHECK(json_object_is_type(e->params, json_type_object));
        CHECK(!e->conversation || ident_is_valid(e->conversation));
        CHECK(!e->task || ident_is_valid(e->task));
        CHECK(!e->runner_uid || token_text_is_valid(e->runner_uid));
        CHECK(streq(e->cursor, "7"));
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                CHECK(!json_get(e->params, ids[i]) || ident_is_valid(json_get_string(e->params, ids[i])));
        if (e->request_id)
                check_json_consume(rpc_response(e->id, e->request_id, "{}", NULL));
        InboundMessage m = envelope_row(e, NULL);
        check_row(&m);
}

static void check_bad(const EnvelopeError *e) {
        CHECK(e->code < 0 && !isempty(e->text) && token_text_is_valid(e->id));
        CHECK(!e->conversation || ident_is_valid(e->conversation));
        char *error = rpc_error(e->code, e->text, e->conversation, NULL);
        CHECK(error);
        check_json_consume(rpc_response(e->id, e->request_id ? e->request_id : "null", NULL, error));
        free(error);
        InboundMessage m = envelope_error_row(e, NULL);
        check_row(&m);
}

/* In a page of messages the same envelope comes as a part of something that was parsed before. */
static void check_parsed(const char *text, size_t size, const ParsedEnvelope *p) {
        _cleanup_(parsed_envelope_freep) ParsedEnvelope *again = NULL;
        _cleanup_envelope_error_ EnvelopeError e = {};
        _cleanup_json_ Json *root = NULL;

        if (json_parse(text, size, &root, NULL) < 0) {
                CHECK(!p);
                return;
        }
        int r = envelope_parse_json(root, "7", &again, &e);
        CHECK((r == 0) == !!p);
        if (p)
                CHECK(streq(p->e.id, again->e.id) && streq(p->e.method, again->e.method) &&
                      streq(json_text(p->e.params), json_text(again->e.params)));
        else
                check_bad(&e);
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
        check_parsed((const char *) data, size, p);
        return 0;
}
