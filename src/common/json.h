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

/* Parses exactly one JSON text in valid UTF-8 (RFC 8259), 64 levels deep at the most.
 * On failure -EBADMSG, and *ret_error (may be NULL) is a sentence with the offset, for the caller to free. */
int json_parse(const char *text, size_t size, Json **ret, char **ret_error);

/* Member name of object o, borrowed; NULL where o is no object or has none (a JSON null counts as none). */
Json *json_get(Json *o, const char *name);
/* The member's string, borrowed, or NULL where it is missing, no string, or holds a NUL byte. */
const char *json_get_string(Json *o, const char *name);
/* 1 and the value; 0 where it is missing (*ret untouched); -EINVAL where it has another type or range. */
int json_get_u64(Json *o, const char *name, uint64_t *ret);
int json_get_bool(Json *o, const char *name, bool *ret);
/* A copy of an array of strings. 1, 0 where missing, -EINVAL, -ENOMEM. */
int json_get_strv(Json *o, const char *name, char ***ret);

/* Text on one line, borrowed from the object. */
const char *json_text(Json *o);

/* Sets member name of o; takes value over; NULL value means that memory was out: -ENOMEM. */
int json_set(Json *o, const char *name, Json *value_consume);
int json_set_string(Json *o, const char *name, const char *value);
int json_set_u64(Json *o, const char *name, uint64_t value);
int json_set_bool(Json *o, const char *name, bool value);
