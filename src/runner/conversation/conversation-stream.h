/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* A stream of what conversation_read_events() returns, one a line, on a descriptor for the caller to read; it ends (EOF) after
 * conversation.ended or where the reader stays away too long, which is shorter while others wait for room (stream-room.h).
 * -EMFILE: too many streams (EVENT_STREAMS_MAX). */
#define EVENT_STREAMS_MAX 64
int conversation_open_events(Conversation *c, const char *cursor, int *ret_fd);
/* There are new events. */
void conversation_streams_wake(Conversation *c);
void conversation_streams_close(Conversation *c);
