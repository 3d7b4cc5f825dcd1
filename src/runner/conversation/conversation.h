/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"

/* One conversation: its rows in the store, its runs, its agent. This header is what the rest of the runner sees. */
typedef struct Conversation Conversation;

/* What it is started with is kept for as long as it lives: so many values, and so many bytes of JSON beside the prompt. */
#define CONVERSATION_VALUES_MAX ((size_t) 4096)
#define CONVERSATION_BYTES_MAX ((size_t) 1024 * 1024)

const char *conversation_id(Conversation *c);
const char *conversation_task(Conversation *c); /* "" where there is none */
const char *conversation_agent(Conversation *c);
/* starting, idle, running, waiting-permission, frozen, stopping, ended */
const char *conversation_state(Conversation *c);
const char *conversation_scope(Conversation *c);     /* unit name, "" while there is none */
uint64_t conversation_started_usec(Conversation *c); /* CLOCK_REALTIME */
uint64_t conversation_last_event_usec(Conversation *c);
uint64_t conversation_turns(Conversation *c);
uint64_t conversation_input_tokens(Conversation *c);
uint64_t conversation_output_tokens(Conversation *c);
double conversation_cost_usd(Conversation *c);
bool conversation_is_live(Conversation *c); /* not ended */

/* What it uses: figures of its scope as far as the kernel gives them, read at most once a second, and what waits. Names are
 * those of ListResources() on the bus, and static. */
#define CONVERSATION_FIGURES_MAX 16
typedef struct ConversationFigures {
        size_t n;
        struct {
                const char *name;
                uint64_t value;
        } list[CONVERSATION_FIGURES_MAX];
} ConversationFigures;
void conversation_figures(Conversation *c, ConversationFigures *ret);

/* Everything a person may want to see, as JSON text for the caller to free: an object with id, taskId, workspaceId, agent,
 * state, run, scope, directory, branch, model, sessionId, limits, questions [{requestId, event, tool, title, input,
 * suggestions}], queuedMessages, usage, reason and result of the end. At most DESCRIPTION_MAX bytes, also where the bus has
 * to be spared characters: a member of more than DESCRIPTION_MEMBER_MAX, or one for which no room is left, is not in its
 * place but in the member "cut" of the same object, as {"size": of its JSON text, "begins": the beginning of that}. */
#define DESCRIPTION_MAX ((size_t) 1000 * 1024)
#define DESCRIPTION_MEMBER_MAX ((size_t) 64 * 1024)
int conversation_describe(Conversation *c, char **ret);
/* Asks for what changes without a word to anybody (the filter of addresses), and tells it as an event if it has. */
void conversation_look(Conversation *c);

/* Events of the conversation, neutral form, one JSON object (the whole JSON-RPC notification) each, from a cursor on.
 * cursor: opaque; "" is the beginning, "end" is now. Returns at most max events, and the cursor behind them. All texts are
 * such as sd-bus takes. They have at most EVENT_LIST_MAX bytes, and an event of more than EVENT_INLINE_MAX is the last one
 * and cut (event_cut()). */
int conversation_read_events(
                Conversation *c,
                const char *cursor,
                unsigned max,
                char ***ret_events,
                char **ret_cursor);
/* A piece, from a byte of it on, of the first event behind a cursor, and the size of the event. An empty piece is its end.
 * -EINVAL: not a cursor; -ENOENT: there is no event (yet); -ERANGE: no piece begins there. */
int conversation_read_event(
                Conversation *c,
                const char *cursor,
                uint64_t offset,
                char **ret_piece,
                uint64_t *ret_size);

/* A stream of the same, one a line, on a descriptor for the caller to read; it ends (EOF) after conversation.ended or
 * where the reader stays away too long, which is shorter while others wait for room (stream-room.h). -EMFILE: too many
 * streams (EVENT_STREAMS_MAX). */
#define EVENT_STREAMS_MAX 64
int conversation_open_events(Conversation *c, const char *cursor, int *ret_fd);
