/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* An incremental parser of event streams (text/event-stream, WHATWG HTML "Server-sent events"). It takes the bytes in
 * whatever pieces they come. */
typedef struct SseParser SseParser;

/* Longer ones are not taken, nor those with a NUL: such an id is ignored, and such a type is unknown. */
#define SSE_ID_MAX 1024
#define SSE_TYPE_MAX 128

typedef struct SseEvent {
        const char *type; /* "message" where the stream named none */
        const char *id;   /* the last id that the stream gave, "" for none */
        const char *data; /* NUL-terminated; may hold NULs */
        size_t size;
        bool too_large; /* its data was longer than allowed, and is left out */
} SseEvent;

/* Borrowed for the call, in which the parser must not be freed or fed. Negative: the rest of the bytes is not parsed
 * and sse_parser_feed() returns it. */
typedef int (*SseCallback)(const SseEvent *event, void *userdata);

int sse_parser_new(size_t max_data, SseCallback callback, void *userdata, SseParser **ret);
SseParser *sse_parser_free(SseParser *p);
DEFINE_TRIVIAL_CLEANUP_FUNC(SseParser *, sse_parser_free);

/* 0, -ENOMEM, or what the callback returned. After a failure the parser has to be reset. */
int sse_parser_feed(SseParser *p, const char *data, size_t size);
/* A new stream begins; what stood incomplete is forgotten, as is the last id. */
void sse_parser_reset(SseParser *p);

/* The last complete id, "" for none. */
const char *sse_parser_last_id(SseParser *p);
/* What the last `retry` field said, in milliseconds; UINT64_MAX: there was none. */
uint64_t sse_parser_retry_msec(SseParser *p);
