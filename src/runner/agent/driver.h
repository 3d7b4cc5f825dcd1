/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json-scan.h"
#include "common/json.h"
#include "runner/agent/launch-plan.h"

/* A driver speaks one agent's protocol. It is a pure function: lines of the agent go in, neutral events and
 * effects come out, and its whole state can be saved as JSON and loaded again. That is what lets the runner die
 * at any moment: after a restart a driver loaded from the state saved at offset X and fed the same lines of
 * out.log makes the same events with the same ids.
 *
 * So: no clock, no random number, no file, no log above debug in a driver; and driver_command() may change only
 * such fields of the state as driver_feed() never reads for the CONTENT of an event (a command may come at
 * another moment in the replay). */

typedef struct Driver Driver;
typedef struct DriverOps DriverOps;

/* Longer lines of an agent are an event of their own; the bound of a run may be lower, but not below the latter. */
#define DRIVER_LINE_MAX ((size_t) 8 * 1024 * 1024)
#define DRIVER_LINE_MIN ((size_t) 64 * 1024)
/* What an event has around the parts of the line that it is made of, and a POST body around the event. */
#define DRIVER_EVENT_OVERHEAD ((size_t) 8 * 1024)

typedef enum DriverPhase {
        DRIVER_STARTING, /* the agent has not said yet that it is there */
        DRIVER_IDLE,
        DRIVER_RUNNING,            /* a turn runs */
        DRIVER_WAITING_PERMISSION, /* a turn waits for an answer */
        _DRIVER_PHASE_MAX,
} DriverPhase;

/* Totals since the start of this process, for properties and conversation.ended. */
typedef struct DriverUsage {
        uint64_t turns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens;
        uint64_t oversize_lines;  /* lines and questions above their bound */
        uint64_t ambiguous_lines; /* with a double of a member that we read */
        double cost_usd;
        bool has_cost;
} DriverUsage;

/* Where a line stands: (offset, n) names each event of it for ever. */
typedef struct DriverSink {
        void *userdata;
        /* An event. method is "message.agent" or "permission.request"; members is JSON text to stand inside
         * params, without braces, e.g. "event":{"type":"text","delta":"…"}. The sink numbers the events of a line
         * 0, 1, … in the order of the calls. NULL: the caller wants no events (do not build any). */
        int (*event)(void *userdata, const char *method, const char *members, size_t size);
        /* A line, with its newline, that the protocol demands as an answer. NULL: a replay, effects are dropped. */
        int (*write)(void *userdata, const char *line, size_t size);
        /* The agent has reported that it cannot continue (a resume that failed, …). NULL: a replay. */
        int (*fail)(void *userdata, const char *reason);
        /* Optional: where the members of the next event belong, which is of this method. What is appended to this buffer
         * before event() is called with it need not be copied again; without that call it is dropped. */
        Buffer *(*open)(void *userdata, const char *method);
} DriverSink;

typedef enum DriverCommandType {
        DRIVER_COMMAND_USER,      /* params.content: a string or an array of content blocks */
        DRIVER_COMMAND_INTERRUPT, /* ends the turn that runs */
        DRIVER_COMMAND_ANSWER, /* params as in permission.respond; offset and n are those of the question's event */
        DRIVER_COMMAND_CONFIG, /* params.model, params.permissionMode */
        DRIVER_COMMAND_END,    /* no more input: finish and exit */
} DriverCommandType;

typedef struct DriverCommand {
        DriverCommandType type;
        Json *params;    /* borrowed; may be NULL for INTERRUPT and END */
        uint64_t seq;    /* unique and growing within a store: fit for request ids */
        uint64_t offset; /* ANSWER: the question */
        unsigned n;
        Slice line; /* ANSWER: the agent's line at that offset; empty where it cannot be read any more */
} DriverCommand;

/* The place of a question of the agent. Its text is as long as the agent likes, and is not kept: a reader reads the line
 * at that offset again. */
#define DRIVER_QUESTIONS_MAX 64
typedef struct DriverQuestion {
        uint64_t offset;
        unsigned n;
} DriverQuestion;

/* What it says: JSON text within its line. */
typedef struct DriverQuestionText {
        Slice tool, title, input, suggestions;
} DriverQuestionText;

struct DriverOps {
        const char *name; /* protocol: "shell", "claude", … */

        /* Is the program there? agent_config is the member of the configuration's "agents" (may be NULL). 0, or
         * -ENOENT with *ret_error = what to install or configure, one sentence. Runs nothing. */
        int (*probe)(Json *agent_config, char **ret_error);
        /* What to run for a spec. -EINVAL with *ret_error (a sentence that names the parameter) on bad input. */
        int (*plan)(Json *spec, Json *agent_config, LaunchPlan *ret, char **ret_error);

