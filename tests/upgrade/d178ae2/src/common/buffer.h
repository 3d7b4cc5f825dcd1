/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* A growable run of bytes. Zero-initialised is empty and valid. Once an append has failed for want of
 * memory, `failed` is set and every later append is a no-op that returns -ENOMEM: a caller may append many
 * times and look once. data is NUL-terminated whenever it is not NULL. */
typedef struct Buffer {
        char *data;
        size_t size, allocated;
        bool failed;
} Buffer;

/* Frees the contents; the struct is empty and reusable afterwards. */
void buffer_done(Buffer *b);
#define _cleanup_buffer_ _cleanup_(buffer_done)

/* Empties it and keeps the memory (memory above keep_max bytes is given back). */
void buffer_clear(Buffer *b, size_t keep_max);

/* Room for extra bytes more. Returns 0 or -ENOMEM. */
int buffer_reserve(Buffer *b, size_t extra);
int buffer_append(Buffer *b, const void *data, size_t size);
int buffer_append_str(Buffer *b, const char *s);
int buffer_printf(Buffer *b, const char *format, ...) _printf_(2, 3);
/* Drops the first n bytes. */
void buffer_consume(Buffer *b, size_t n);
/* The memory as a string of its own for the caller to free; the buffer is empty afterwards. NULL on failed. */
char *buffer_steal(Buffer *b);

/* A JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD, so the output is always valid. */
int buffer_append_json(Buffer *b, const char *s, size_t size);
int buffer_append_json_str(Buffer *b, const char *s);

/* Length of the valid UTF-8 sequence at s (1 to 4), or 0 where there is none. */
size_t utf8_sequence(const char *s, size_t size);
bool utf8_is_valid(const char *s, size_t size);
/* Whether the n bytes at s are a noncharacter (U+FDD0 to U+FDEF, and the last two of each plane): well-formed UTF-8, and
 * allowed on the bus by its specification, but sd-bus sends and takes no string with one. */
bool utf8_is_noncharacter(const char *s, size_t n);
/* Whether sd-bus takes it. */
bool utf8_is_for_bus(const char *s);
/* How many of the string's bytes make at most max, without cutting a character in two: for "%.*s" in texts that go into
 * JSON or onto the bus. */
int utf8_cut(const char *s, size_t max);
