/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "common/json.h"

/* What the orchestrator reads of JSON that others wrote, without a tree of it: a tree costs up to 250 times the text.
 * All slices are of text that json_scan_check() has passed. */

/* Most values in an object that becomes a tree: what administrators send. */
#define JSON_TREE_VALUES_MAX 4096

typedef struct JsonMember {
        const char *name;
        Slice *value; /* set where the member is there, left alone where it is not */
} JsonMember;

/* Finds the members of an object in one walk, also where a name is spelled with escapes. Returns NULL, or the name of
 * one that is there twice: readers disagree on which of the two counts, so that it is to be refused. */
const char *json_members(Slice object, const JsonMember *members, size_t n);

/* Whether there is a value, and not null. */
bool json_is_there(Slice v);

/* Decodes a string of less than size bytes into buf. Returns 0; -EINVAL where v is no string or has a NUL byte in it;
 * -EOVERFLOW where it is longer (buf is "" then); -ENOMEM. */
int json_string_into(Slice v, char *buf, size_t size);
/* The same, cut at max bytes, for the caller to free. *ret is NULL where v is no such string. Returns 0 or -ENOMEM. */
int json_string_cut(Slice v, size_t max, char **ret);
/* A member's decoded string for the caller to free; NULL where there is none. */
char *json_member_string(Slice object, const char *name);

/* Appends v on one line: line breaks between values become blanks. Returns 0 or -ENOMEM. */
int json_append_line(Buffer *b, Slice v);

/* A node of a tree that prints as v, whose text is copied as it is. NULL: no memory. */
Json *json_raw(Slice v);

/* A tree of text with JSON_TREE_VALUES_MAX values at most: -E2BIG where it has more. Returns 0 or
 * negative errno with a sentence in *ret_error (may be NULL); both are for the caller to free. */
int json_parse_small(const char *text, size_t size, Json **ret, char **ret_error);