        int (*new)(Json *spec, Driver **ret);               /* a fresh process */
        int (*load)(Json *spec, Json *state, Driver **ret); /* from driver_save() */
        void (*free)(Driver *d);
        int (*save)(Driver *d, Json **ret);

        /* The first lines into the agent's stdin. The prompt is not part of them: it comes as a USER command. */
        int (*begin)(Driver *d, Buffer *ret_lines);
        /* One line of the agent without its newline, never trusted to be JSON, short, or sensible. Returns 0, or
         * -ENOMEM, or what the sink returned; bad lines are an event {"type":"notice"} and not an error. */
        int (*feed)(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink);
        /* The same of a line above the run's bound (driver_line_max()): its beginning, cut off anywhere, and its whole size. It
         * is one event {"type":"oversize"}, and an answer where the agent waits for one. */
        int (*feed_oversize)(
                Driver *d,
                const char *head,
                size_t head_size,
                uint64_t size,
                uint64_t offset,
                const DriverSink *sink);
        /* Renders a command. 1: its lines were appended; 0: cannot be taken now, ask again after the next line
         * that was fed; -EINVAL: never will be (*ret_error says why). */
        int (*command)(Driver *d, const DriverCommand *c, Buffer *ret_lines, char **ret_error);

        DriverPhase (*phase)(Driver *d);
        /* The open questions: what was reported by permission.request events and is neither answered nor withdrawn. Returns
         * how many there are. */
        size_t (*questions)(Driver *d, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]);
        /* What one of them says, of the line that stands at its offset now; valid as long as the line. -EBADMSG where that
         * line is not the question. NULL: there never is one. */
        int (*read_question)(Driver *d, const DriverQuestion *q, Slice line, DriverQuestionText *ret);
        /* An open question that is above today's bound, of a state that an older runner saved; true, or false where there is
         * none. NULL: there never is. */
        bool (*overlong_question)(Driver *d, uint64_t *ret_offset, unsigned *ret_n);
        /* Did the last turn that ended end badly? false before the first. */
        bool (*last_turn_failed)(Driver *d);
        /* Tasks that run beside the turns without being waited for, as far as the agent reports them. */
        unsigned (*background)(Driver *d);
        /* The agent does not report them, but between turns it has no processes of its own beside the first: any other
         * is such a task. */
        bool processes_are_tasks;
        const char *(*session)(Driver *d); /* the agent's session id, or NULL */
        void (*usage)(Driver *d, DriverUsage *ret);
};

/* Every driver begins with this. */
struct Driver {
        const DriverOps *ops;
};

/* The longest line of the agent that a run with this spec takes for a line: its member lineMax, which is set when the run
 * begins and never changes, so that a later reader of the output finds the same events in it. Without one, and for NULL,
 * the runner's own bound. */
static inline size_t driver_line_max(Json *spec) {
        uint64_t n = 0;

        if (json_get_u64(spec, "lineMax", &n) <= 0)
                return DRIVER_LINE_MAX;
        return (size_t) MIN(MAX(n, (uint64_t) DRIVER_LINE_MIN), (uint64_t) DRIVER_LINE_MAX);
}
/* What that member is for a receiver who takes bodies of so many bytes. */
static inline uint64_t driver_line_max_of_body(uint64_t body) {
        body -= MIN(body, (uint64_t) DRIVER_EVENT_OVERHEAD);
        return MIN(MAX(body, (uint64_t) DRIVER_LINE_MIN), (uint64_t) DRIVER_LINE_MAX);
}

/* spec, the part that drivers read (the runner writes it to spec.json, version 1): conversationId, protocol, model,
 * appendSystemPrompt, permissionMode, allowedTools[], disallowedTools[], mcpServers{}, sessionId (the id to use
 * for a new session: a UUID made by the runner), resumeSessionId, forkSession, env{}, cwd, trustedRepository (the
 * administrator's rule by which what the repository's settings do counts; missing: it does not). */

/* Protocol by name ("shell", "claude"), NULL where there is none. A configured agent's protocol is its
 * "protocol" member, else its name. */
const DriverOps *driver_find(const char *protocol);

static inline Driver *driver_free(Driver *d) {
        if (d)
                d->ops->free(d);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Driver *, driver_free);

const char *driver_phase_to_string(DriverPhase p); /* starting, idle, running, waiting-permission */
