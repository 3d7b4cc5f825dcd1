/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/claude-internal.h"
#include "runner/agent/driver-feed.h"

/* The requests of Claude Code: questions, and those that are answered at once. */

/* What a request says that asks for a permission, with what stands for members that are missing. */
typedef struct ClaudeAskText {
        Slice request_id, tool_call_id; /* the latter may be empty */
        DriverQuestionText text;
} ClaudeAskText;

/* The open question of that event, borrowed until the next line is fed; NULL where there is none. */
ClaudeAsk *claude_find_ask(Claude *c, uint64_t offset, unsigned n);
/* Forgets the question with this number in c->asks. with_event: with an ask_gone event; without,
 * f may be NULL and 0 is returned. Else 0, or what feed_end() returned. */
int claude_ask_drop(Claude *c, DriverFeed *f, size_t i, bool with_event);
/* Frees what one holds. */
void claude_ask_done(ClaudeAsk *a);
/* What is said in all; of a line of CLAUDE_ASK_LINE_MAX no more than CLAUDE_TOOL_NAME_MAX above that, as its title may be
 * the name of the tool once more. */
uint64_t claude_ask_text_bytes(const ClaudeAskText *t);
/* Of the ask's line, read once more; -EBADMSG where it is another. */
int claude_ask_read(const ClaudeAsk *a, Slice line, ClaudeAskText *ret);

/* Lines, each 0, -ENOMEM, or what the sink returned. */

/* Handles a request: a question is stored and reported; any other request, and a question that is refused, is answered at
 * once. */
int claude_feed_control_request(Claude *c, DriverFeed *f, Slice line);
/* The agent withdraws a request. */
int claude_feed_cancel(Claude *c, DriverFeed *f, Slice line);
/* A request above its bound. line is its beginning, at least. */
int claude_feed_oversize_request(Claude *c, DriverFeed *f, Slice line, uint64_t size);
/* A line that is not JSON: a notice, and an answer where it was a request as far as can be seen. */
int claude_feed_broken_line(DriverFeed *f, Slice line);
/* A request in which a member stands twice: refused, and a notice. */
int claude_feed_ambiguous_request(Claude *c, DriverFeed *f, Slice line);

/* A tool that has a result has no open question any more. No event reports that. */
void claude_settle_asks(Claude *c, Slice tool_call_id);
