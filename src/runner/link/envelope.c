/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "common/buffer.h"
#include "common/ident.h"
#include "runner/link/envelope.h"
#include "runner/link/rpc.h"
#include "runner/store/store-inbound.h"

#define METHOD_MAX 128
#define REQUEST_ID_MAX 256
#define QUOTE_MAX 80
/* What a value costs as a node of a tree, beside its text. */
#define VALUE_BYTES 1024

/* Params that are ids wherever they stand. */
static const char *const id_params[] = {
        "conversationId", "taskId", "workspaceId", "sessionId", "resumeSessionId", "agent",
};

ParsedEnvelope *parsed_envelope_free(ParsedEnvelope *p) {
        if (!p)
                return NULL;
        json_putp(&p->root);
        json_putp(&p->no_params);
        free(p->request_id);
        free(p->cursor);
        free(p);
        return NULL;
}

void envelope_error_done(EnvelopeError *e) {
        free(e->text);
        free(e->id);
        free(e->request_id);
        free(e->conversation);
        *e = (EnvelopeError){};
}

/* Fills the error's text, where it has none yet; -EBADMSG. */
static _printf_(3, 4) int refuse(EnvelopeError *e, int code, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&e->text, format, ap) < 0)
                e->text = NULL;
        va_end(ap);
        e->code = code;
        return e->text ? -EBADMSG : -ENOMEM;
}

/* "what "value" is not valid", with the value cut short and made harmless. */
static int refuse_value(EnvelopeError *e, int code, const char *what, Json *value) {
        _cleanup_buffer_ Buffer b = {};
        const char *s = json_object_is_type(value, json_type_string) ? json_object_get_string(value) :
                                                                       json_text(value);
        size_t size = strlen(strempty(s)), cut = MIN(size, (size_t) QUOTE_MAX);

        while (cut < size && cut > 0 && ((unsigned char) s[cut] & 0xc0) == 0x80)
                cut--;
        (void) buffer_append_json(&b, strempty(s), cut);
        if (cut < size)
                (void) buffer_append_str(&b, "…");
        if (b.failed)
                return -ENOMEM;
        return refuse(e, code, "%s: %s is not valid", what, b.data);
}

/* A member that is a string, null or missing: 0 and the string (borrowed) or NULL. */
static int take_string(
        EnvelopeError *e,
        Json *o,
        const char *name,
        bool (*check)(const char *),
        int code,
        const char **ret) {
        Json *v = json_get(o, name);
        const char *s;

        *ret = NULL;
        if (!v)
                return 0;
        s = json_get_string(o, name);
        if (!s || !check(s))
                return refuse_value(e, code, name, v);
        *ret = s;
        return 0;
}

static int take_request_id(EnvelopeError *e, Json *payload, char **ret) {
        Json *v = json_get(payload, "id");
        const char *text;

        *ret = NULL;
        if (!v)
                return 0;
        text = json_text(v);
        if (!text)
                return -ENOMEM;
        if ((!json_object_is_type(v, json_type_string) && !json_object_is_type(v, json_type_int) &&
             !json_object_is_type(v, json_type_double)) ||
            strlen(text) > REQUEST_ID_MAX)
                return refuse_value(e, RPC_INVALID_REQUEST, "payload.id", v);
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int take_payload(EnvelopeError *e, Json *root, ParsedEnvelope *p) {
        Json *payload = json_get(root, "payload"), *params;
        const char *version;
        int r;

        if (!json_object_is_type(payload, json_type_object))
                return refuse(e, RPC_INVALID_REQUEST, "payload: missing, or not a JSON-RPC object");
        /* The id first: with it the refusal can be answered. */
        r = take_request_id(e, payload, &p->request_id);
        if (r < 0)
                return r;
        p->e.request_id = p->request_id;
        version = json_get_string(payload, "jsonrpc");
        if (!streq_ptr(version, "2.0"))
                return refuse(e, RPC_INVALID_REQUEST, "payload.jsonrpc: not \"2.0\"");
        p->e.method = json_get_string(payload, "method");
        if (isempty(p->e.method) || strlen(p->e.method) > METHOD_MAX)
                return refuse(
                        e, RPC_INVALID_REQUEST, "payload.method: missing, empty, too long or not a string");
        params = json_get(payload, "params");
        if (params && !json_object_is_type(params, json_type_object))
                return refuse(e, RPC_INVALID_PARAMS, "payload.params: not an object");
        if (!params) {
                p->no_params = json_object_new_object();
                if (!p->no_params)
                        return -ENOMEM;
        }
        p->e.params = params ? params : p->no_params;
        return 0;
}

static int take_params(EnvelopeError *e, ParsedEnvelope *p) {
        const char *value, *conversation = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(id_params); i++) {
                r = take_string(e, p->e.params, id_params[i], ident_is_valid, RPC_INVALID_PARAMS, &value);
                if (r < 0)
                        return r;
                if (i == 0)
                        conversation = value;
        }
        if (conversation && p->e.conversation && !streq(conversation, p->e.conversation))
                return refuse(
                        e,
                        RPC_INVALID_PARAMS,
                        "conversationId: \"%s\" in the envelope, but \"%s\" in its params",
                        p->e.conversation,
                        conversation);
        if (conversation)
                p->e.conversation = conversation;
        return 0;
}

