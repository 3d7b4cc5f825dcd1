/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* Claude Code as its own SDK drives it: JSON lines in both directions ("stream-json").
 *
 * Strings that come from the agent and only go back to it or on to others are kept as JSON text, with quotes and
 * escapes: they are never decoded, so nothing is lost or broken on the way. */

#define CLAUDE_INIT_ID "nf-init"

/* Questions that may be open at once, and what they may say in all. Claude asks one at a time. The line of one may be
 * CLAUDE_ASK_LINE_MAX long: a longer one is denied. Of each no more is kept than its ids, which have CLAUDE_NAME_MAX: its
 * text is in the agent's output, and is read there again when a client requests or answers it. */
#define CLAUDE_ASKS_MAX 64
#define CLAUDE_ASK_LINE_MAX ((size_t) 1024 * 1024)
#define CLAUDE_ASK_BYTES_MAX ((size_t) 2 * 1024 * 1024)
#define CLAUDE_TOOL_NAME_MAX 1024
/* Of what is remembered of a line: the session, the model, the mode, the kind of an error, the ids of a question. What is
 * longer is taken for missing; but a request with a longer id is refused. */
#define CLAUDE_NAME_MAX 1024
/* What the open questions of one driver hold in memory. */
#define CLAUDE_ASKS_HELD_MAX (CLAUDE_ASKS_MAX * 2 * CLAUDE_NAME_MAX)

/* Tasks in the background that are distinguished; of more it is not known when they end. */
#define CLAUDE_TASKS_MAX 64
#define CLAUDE_TASK_ID_MAX 128

/* A question that the agent has asked. It stays until the agent itself shows that it is over (the tool's result, the
 * withdrawal, the turn's end), answered or not: an answer comes at another moment in a replay. */
typedef struct ClaudeAsk {
        uint64_t offset;
        unsigned n;
        char *request_id;   /* JSON text */
        char *tool_call_id; /* the same; may be NULL */
        uint64_t size;      /* what it says, with both ids */
        bool overlong;      /* of an older runner's state, and above today's bound */
        bool answered;      /* by driver_command(); of no account for events */
} ClaudeAsk;

typedef struct Claude {
        Driver driver;

        /* of the spec */
        bool trusted;        /* the repository's settings are read */
        bool resumed;        /* the session existed before this process */
        char *append_prompt; /* JSON text, or NULL */

        /* what the agent has said */
        bool ready; /* it is there */
        bool in_turn;
        bool reported; /* a started event was made of these: */
        char *session, *model, *mode;
        char *session_id; /* session, decoded; before the agent has said it, that of the spec */
        char *error_kind; /* of the turn's last assistant line, or NULL */
        ClaudeAsk asks[CLAUDE_ASKS_MAX];
        size_t n_asks;
        char *tasks[CLAUDE_TASKS_MAX]; /* in the background: their ids; of no account for events */
        size_t n_tasks;
        uint64_t turns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens;
        uint64_t oversize_lines, ambiguous_lines;
        bool has_cost;     /* a result has named a cost */
        double total_cost; /* as the agent counts it */
        double cost;       /* of this process: the sum of its turns */
        bool last_failed;

        /* what was sent; of no account for events */
        bool sent;   /* a message, since the last turn's end */
        bool queued; /* one more, while that turn ran */

        Buffer scratch;
} Claude;

static inline Claude *claude(Driver *d) {
        return (Claude *) d;
}
