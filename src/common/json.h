/* SPDX-License-Identifier: MIT */
#pragma once

#include <json-c/json.h>

#include "common/util.h"

/* json-c with one parser call, one error text and typed look-ups. */

typedef struct json_object Json;

static inline void json_putp(Json **o) {
        if (*o)
                json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)

#define JSON_DEPTH_MAX 64

/* Whose text it is, and so how much of a tree may be made of it. A tree costs up to a kilobyte for each value, whatever
 * the text's length: what was not counted first is never given to json-c. */
typedef enum JsonSource {
        JSON_OF_AGENT,        /* an agent wrote it, or may have: members of its control lines */
        JSON_OF_ORCHESTRATOR, /* messages and answers; their bytes are bounded by maxMessageBytes on the way in */
        JSON_OF_CALLER,       /* a local user: arguments of northflarectl and of calls on the bus */
        JSON_OF_REPOSITORY, /* northflare-git's lines, which repeat what a repository says */
        JSON_OF_STORE, /* written by us, with what the orchestrator and the agent gave us inside, as strings */
        JSON_OF_ADMINISTRATOR, /* configuration */
        JSON_OF_PRODUCT,       /* another program of ours: supervisor, launcher, runner */
        JSON_OF_REQUEST,       /* an administrator's, to the orchestrator, and what is stored of it */
        JSON_OF_EVENT, /* an event as the runner shows it, with what an agent wrote inside: for northflarectl */
        _JSON_SOURCE_MAX,
} JsonSource;

/* Values are counted as the scanner meets them: each object, array, string, number and word; keys are not. */
typedef struct JsonBound {
        size_t bytes, values;
        unsigned depth;
} JsonBound;

#define JSON_AGENT_BYTES_MAX ((size_t) 64 * 1024)
#define JSON_AGENT_VALUES_MAX ((size_t) 4096)
#define JSON_VALUES_MAX ((size_t) 65536)

const JsonBound *json_bound(JsonSource source);

/* Parses exactly one JSON text in valid UTF-8 (RFC 8259) within the bound of its source.
 * On failure (one past the bound is one) -EBADMSG, and *ret_error (may be NULL) is a sentence with the offset, for the
 * caller to free. */
int json_parse_from(JsonSource source, const char *text, size_t size, Json **ret, char **ret_error);

/* For tests. In src tools/check lint refuses it. */
static inline int json_parse(const char *text, size_t size, Json **ret, char **ret_error) {
        return json_parse_from(JSON_OF_PRODUCT, text, size, ret, ret_error);
}

/* Member name of object o, borrowed; NULL where o is no object or has none (a JSON null counts as none). */
Json *json_get(Json *o, const char *name);
/* The member's string, borrowed, or NULL where it is missing, no string, or holds a NUL byte. */
const char *json_get_string(Json *o, const char *name);
/* 1 and the value; 0 where it is missing (*ret untouched); -EINVAL where it has another type or range. */
int json_get_u64(Json *o, const char *name, uint64_t *ret);
int json_get_bool(Json *o, const char *name, bool *ret);
/* A copy of an array of strings. 1, 0 where missing, -EINVAL, -ENOMEM. */
int json_get_strv(Json *o, const char *name, char ***ret);

/* The member's number; 0 where json_get_u64() has none. */
uint64_t json_u64(Json *o, const char *name);
/* The member's number, written with a fraction; 0 where it is missing or of another type. */
double json_real(Json *o, const char *name);
/* How many elements an array has; 0 where it is none. */
size_t json_length(Json *list);

/* How many values there are in it, itself included. */
size_t json_count(Json *o);

/* Text on one line, borrowed from the object. */
const char *json_text(Json *o);

/* Sets member name of o; takes value over; NULL value means that memory was out: -ENOMEM. */
int json_set(Json *o, const char *name, Json *value_consume);
int json_set_string(Json *o, const char *name, const char *value);
/* The same for text of others, which may not be UTF-8: what is not becomes U+FFFD. */
int json_set_text(Json *o, const char *name, const char *text);
int json_set_u64(Json *o, const char *name, uint64_t value);
int json_set_bool(Json *o, const char *name, bool value);