static int take_envelope(EnvelopeError *e, Json *root, ParsedEnvelope *p) {
        int r;

        if (!json_object_is_type(root, json_type_object))
                return refuse(e, RPC_INVALID_REQUEST, "not a JSON object");
        /* What belongs in the refusal comes before what may be refused. */
        p->e.id = json_get_string(root, "id");
        if (p->e.id && !token_text_is_valid(p->e.id))
                p->e.id = NULL;
        r = take_payload(e, root, p);
        if (r < 0)
                return r;
        if (!p->e.id) {
                Json *id = json_get(root, "id");
                return id ? refuse_value(e, RPC_INVALID_REQUEST, "id", id) :
                            refuse(e, RPC_INVALID_REQUEST, "id: missing");
        }
        r = take_string(e, root, "conversationId", ident_is_valid, RPC_INVALID_PARAMS, &p->e.conversation);
        if (r < 0)
                return r;
        r = take_string(e, root, "taskId", ident_is_valid, RPC_INVALID_PARAMS, &p->e.task);
        if (r < 0)
                return r;
        r = take_string(e, root, "runnerUid", token_text_is_valid, RPC_INVALID_REQUEST, &p->e.runner_uid);
        if (r < 0)
                return r;
        r = take_string(e, root, "createdAt", token_text_is_valid, RPC_INVALID_REQUEST, &p->e.created_at);
        if (r < 0)
                return r;
        return take_params(e, p);
}

/* An id for what has none: the same text gets the same one. */
static char *id_from_text(const char *text, size_t size) {
        char hex[SHA256_HEX_SIZE];

        sha256_hex(text, size, hex);
        return xasprintf("bad:%.32s", hex);
}

static int complete_error(EnvelopeError *e, ParsedEnvelope *p, const char *text, size_t size) {
        e->id = p && p->e.id ? strdup(p->e.id) : id_from_text(text, size);
        if (!e->id)
                return -ENOMEM;
        if (p && p->e.conversation) {
                e->conversation = strdup(p->e.conversation);
                if (!e->conversation)
                        return -ENOMEM;
        }
        if (p)
                e->request_id = TAKE_PTR(p->request_id);
        return -EBADMSG;
}

static int
parse(Json *root,
      const char *text,
      size_t size,
      const char *cursor,
      ParsedEnvelope **ret,
      EnvelopeError *ret_error) {
        _cleanup_(parsed_envelope_freep) ParsedEnvelope *p = new0(ParsedEnvelope, 1);
        _cleanup_envelope_error_ EnvelopeError e = {};
        int r;

        if (!p)
                return -ENOMEM;
        p->root = json_object_get(root);
        p->size = text ? size + json_count(root) * VALUE_BYTES : 0;
        if (!isempty(cursor)) {
                p->cursor = strdup(cursor);
                if (!p->cursor)
                        return -ENOMEM;
                p->e.cursor = p->cursor;
        }
        r = take_envelope(&e, root, p);
        if (r == -EBADMSG) {
                if (!text) {
                        text = strempty(json_text(root));
                        size = strlen(text);
                }
                r = complete_error(&e, p, text, size);
                if (r == -EBADMSG) {
                        *ret_error = e;
                        e = (EnvelopeError){};
                }
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

int envelope_parse(
        const char *text,
        size_t size,
        const char *cursor,
        ParsedEnvelope **ret,
        EnvelopeError *ret_error) {
        _cleanup_envelope_error_ EnvelopeError e = {};
        _cleanup_free_ char *why = NULL;
        _cleanup_json_ Json *root = NULL;
        int r;

        r = json_parse_from(JSON_OF_ORCHESTRATOR, text, size, &root, &why);
        if (r >= 0)
                return parse(root, text, size, cursor, ret, ret_error);
        if (r == -ENOMEM)
                return r;
        r = refuse(&e, RPC_PARSE_ERROR, "%s", why ? why : "not valid JSON");
        if (r == -EBADMSG)
                r = complete_error(&e, NULL, text, size);
        if (r == -EBADMSG) {
                *ret_error = e;
                e = (EnvelopeError){};
        }
        return r;
}

int envelope_parse_json(Json *root, const char *cursor, ParsedEnvelope **ret, EnvelopeError *ret_error) {
        return parse(root, NULL, 0, cursor, ret, ret_error);
}

InboundMessage envelope_row(const Envelope *e, char *response) {
        return (InboundMessage){
                .envelope_id = (char *) e->id,
                .conversation = (char *) e->conversation,
                .method = (char *) e->method,
                .params = (char *) json_text(e->params),
                .request_id = (char *) e->request_id,
                .response = response,
                .received_usec = now_usec(CLOCK_REALTIME),
        };
}

InboundMessage envelope_error_row(const EnvelopeError *e, char *response) {
        return (InboundMessage){
                .envelope_id = e->id,
                .conversation = e->conversation,
                .method = (char *) "",
                .params = (char *) "{}",
                .request_id = e->request_id,
                .response = response,
                .received_usec = now_usec(CLOCK_REALTIME),
        };
}
