/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* What is too long for a reply on the bus: its beginning, its size, and pieces of it. */

/* An event of more bytes is cut where it stands in a list. */
#define EVENT_INLINE_MAX ((size_t) 64 * 1024)
/* Bytes of events in one list; the next event begins the next list. */
#define EVENT_LIST_MAX ((size_t) 768 * 1024)
/* Bytes of one piece of an event. */
#define EVENT_PIECE_MAX ((size_t) 512 * 1024)

/* {"size":…,"begins":"…"}: the bytes of the text, and at most max of them as a string, whole characters. more (may be NULL)
 * is JSON text of further members, which stands first. */
int cut_append(Buffer *b, const char *text, size_t max, const char *more);

/* What stands in a list for an event that is cut: the event's method, messageId and place, and
 * "cut":{"type":…,"cursor":…,"size":…,"begins":…} in the place of its other members. place: JSON text of the members
 * conversationId and run. New memory, or NULL. */
char *event_cut(const char *event, const char *message_id, const char *place, const char *cursor);

/* How many bytes the piece of a text from offset on has, whole characters only; 0 at its end. -ERANGE: offset is behind the
 * end, or in the middle of a character. */
ssize_t event_piece(const char *text, size_t size, uint64_t offset);
