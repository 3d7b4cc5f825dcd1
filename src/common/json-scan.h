/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* A reader of JSON text that copies nothing: it checks a value and hands out where its parts stand, so that
 * an agent's own bytes can be relayed as they are. Lines of agents may be many MiB; parsing them into a tree
 * costs more than everything else the relay does. */

typedef struct Slice {
        const char *data;
        size_t size;
} Slice;

typedef enum ScanType {
        SCAN_OBJECT,
        SCAN_ARRAY,
        SCAN_STRING,
        SCAN_NUMBER,
        SCAN_TRUE,
        SCAN_FALSE,
        SCAN_NULL,
        _SCAN_INVALID = -EINVAL,
} ScanType;

/* Whether text is exactly one valid JSON value (RFC 8259) in valid UTF-8, at most 64 levels deep, blanks around
 * it allowed. Lone surrogate escapes are accepted: agents write them. */
bool json_scan_valid(const char *text, size_t size);
/* The same, with words: NULL where it is valid, else what is wrong, and at which byte (ret_at may be NULL). */
const char *json_scan_check(const char *text, size_t size, size_t *ret_at);
/* The same with at most so many values (keys do not count) and levels, at most 64 of them. */
const char *
json_scan_check_bounded(const char *text, size_t size, size_t values, unsigned depth, size_t *ret_at);

/* The type of the value that begins at v's first byte, by that byte alone. */
ScanType json_scan_type(Slice v);

/* Looks up member `name` of a VALID object. Keys with escapes never match. The first of doubles wins, so objects of
* a sender whom other readers may understand otherwise are asked json_scan_is_ambiguous() first.
 * Returns true and the value's bytes (strings with their quotes). */
bool json_scan_member(Slice object, const char *name, Slice *ret);
/* The same in the beginning of an object that may be cut off anywhere, and was not checked: true only where the member
 * and its value are there to their end. The value is not checked either. */
bool json_scan_head_member(Slice head, const char *name, Slice *ret);
/* Whether readers may disagree on one of these members (a list that ends with NULL, at most 64) of a VALID object: it is
 * there twice, or its name is spelt with escapes, which we do not read and others do. */
bool json_scan_is_ambiguous(Slice object, const char *const *names);
/* The same along a path of names, e.g. (o, &v, "message", "usage", NULL). */
bool json_scan_path(Slice object, Slice *ret, ...) __attribute__((sentinel));

/* Steps through the members of a VALID object: *iter starts as 0. The name comes with its quotes. Returns false at
 * the end. */
bool json_scan_next_member(Slice object, size_t *iter, Slice *ret_name, Slice *ret_value);

/* Steps through the elements of a VALID array: *iter starts as 0. Returns false at the end. */
bool json_scan_element(Slice array, size_t *iter, Slice *ret);

/* Whether value is the string s, spelt without escapes. */
bool json_scan_string_is(Slice value, const char *s);
/* The decoded string, NUL-terminated, for the caller to free; lone surrogates become U+FFFD. ret_size may be
 * NULL (then a string with a NUL inside is -EINVAL). -EINVAL where value is no string. */
int json_scan_string(Slice value, char **ret, size_t *ret_size);
/* A number that is a whole, not negative one: 0 or -EINVAL. */
int json_scan_u64(Slice value, uint64_t *ret);
int json_scan_double(Slice value, double *ret);
bool json_scan_is_true(Slice value);
