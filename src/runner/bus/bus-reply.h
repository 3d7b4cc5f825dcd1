/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/ident.h"
#include "common/json.h"
#include "common/rpc-error.h"

/* All that the runner's objects say on the bus: replies, errors and values of properties. Each has a bound, since the bus
 * disconnects who sends it a message of more than 32 MiB, and a runner without a bus ends. A reply that would be larger than
 * its bound is an error that names the bound and what to call instead. Nothing else in src/runner/bus makes a reply or an
 * error or appends to one; `tools/lib/lint` holds that. */

/* Replies that hold what agents and people wrote. */
#define BUS_CONTENTS_MAX ((size_t) 1024 * 1024)
/* Lists of the runner's own bounded fields. */
#define BUS_LIST_MAX ((size_t) 16 * 1024 * 1024)
/* All other replies: nothing, a number, an id or a path. */
#define BUS_PLAIN_MAX ((size_t) 4 * 1024)
/* The text of an error, which may quote. */
#define BUS_ERROR_TEXT_MAX ((size_t) 4 * 1024)

/* Values of properties, in bytes. GetManagedObjects(), Introspect() and the signals are made of them inside sd-bus. */
#define BUS_PROPERTY_IDENT_MAX ((size_t) IDENT_MAX)
#define BUS_PROPERTY_STATE_MAX ((size_t) 32)
#define BUS_PROPERTY_SCOPE_MAX ((size_t) 128)     /* northflare-conversation-ID-RUN.scope */
#define BUS_PROPERTY_TEXT_MAX ((size_t) 2 * 1024) /* of the manager */

/* Conversations that are listed at a time: all that live, and of those that ended the last ones. The others are there by
 * their path. */
#define BUS_OBJECTS_MAX ((size_t) 12000)

/* What one conversation comes to in GetManagedObjects() at the most: its path (each character of the id may be escaped as
 * three), the names of its interfaces, and eleven properties with name, signature, length and alignment. */
#define BUS_PATH_BYTES_MAX ((size_t) 40 + 3 * IDENT_MAX)
#define BUS_OBJECT_BYTES_MAX                                                                 \
        (BUS_PATH_BYTES_MAX + (size_t) 320 + 11 * (size_t) 32 + 3 * BUS_PROPERTY_IDENT_MAX + \
         BUS_PROPERTY_STATE_MAX + BUS_PROPERTY_SCOPE_MAX + 6 * (size_t) 8)
static_assert(BUS_OBJECTS_MAX * BUS_OBJECT_BYTES_MAX <= BUS_LIST_MAX, "GetManagedObjects() is too large");
/* Introspect() of their parent: <node name="…"/> */
static_assert(BUS_OBJECTS_MAX * (BUS_PATH_BYTES_MAX + 24) <= BUS_LIST_MAX / 2, "Introspect() is too large");
/* ListConversations(): four texts, two times, a path. */
static_assert(
        BUS_OBJECTS_MAX * (BUS_PATH_BYTES_MAX + 3 * BUS_PROPERTY_IDENT_MAX + BUS_PROPERTY_STATE_MAX + 72) <=
                BUS_LIST_MAX,
        "ListConversations() is too large");

/* A reply in the making. An append that would exceed the bound is not done, and the first failure stays. */
typedef struct BusAnswer {
        sd_bus_message *request, *reply;
        size_t size, max;    /* bytes of the body */
        const char *instead; /* what to call where it is too large: a sentence; static */
        int failed;          /* negative; -E2BIG: too large */
} BusAnswer;

/* request is borrowed until bus_answer_send(). */
void bus_answer_begin(BusAnswer *a, sd_bus_message *request, size_t max, const char *instead);
void bus_answer_open(BusAnswer *a, char type, const char *contents);
void bus_answer_close(BusAnswer *a);
/* types: s, o, t, u, b, d, h and structures of them, as sd_bus_message_append() takes them. */
void bus_answer_add(BusAnswer *a, const char *types, ...);
/* Sends it, or the error that it is too large, and frees what is in it. Returns 1, or negative where neither could be made:
 * then nothing was sent. */
int bus_answer_send(BusAnswer *a);
void bus_answer_done(BusAnswer *a);
#define _cleanup_bus_answer_ _cleanup_(bus_answer_done)

/* A reply of basic types at one go; types "" is an empty one. */
int bus_answer(sd_bus_message *request, const char *types, ...);
/* A reply that is JSON text. */
int bus_answer_json(sd_bus_message *request, Json *o, size_t max, const char *instead);
int bus_answer_text(sd_bus_message *request, const char *json, size_t max, const char *instead);
/* An error as the reply, for those that come after the handler has returned. */
void bus_answer_error(sd_bus_message *request, const char *name, const char *text);
void bus_answer_errno(sd_bus_message *request, int r);

/* An error for a handler to return: its text is cut to its bound, and what sd-bus does not take is replaced. Negative. */
int bus_error(sd_bus_error *error, const char *name, const char *format, ...) _printf_(3, 4);
int bus_error_errno(sd_bus_error *error, int r);
/* text names the argument: "max: must be 1 or more". */
int bus_invalid_argument(sd_bus_error *error, const char *text);

/* The value of a property: at most max bytes of a string; or a number (type t, u, b or d). */
int bus_property_string(sd_bus_message *reply, const char *value, size_t max);
int bus_property_basic(sd_bus_message *reply, char type, const void *value);
