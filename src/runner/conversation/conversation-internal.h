/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of this folder share among themselves, and the hub with them. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/agent/driver.h"
#include "runner/config/config.h"
#include "runner/conversation/conversation.h"
#include "runner/conversation/event-cache.h"
#include "runner/conversation/event-reader.h"
#include "runner/conversation/stream-room.h"
#include "runner/limits/limit-watch.h"
#include "runner/link/sender.h"
#include "runner/run/run-context.h"
#include "runner/run/run-limits.h"
#include "runner/run/runtime-clock.h"
#include "runner/run/timeouts.h"
#include "runner/scope/launcher-client.h"
#include "runner/scope/line-reader.h"
#include "runner/scope/operation.h"
#include "runner/scope/units.h"
#include "runner/scope/watch.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "runner/store/store.h"
#include "runner/workspace/workspace.h"

/* How the hub hears of a conversation. */
typedef struct ConversationHooks {
        void (*changed)(Conversation *c, void *userdata);
        void (*events_available)(Conversation *c, void *userdata);
        /* A deferred response (conversation.stop) is known and stored. */
        void (*responded)(Conversation *c, int64_t seq, const char *response, void *userdata);
        /* It stays: whoever ended it has it in his hands. */
        void (*ended)(Conversation *c, void *userdata);
        /* The orchestrator has more of it than before. */
        void (*acked)(Conversation *c, void *userdata);
        /* All of it is acknowledged (or has no receiver): it may be forgotten. */
        void (*delivered)(Conversation *c, void *userdata);
        /* The store could not be written: nothing may be announced. */
        void (*store_failed)(int error, void *userdata);
        /* A file could not be written for want of room: conversation_advance() and conversation_write_input() are to be
         * called again. */
        void (*no_room)(void *userdata);
        /* A question is being denied because nobody answered it, in the transaction that does so; <0 takes it back. */
        int (*question_expiring)(Conversation *c, const char *request_id, void *userdata);
        /* That is stored. */
        void (*question_expired)(Conversation *c, const char *request_id, void *userdata);
} ConversationHooks;

/* Of the conversations that have ended so many are read at a time by the sender, which is more than it has on the wire, and
 * so many by people. */
#define ENDED_READERS_MAX 8

typedef struct ConversationContext {
        RunContext run;
        Sender *sender; /* NULL where there is no orchestrator */
        GitConfig git;
        const ConversationHooks *hooks;
        void *userdata;
        unsigned event_streams;
        StreamRoom stream_room;
        EventCache *event_cache; /* NULL: there is none yet */
        /* of those that have ended: how many the sender reads, and those whose reader waits for a person who reads on */
        unsigned ended_sending;
        Conversation *ended_read[ENDED_READERS_MAX];
        unsigned ended_read_next;
} ConversationContext;

typedef enum StopStage {
        STOP_NONE,
        STOP_ASKED,  /* interrupt and end went to the agent */
        STOP_TERM,   /* SIGTERM by the supervisor */
        STOP_KILL,   /* cgroup.kill by the supervisor */
        STOP_FORCED, /* SIGKILL to the whole scope by the launcher */
} StopStage;

/* One agent process, live or just ended. */
typedef struct Run {
        Conversation *conversation;
        RunRow row;
        Json *spec;
        const DriverOps *ops;
        Driver *driver;
        int dirfd, outfd;
        char *cgroup;     /* from `started` */
        LineReader lines; /* of out.log; its offset is row.driven */
        WatchSlot *watch;
        LauncherCall *call, *verb_call;
        sd_bus_slot *result_call;
        sd_event_source *drive_source, *check_timer;
        char *failure;          /* in the driver's words, or why there is none: it is ended for that */
        uint64_t driven_stored; /* what the store has of row.driven */
        uint64_t input_written; /* in.log is known to hold this much */
        Json *outcome;          /* once over, NULL where the supervisor left none */
        char *result;           /* systemd's, where it was asked for */
        RunLimits *limits;
        ConversationFigures figures; /* of the scope, as read last; the first is when */
        RuntimeClock runtime;
        sd_event_source *runtime_timer;
        Watchdog *watchdog; /* NULL: it has no timeouts */
        sd_event_source *watchdog_timer;
        uint64_t watchdog_usec;      /* when that is; USEC_INFINITY: it is not set */
        sd_event_source *supervisor; /* its pidfd */
        Json *usage;                 /* read by us, where the supervisor cannot say it any more */
        CheckoutStatus *git_status;
        Json *git; /* branch, head, dirty, unpushed, once asked */
        bool git_asked;
        sd_bus_slot *system_question; /* whether all of it goes down */
        bool system_asked, system_stops;
        bool over;          /* no process is left; what remains is to read the output to its end */
        bool new_files;     /* in its folder, not looked at yet */
        bool asked_to_look; /* PID 1 said that something happened to the scope */
        bool end_sent;      /* the agent was told to end in good order */
        bool orphaned;      /* the supervisor was killed */
        bool silent;        /* stopped because it said nothing */
        bool input_failed;  /* in.log could not be written the last time, and that was said */
        unsigned start_attempts;
        unsigned stop_tries;
        uint64_t stopped_usec; /* CLOCK_REALTIME: systemd stopped it, though no outcome says so; 0: not known */
} Run;

