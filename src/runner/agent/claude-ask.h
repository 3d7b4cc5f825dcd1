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

ClaudeAsk *claude_find_ask(Claude *c, uint64_t offset, unsigned n);
/* Ends what is known of a question; told: with an ask_gone event. */
int claude_ask_drop(Claude *c, DriverFeed *f, size_t i, bool tell);
void claude_ask_done(ClaudeAsk *a);
/* What is said in all; of a line of CLAUDE_ASK_LINE_MAX no more than CLAUDE_TOOL_NAME_MAX above that, as its title may be
 * the name of the tool once more. */
uint64_t claude_ask_text_bytes(const ClaudeAskText *t);
/* Of the ask's line, read once more; -EBADMSG where it is another. */
int claude_ask_read(const ClaudeAsk *a, Slice line, ClaudeAskText *ret);

int claude_feed_control_request(Claude *c, DriverFeed *f, Slice line);
int claude_feed_cancel(Claude *c, DriverFeed *f, Slice line);
/* A request above its bound. line is its beginning, at least. */
int claude_feed_oversize_request(Claude *c, DriverFeed *f, Slice line, uint64_t size);
/* A line that is not JSON: a notice, and an answer where it was a request as far as can be seen. */
int claude_feed_broken_line(DriverFeed *f, Slice line);
/* A request in which a member stands twice: refused, and a notice. */
int claude_feed_ambiguous_request(Claude *c, DriverFeed *f, Slice line);
/* A tool that has a result has no open question any more. */
void claude_settle_asks(Claude *c, Slice tool_call_id);