/* What of a run is in the runner's totals already. */
typedef struct Counted {
        unsigned run;
        DriverUsage usage;
        uint64_t cpu_usec, hits[_LIMIT_HIT_MAX];
        bool cpu_before; /* the first figure is of what was used before we looked */
} Counted;

/* What stays of a conversation that has ended, beside the short members of its row. */
typedef struct Ended {
        unsigned run;    /* which has ended, 0: none */
        uint64_t driven; /* of that, as are … */
        uint64_t lines;
        char *scope, *limits;                 /* … its unit's name, and JSON text; or NULL */
        bool forgotten;                       /* the longer members of the row */
        bool rests;                           /* the sender has nothing of it in memory … */
        uint64_t queued_bytes, queued_events; /* … but these figures */
} Ended;

struct Conversation {
        ConversationContext *ctx;
        Conversation *prev, *next; /* the hub's list */
        ConversationRow row;
        Json *params;       /* what it was started with, except the prompt; NULL once it has ended */
        Json *agent_config; /* as the configuration had it at the beginning of the run */
        Run *run;           /* NULL where it has ended and rests */
        Ended ended;
        Checkout *checkout;

        char *held; /* the message that began it: it is claimed once more before anything runs; or NULL */
        unsigned n_pending; /* messages accepted and not yet done */
        char *last_state;   /* what conversation.state said last */
        bool frozen;
        uint64_t last_event_usec;
        DriverUsage usage;
        double cost_before; /* of earlier runs */
        Counted counted;

        StopStage stop;
        char *stop_reason;
        uint64_t stop_grace_usec;
        uint64_t stop_left_usec; /* while the timer stands still; 0: it does not */
        sd_event_source *stop_timer;

        /* to the orchestrator */
        SendSource *source;
        EventReader *send;
        RunRow send_row;     /* of the run that is being sent, without driven_state … */
        uint64_t send_lines; /* … but how many lines that was behind */
        int send_outfd;
        uint64_t ack_offset;
        int64_t ack_own;
        char *ack_state;
        bool ack_pending, ack_dirty;
        bool send_counted;           /* in ended_sending */
        bool send_failed;            /* the last time, and that was said */
        sd_event_source *send_again; /* after an error … */
        uint64_t send_again_usec;    /* … so much later; 0: there was none */
        uint64_t queued_since_usec;  /* CLOCK_REALTIME, 0: nothing is queued */

        /* to people here */
        EventReader *local;
        uint64_t local_limit;
        int local_outfd;
        char *local_cursor;
        struct EventStream *streams;
};

/* conversation.c */
int conversation_new(ConversationContext *ctx, ConversationRow *row_consume, Conversation **ret);
Conversation *conversation_free(Conversation *c);
/* What it was started with, the prompt included: read from the text in its row for whoever needs all of it. */
int conversation_all_params(Conversation *c, Json **ret);
/* Of one that has ended: what it was started with is the store's alone, until conversation_take_params(). */
void conversation_shrink(Conversation *c);
/* Up to here its newest run was read. */
uint64_t conversation_driven(Conversation *c);
int conversation_take_params(Conversation *c);
/* Stores an own event of the present run and wakes who waits for it. Part of an open transaction where there is one. */
int conversation_emit(Conversation *c, const char *message_id, const char *method, const char *members);
int conversation_emit_state(Conversation *c);
int conversation_store_row(Conversation *c);
void conversation_changed(Conversation *c);
/* error.report with a stable code. */
int conversation_report(Conversation *c, const char *code, const char *text, const char *message_id);
/* For a run with that spec (NULL: it cannot be read): never NULL, but none_driver_ops where there is none. */
const DriverOps *conversation_driver(Conversation *c, Json *spec);
/* Whether its agent may still be started: it is in the configuration, or needs not be. */
bool conversation_knows_agent(Conversation *c);
/* What is told where it may not be, and of a run that cannot be read. */
char *conversation_unknown_agent_text(Conversation *c);
char *conversation_unread_run_text(Conversation *c);
void conversation_usage(Conversation *c, DriverUsage *ret);
/* The rule by which the administrator trusts what it works on, as its newest run was started; NULL: none. */
const char *conversation_trusted_by(Conversation *c);
/* The same as an object of the protocol; NULL: out of memory. */
Json *conversation_usage_json(Conversation *c);

/* conversation-rest.c */
/* Gives back what one that has ended does not need while nobody asks for it. Frees its run. */
void conversation_rest(Conversation *c);
/* All of it is in memory again, until conversation_rest(). */
int conversation_take_all(Conversation *c);

/* conversation-start.c: what happens between the acceptance and the agent's first byte */
/* Makes the rows of a new run (number row.run + 1), inside the caller's transaction. resume: session to resume or NULL. */
void conversation_take_agent_config(Conversation *c); /* conversation.c */
int conversation_prepare_run(Conversation *c, const char *resume_session);
/* After a restart in the middle of a start: the scope is there, or was. */
int conversation_adopt_started(Conversation *c, const char *unit);
/* Goes on from whatever state the rows say. */
void conversation_advance(Conversation *c);
/* Ends one that has not begun, and cannot any more. True where it was so. */
bool conversation_refuse_start(Conversation *c);
/* Ends a conversation that has no process (yet): workspace failed, launcher refused, … */
void conversation_fail(Conversation *c, const char *reason, const char *text);

/* conversation-input.c */
/* Renders what the driver can take of the accepted messages, writes in.log, rings. */
void conversation_pump_input(Conversation *c);
int conversation_write_input(Conversation *c);
/* Is requestId ("<runId>:<offset>.<n>") an open question of the present run? */
bool conversation_has_question(Conversation *c, const char *request_id);
/* Gives the agent an answer to a question that nobody gave, and reports that. 1; 0: it cannot be given. */
int conversation_expire_question(Conversation *c, const char *request_id, const DriverCommand *answer);

/* conversation-stop.c */
/* Of the reason of a stop so many bytes are kept at the most, up to the end of a character: a message has room for 16 MiB. */
#define STOP_REASON_MAX 1024
/* Begins to end a conversation that lives, or goes on with that: the first reason counts, which may be NULL. */
void conversation_stop(Conversation *c, const char *reason, uint64_t grace_usec);
void conversation_stop_forget(Conversation *c);
/* Everything of it stands still, or goes on, whoever had it so: our clocks do the same. */
void conversation_set_frozen(Conversation *c, bool frozen);

/* run.c */
/* Where it cannot be read it has a failure, and a driver that knows nothing. */
int run_new(Conversation *c, RunRow *row_consume, Run **ret);
Run *run_free(Run *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Run *, run_free);
int run_open_folder(Run *r, bool make);
int run_watch(Run *r);
/* Brings the driver to the end of the output that is there, without any effect, and stores that. */
int run_replay(Run *r);
/* Reads what the agent wrote, one bounded piece a turn of the loop. */
void run_drive(Run *r);
/* Looks at the scope first, the outcome second; where both say that the run is over, the rest of its output is read and
 * then it is concluded. */
void run_check(Run *r);
/* The same soon, since PID 1 says that the scope changed. */
void run_look(Run *r);
/* The member of its budget that is spent, or NULL. */
const char *run_budget_spent(Run *r);
/* In the agent's cgroup, the agent itself among them; 0 where that cannot be read. */
unsigned run_count_processes(Run *r);
/* Stores the offset and the driver's state where the store is behind; part of an open transaction. */
int run_store_driven(Run *r);
int run_store_row(Run *r);

/* The agent's output, for reading: 1; 0: there is none yet. */
int run_open_output(Run *r);

/* run-question.c */
/* The open questions; of a run that is over there are none. r may be NULL. */
size_t run_questions(Run *r, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]);
bool run_has_question(Run *r, uint64_t offset, unsigned n);
/* The line that stands there, for the driver. It is valid until line_reader_done(reader), which is due in any case. Where it
 * cannot be read, a negative errno, which is logged, and an empty slice. */
int run_read_question(Run *r, uint64_t offset, LineReader *reader, Slice *ret);

/* run-finish.c */
void run_conclude(Run *r);
/* Whether the runner has died so often while it concluded this run that only what is needed for its end is done. */
bool run_conclusion_is_short(Run *r);

/* run-runtime.c: runtimeMaxSec. begin: the agent runs from now on; begin and forget are part of an open transaction. */
int run_runtime_begin(Run *r);
int run_runtime_restore(Run *r);
void run_runtime_freeze(Run *r, bool frozen);
int run_runtime_forget(Run *r);

/* run-watchdog.c: `timeouts` */
int run_watchdog_begin(Run *r);
/* The phase may be another one. heard: the agent said something or was told something. */
void run_watchdog_look(Run *r, bool heard);
void run_watchdog_freeze(Run *r, bool frozen);
/* After an upgrade: what would not be asked today is not left open. */
void run_deny_overlong_questions(Run *r);

/* conversation-git.c */
/* Asks for the state of the checkout, once: true where an answer is under way, after which run_conclude() is called. */
bool run_ask_git(Run *r);

/* conversation-send.c */
int conversation_send_open(Conversation *c);
void conversation_send_close(Conversation *c);
void conversation_send_wake(Conversation *c);
/* Of one that rests: gives back what is not under way. */
void conversation_send_rest(Conversation *c);
/* Stores cursors that were not worth a transaction of their own. */
int conversation_flush(Conversation *c);
/* The transaction that it was a part of was taken back. */
void conversation_flush_undone(Conversation *c);
uint64_t conversation_queued_bytes(Conversation *c);
/* Lines of output and own events that were not acknowledged. */
uint64_t conversation_queued_events(Conversation *c);

/* conversation-events.c */
void conversation_events_wake(Conversation *c);
void conversation_events_close(Conversation *c);
/* Of one that has just ended: whoever reads on opens it again. */
void conversation_events_rest(Conversation *c);
