/* SPDX-License-Identifier: MIT */
/* A runner without a core: the bus objects stand on an implementation of runner.h and conversation.h that does what
 * org.northflare.Test1 (on a connection of its own) tells it. The same process plays polkit and systemd on further
 * connections: a synchronous call anywhere in the bus objects would then wait for itself and fail the test. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include <systemd/sd-daemon.h>

#include "common/ident.h"
#include "common/log.h"
#include "runner/bus/bus-internal.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-read.h"
#include "runner/conversation/conversation-statistics.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/conversation/event-cut.h"
#include "runner/runner-adopt.h"
#include "runner/runner-audit.h"
#include "runner/runner-conversations.h"
#include "runner/runner-housekeeping.h"
#include "runner/runner-reload.h"
#include "runner/runner-status.h"

struct Conversation {
        Conversation *next;
        char *id, *task, *agent, *state, *scope;
        uint64_t started, last_event, turns, input_tokens, output_tokens;
        double cost;
        char **events;
        int stream;
        size_t streamed;
};

struct Runner {
        sd_event *event;
        sd_bus *bus;
        bool user_mode;
        RunnerStatus status;
        char *state;
        Conversation *conversations;
        const RunnerObserver *observer;
        void *observer_userdata;
        char *last_call; /* method, caller and params of the last methods_call() */
        char *error;     /* JSON error that the next call ends with, or NULL */
        bool hold;       /* do not reply until released */
        bool hold_all;   /* nor to any other call, ever */
        LocalCall *held;
        unsigned streams;
        Json *set_aside; /* array, or NULL */
        Json *audit;     /* array */
};

struct LocalCall {
        MethodReply reply;
        void *userdata;
        char *result;
};

static Runner runner;
#define WORKSPACES                                                                                   \
        "[{\"id\":\"w-1\",\"key\":\"0123456789abcdef\",\"lastUsedAt\":\"2026-01-02T03:04:05.000Z\"," \
        "\"conversations\":[\"first\"]},{\"id\":\"w-2\",\"key\":\"0123456789abcde0\","               \
        "\"lastUsedAt\":\"2026-01-02T03:04:06.000Z\",\"conversations\":[]}]"
static const char *polkit_answer = "yes";
static char *polkit_last;
static sd_bus_message *polkit_held;
static const char *cgroup_answer = "/user.slice/user-1000.slice/session-1.scope";

/* ---- conversation.h ---- */

/* How often the bus objects have asked for anything. */
static uint64_t n_asked;

const char *conversation_id(Conversation *c) {
        n_asked++;
        return c->id;
}
const char *conversation_task(Conversation *c) {
        n_asked++;
        return c->task;
}
const char *conversation_agent(Conversation *c) {
        n_asked++;
        return c->agent;
}
const char *conversation_state(Conversation *c) {
        n_asked++;
        return c->state;
}
const char *conversation_scope(Conversation *c) {
        n_asked++;
        return c->scope;
}
uint64_t conversation_started_usec(Conversation *c) {
        n_asked++;
        return c->started;
}
uint64_t conversation_last_event_usec(Conversation *c) {
        n_asked++;
        return c->last_event;
}
uint64_t conversation_turns(Conversation *c) {
        n_asked++;
        return c->turns;
}
uint64_t conversation_input_tokens(Conversation *c) {
        n_asked++;
        return c->input_tokens;
}
uint64_t conversation_output_tokens(Conversation *c) {
        n_asked++;
        return c->output_tokens;
}
double conversation_cost_usd(Conversation *c) {
        n_asked++;
        return c->cost;
}
void conversation_statistics(Conversation *c, ConversationStatistics *ret) {
        static uint64_t now = 5000000;

        now += 2000000;
        *ret = (ConversationStatistics){
                .n = 4,
                .list = { { "sampledUsec", now },
                          { "cpuUsec", now / 2 },
                          { "memoryCurrent", 3U << 20 },
                          { "queuedMessages", 2 } },
        };
        if (streq(c->state, "starting"))
                ret->n = 0; /* no scope yet */
}
bool conversation_is_live(Conversation *c) {
        return !streq(c->state, "ended");
}

/* As Describe() has a member that is too long. */
static void cut_member(Json *q, const char *name, const char *text) {
        Json *cut = json_object_new_object(), *member = json_object_new_object();

        (void) json_set_u64(member, "size", strlen(text));
        (void) json_set(member, "begins", json_object_new_string_len(text, 100));
        (void) json_set(cut, name, member);
        (void) json_set(q, "cut", cut);
}

/* Questions that were asked and not answered, from the events. */
static int add_questions(Conversation *c, Json *o) {
        Json *questions = json_object_new_array();

        if (streq(c->state, "waiting-permission"))
                STRV_FOREACH(e, c->events) {
                        _cleanup_free_ char *cursor = xasprintf("n%zu", (size_t) (e - c->events));
                        _cleanup_json_ Json *event = NULL;
                        Json *params, *q;

                        if (json_parse(*e, strlen(*e), &event, NULL) < 0 ||
                            !streq_ptr(json_get_string(event, "method"), "permission.request"))
                                continue;
                        params = json_get(event, "params");
                        q = json_object_new_object();
                        (void) json_set_string(q, "requestId", json_get_string(params, "messageId"));
                        (void) json_set_string(q, "tool", json_get_string(params, "tool"));
                        (void) json_set_string(q, "title", json_get_string(params, "title"));
                        (void) json_set_string(q, "event", cursor);
                        if (strlen(json_text(json_get(params, "input"))) > EVENT_INLINE_MAX)
                                cut_member(q, "input", json_text(json_get(params, "input")));
                        else
                                (void) json_set(q, "input", json_object_get(json_get(params, "input")));
                        (void) json_object_array_add(questions, q);
                }
        return json_set(o, "questions", questions);
}

void conversation_check_filter(Conversation *c) {
}

int conversation_describe(Conversation *c, char **ret) {
        _cleanup_json_ Json *o = json_object_new_object();

        (void) json_set_string(o, "id", c->id);
        (void) json_set_string(o, "taskId", c->task);
        (void) json_set_string(o, "agent", c->agent);
        (void) json_set_string(o, "state", c->state);
        (void) json_set_string(o, "scope", c->scope);
        (void) json_set_u64(o, "run", 1);
        (void) add_questions(c, o);
        *ret = strdup(json_text(o));
        return *ret ? 0 : -ENOMEM;
}

static int parse_cursor(Conversation *c, const char *cursor, size_t *ret) {
        uint64_t u = 0;

        if (streq(cursor, "end"))
                u = strv_length(c->events);
        else if (!isempty(cursor) && (cursor[0] != 'n' || safe_atou64(cursor + 1, &u) < 0))
                return -EINVAL;
        if (u > strv_length(c->events))
                return -EINVAL;
        *ret = (size_t) u;
        return 0;
}

/* As a conversation does it, except that an event is never one of several of a line. */
int conversation_read_events(
        Conversation *c,
        const char *cursor,
        unsigned max,
        char ***ret_events,
        char **ret_cursor) {
        _cleanup_strv_free_ char **list = new0(char *, 1);
        size_t at, bytes = 0, n = strv_length(c->events);
        int r = parse_cursor(c, cursor, &at);

        if (r < 0)
                return r;
        for (; max > 0 && at < n; max--) {
                _cleanup_free_ char *text = bus_json(c->events[at]), *here = xasprintf("n%zu", at);

                bytes += strlen(text);
                if (list[0] && bytes > EVENT_LIST_MAX)
                        break;
                at++;
                if (strlen(text) > EVENT_INLINE_MAX) {
                        if (strv_consume(&list, event_cut(text, "r:cut", "\"run\":1", here)) < 0)
                                return -ENOMEM;
                        break;
                }
                if (strv_consume(&list, TAKE_PTR(text)) < 0)
                        return -ENOMEM;
        }
        *ret_cursor = xasprintf("n%zu", at);
        *ret_events = TAKE_PTR(list);
        return 0;
}

int conversation_read_event(
        Conversation *c,
        const char *cursor,
        uint64_t offset,
        char **ret_piece,
        uint64_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        ssize_t n;
        size_t at;
        int r = parse_cursor(c, cursor, &at);

        if (r < 0 || at >= strv_length(c->events))
                return r < 0 ? r : -ENOENT;
        text = bus_json(c->events[at]);
        *ret_size = strlen(text);
        n = event_piece(text, strlen(text), offset);
        if (n < 0)
                return (int) n;
        *ret_piece = strndup(text + offset, (size_t) n);
        return 0;
}

/* One stream a conversation is enough here. */
static void feed_stream(Conversation *c) {
        size_t n = strv_length(c->events);

        if (c->stream < 0)
                return;
        for (; c->streamed < n; c->streamed++)
                (void) dprintf(c->stream, "%s\n", c->events[c->streamed]);
        if (!conversation_is_live(c))
                c->stream = safe_close(c->stream);
}

int conversation_open_events(Conversation *c, const char *cursor, int *ret_fd) {
        int p[2], r;
        size_t at;

        r = parse_cursor(c, cursor, &at);
        if (r < 0)
                return r;
        if (runner.streams >= EVENT_STREAMS_MAX)
                return -EMFILE;
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        /* What does not fit is lost here; the runner goes on when there is room. */
        if (fcntl(p[1], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        runner.streams++;
        safe_close(c->stream);
        c->stream = p[1];
        c->streamed = at;
        feed_stream(c);
        *ret_fd = p[0];
        return 0;
}

/* ---- runner.h ---- */

sd_event *runner_get_event(Runner *r) {
        return r->event;
}
bool runner_is_user_mode(Runner *r) {
        return r->user_mode;
}
void runner_get_status(Runner *r, RunnerStatus *ret) {
        *ret = r->status;
        ret->state = r->state;
        ret->conversations = 0;
        ret->set_aside = r->set_aside ? json_object_array_length(r->set_aside) : 0;
        for (Conversation *c = r->conversations; c; c = c->next)
                ret->conversations += conversation_is_live(c);
}
const RunnerTotals *runner_get_totals(Runner *r, size_t i) {
        static const RunnerTotals totals[] = {
                { .agent = (char *) "shell",
                  .started = 7,
                  .ended = { 3, 1 },
                  .turns = 9,
                  .cpu_usec = 1500000,
                  .limit_events = { 2 } },
                { .agent = (char *) "claude", .input_tokens = 1000, .output_tokens = 20, .cost_usd = 0.125 },
        };

        return i < ELEMENTSOF(totals) ? &totals[i] : NULL;
}
Conversation *runner_find_conversation(Runner *r, const char *id) {
        Conversation *c = r->conversations;

        while (c && !streq(c->id, id))
                c = c->next;
        return c;
}
Conversation *runner_next_conversation(Runner *r, Conversation *after) {
        return after ? after->next : r->conversations;
}
void runner_set_observer(Runner *r, const RunnerObserver *observer, void *userdata) {
        r->observer = observer;
        r->observer_userdata = userdata;
}
int runner_reload(Runner *r, char ***ret_ignored, char **ret_error) {
        if (r->error) {
                *ret_error = TAKE_PTR(r->error);
                return -EINVAL;
        }
        *ret_ignored = NULL;
        return strv_extend(ret_ignored, "dataDir");
}
int runner_flush(Runner *r) {
        return free_and_strdup(&r->last_call, "flush");
}

Resend *runner_get_resend(Runner *r) {
        return (Resend *) r;
}

int resend_list(Resend *resend, Json **ret) {
        Runner *r = (Runner *) resend;

        *ret = r->set_aside ? json_object_get(r->set_aside) : json_object_new_array();
        return 0;
}
int resend_begin(Resend *resend, unsigned *ret_count) {
        Runner *r = (Runner *) resend;

        if (isempty(r->status.orchestrator_url))
                return -ENOTCONN;
        *ret_count = r->set_aside ? (unsigned) json_object_array_length(r->set_aside) : 0;
        json_object_put(r->set_aside);
        r->set_aside = NULL;
        return free_and_strdup(&r->last_call, "resend-set-aside||{}");
}

void runner_audit(Runner *r, const AuditEntry *e) {
        Json *o = json_object_new_object();

        if (!r->audit)
                r->audit = json_object_new_array();
        (void) json_set_string(o, "kind", e->kind);
        (void) json_set_string(o, "verdict", e->verdict);
        (void) json_set_u64(o, "uid", e->caller->uid);
        (void) json_set_u64(o, "pid", (uint64_t) e->caller->pid);
        (void) json_set_string(o, "comm", e->caller->comm);
        (void) json_set_string(o, "unit", e->caller->unit);
        (void) json_set_string(o, "method", e->method);
        (void) json_set_string(o, "conversationId", e->conversation);
        (void) json_set_string(o, "detail", e->detail);
        (void) json_set_bool(o, "minor", e->minor);
        (void) json_set_u64(o, "count", e->count);
        (void) json_set_string(o, "when", "2026-01-02T03:04:05.000Z");
        (void) json_set_string(o, "origin", "dbus");
        (void) json_object_array_add(r->audit, o);
}

int runner_list_audit(Runner *r, const char *conversation, unsigned max, Json **ret) {
        size_t n = r->audit ? json_object_array_length(r->audit) : 0;

        *ret = json_object_new_array();
        for (size_t i = n > max ? n - max : 0; i < n; i++) {
                Json *o = json_object_array_get_idx(r->audit, i);

                if (isempty(conversation) || streq_ptr(json_get_string(o, "conversationId"), conversation))
                        (void) json_object_array_add(*ret, json_object_get(o));
        }
        return 0;
}

struct WorkspaceCall {
        sd_event_source *source;
        WorkspaceReply reply;
        void *userdata;
        char *id;
        bool remove, force;
};

Workspaces *runner_get_workspaces(Runner *r) {
        return (Workspaces *) r;
}

int workspaces_list(Workspaces *w, Json **ret) {
        return json_parse(WORKSPACES, strlen(WORKSPACES), ret, NULL);
}

static int on_workspace(sd_event_source *source, void *userdata) {
        static const char text[] =
                "{\"id\":\"w-1\",\"user\":\"northflare-agent\",\"directory\":\"/home/w\",\"bytes\":1572864,\"files\":7,"
                "\"conversations\":[\"first\"],\"checkouts\":[{\"conversation\":\"c-9\",\"branch\":\"main\","
                "\"dirty\":true,\"unpushed\":2}]}";
        _cleanup_json_ Json *o = NULL;
        WorkspaceCall *c = userdata;

        (void) json_parse(text, strlen(text), &o, NULL);
        if (c->remove && !c->force)
                c->reply(-ENOTEMPTY, "the checkout of c-9 has uncommitted changes", NULL, c->userdata);
        else {
                if (c->remove)
                        (void) free_and_strdup(&runner.last_call, "remove||{}");
                (void) json_set_string(o, "id", c->id);
                c->reply(0, NULL, o, c->userdata);
        }
        return 0;
}

int workspaces_call(
        Workspaces *w,
        const char *id,
        bool remove,
        bool force,
        WorkspaceReply reply,
        void *userdata,
        WorkspaceCall **ret) {
        WorkspaceCall *c;

        if (!startswith(id, "w-"))
                return -ENOENT;
        if (streq(id, "w-used") && remove)
                return -EBUSY;
        if (streq(id, "w-many"))
                return -EAGAIN;
        c = new0(WorkspaceCall, 1);
        *c = (WorkspaceCall){
                .reply = reply, .userdata = userdata, .id = strdup(id), .remove = remove, .force = force
        };
        if (sd_event_add_defer(runner.event, &c->source, on_workspace, c) < 0)
                return -ENOMEM;
        *ret = c;
        return 0;
}

WorkspaceCall *workspace_call_free(WorkspaceCall *c) {
        if (c) {
                sd_event_source_disable_unref(c->source);
                free(c->id);
        }
        free(c);
        return NULL;
}

static Conversation *add_conversation(const char *id, const char *agent, const char *task) {
        Conversation *c = new0(Conversation, 1), **end = &runner.conversations;

        *c = (Conversation){
                .id = strdup(id),
                .task = strdup(strempty(task)),
                .agent = strdup(agent),
                .state = strdup("starting"),
                .scope = xasprintf("northflare-conversation-%s-1.scope", id),
                .started = UINT64_C(1700000000000000),
                .stream = -EBADF,
        };
        while (*end)
                end = &(*end)->next;
        *end = c;
        if (runner.observer)
                runner.observer->conversation_added(c, runner.observer_userdata);
        return c;
}

static void add_event(Conversation *c, const char *text) {
        (void) strv_extend(&c->events, text);
        c->last_event++;
        feed_stream(c);
        if (runner.observer)
                runner.observer->events_available(c, runner.observer_userdata);
}

static void add_agent_event(Conversation *c, const char *event) {
        char *text = xasprintf(
                "{\"jsonrpc\":\"2.0\",\"method\":\"message.agent\",\"params\":{\"messageId\":\"r:%zu.0\",\"conversationId\":"
                "\"%s\",\"run\":1,\"event\":%s}}",
                strv_length(c->events),
                c->id,
                event);

        add_event(c, text);
        free(text);
}

static void set_state(Conversation *c, const char *state) {
        (void) free_and_strdup(&c->state, state);
        if (runner.observer) {
                runner.observer->conversation_changed(c, runner.observer_userdata);
                runner.observer->runner_changed(runner.observer_userdata);
        }
}

static void end_conversation(Conversation *c, const char *reason) {
        char *text = xasprintf(
                "{\"jsonrpc\":\"2.0\",\"method\":\"conversation.ended\",\"params\":{\"messageId\":\"r:end\",\"conversationId\":"
                "\"%s\",\"run\":1,\"reason\":\"%s\",\"exitCode\":0}}",
                c->id,
                reason);

        (void) free_and_strdup(&c->state, "ended");
        add_event(c, text);
        set_state(c, "ended");
        free(text);
}

/* A shell agent of five words: `exit N` ends the turn with N, `ask` asks, `wait` waits for an interrupt, `kill` is a
 * signal, all else is printed. */
static void fake_shell(Conversation *c, const char *script) {
        const char *rest;
        char *text;

        c->turns++;
        set_state(c, "running");
        if (streq(script, "wait"))
                return;
        if (streq(script, "ask")) {
                add_event(
                        c,
                        "{\"jsonrpc\":\"2.0\",\"method\":\"permission.request\",\"params\":{\"messageId\":\"r:q1\","
                        "\"conversationId\":\"c\",\"run\":1,\"tool\":\"Bash\",\"toolCallId\":\"t1\",\"title\":\"Run rm\","
                        "\"input\":{\"command\":\"rm x\"},\"suggestions\":[],\"expiresAt\":null}}");
                set_state(c, "waiting-permission");
                return;
        }
        rest = startswith(script, "exit ");
        if (rest)
                text = xasprintf(
                        "{\"type\":\"turn_end\",\"ok\":%s,\"reason\":\"%s\",\"exitCode\":%s}",
                        streq(rest, "0") ? "true" : "false",
                        streq(rest, "0") ? "done" : "error",
                        rest);
        else if (streq(script, "kill"))
                text = strdup("{\"type\":\"turn_end\",\"ok\":false,\"reason\":\"error\",\"signal\":9}");
        else {
                Json *o = json_object_new_object();

                (void) json_set_string(o, "type", "text");
                (void) json_set_string(o, "delta", script);
                (void) json_set_string(o, "stream", startswith(script, "err") ? "stderr" : "stdout");
                add_agent_event(c, json_text(o));
                json_object_put(o);
                text = strdup("{\"type\":\"turn_end\",\"ok\":true,\"reason\":\"done\",\"exitCode\":0}");
        }
        add_agent_event(c, text);
        set_state(c, "idle");
        free(text);
}

static char *act(const char *method, Json *params, Conversation *c) {
        if (streq(method, "conversation.start")) {
                c = add_conversation(
                        json_get_string(params, "conversationId"),
                        strempty(json_get_string(params, "agent")),
                        json_get_string(params, "taskId"));
                add_event(
                        c,
                        "{\"jsonrpc\":\"2.0\",\"method\":\"conversation.started\",\"params\":{\"messageId\":\"r:e1\","
                        "\"conversationId\":\"c\",\"run\":1}}");
                set_state(c, "idle");
                if (json_get_string(params, "prompt"))
                        fake_shell(c, json_get_string(params, "prompt"));
                return xasprintf("{\"conversationId\":\"%s\",\"state\":\"starting\"}", c->id);
        }
        if (c && streq(method, "message.user"))
                fake_shell(c, json_get_string(params, "content"));
        if (c && streq(method, "conversation.interrupt")) {
                add_agent_event(
                        c, "{\"type\":\"turn_end\",\"ok\":false,\"reason\":\"interrupted\",\"signal\":2}");
                set_state(c, "idle");
        }
        if (c && streq(method, "permission.respond")) {
                char *t = xasprintf(
                        "{\"type\":\"turn_end\",\"ok\":true,\"reason\":\"done\",\"text\":\"%s\"}",
                        json_get_string(params, "behavior"));

                add_agent_event(c, "{\"type\":\"ask_gone\",\"requestId\":\"r:q1\"}");
                add_agent_event(c, t);
                set_state(c, "idle");
                free(t);
        }
        if (c && streq(method, "conversation.stop"))
                end_conversation(c, "stopped");
        if (c && streq(method, "conversation.freeze"))
                set_state(c, "frozen");
        if (c && streq(method, "conversation.thaw"))
                set_state(c, "idle");
        if (streq(method, "runner.drain") || streq(method, "runner.undrain")) {
                runner.status.draining = streq(method, "runner.drain");
                runner.state = strdup(runner.status.draining ? "draining" : "local");
                runner.status.refusing = runner.status.draining ? "draining" : "";
                runner.observer->runner_changed(runner.observer_userdata);
        }
        return strdup("{\"accepted\":true}");
}

int methods_call(
        Methods *m,
        const char *method,
        Json *params,
        const RunnerCaller *caller,
        MethodReply reply,
        void *userdata,
        LocalCall **ret_call) {
        const char *id = json_get_string(params, "conversationId");
        Runner *r = &runner;
        Conversation *c = id ? runner_find_conversation(r, id) : NULL;
        _cleanup_json_ Json *answer = NULL;
        char *text;

        free(r->last_call);
        r->last_call = xasprintf("%s|uid %u|%s", method, (unsigned) caller->uid, json_text(params));
        if (r->error) {
                if (json_parse(r->error, strlen(r->error), &answer, NULL) < 0)
                        return -EBADMSG;
                r->error = NULL;
                reply(NULL, answer, userdata);
                return 0;
        }
        text = act(method, params, c);
        if (r->hold && (r->hold_all || !r->held)) {
                LocalCall *call = new0(LocalCall, 1);

                *call = (LocalCall){ .reply = reply, .userdata = userdata, .result = text };
                r->held = call;
                if (ret_call)
                        *ret_call = call;
                return 0;
        }
        (void) json_parse(text, strlen(text), &answer, NULL);
        free(text);
        reply(answer, NULL, userdata);
        return 0;
}

LocalCall *local_call_free(LocalCall *c) {
        if (c && runner.held == c)
                runner.held = NULL;
        if (c)
                free(c->result);
        free(c);
        return NULL;
}

/* ---- org.northflare.Test1 ---- */

static Conversation *need(sd_bus_message *m) {
        const char *id = NULL;

        (void) sd_bus_message_read(m, "s", &id);
        return id ? runner_find_conversation(&runner, id) : NULL;
}

static int test_add(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *id;

        (void) sd_bus_message_read(m, "s", &id);
        set_state(add_conversation(id, "shell", "t-1"), "idle");
        return sd_bus_reply_method_return(m, NULL);
}

static int test_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation *c = need(m), **p = &runner.conversations;

        while (*p != c)
                p = &(*p)->next;
        runner.observer->conversation_removed(c, runner.observer_userdata);
        *p = c->next;
        return sd_bus_reply_method_return(m, NULL);
}

/* n conversations, and all of them away again. */
static int test_add_many(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *prefix;
        uint32_t n;

        (void) sd_bus_message_read(m, "su", &prefix, &n);
        for (uint32_t i = 0; i < n; i++) {
                char *id = xasprintf("%s-%u", prefix, i);

                set_state(add_conversation(id, "shell", NULL), "idle");
                free(id);
        }
        return sd_bus_reply_method_return(m, NULL);
}

/* n conversations each of whose fields is as long as it can be. */
static int test_add_longest(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        char id[IDENT_MAX + 1];
        uint32_t n;

        (void) sd_bus_message_read(m, "u", &n);
        for (uint32_t i = 0; i < n; i++) {
                Conversation *c;

                /* Each of these characters takes three in a path. */
                memset(id, '-', IDENT_MAX);
                id[0] = 'l';
                id[IDENT_MAX] = 0;
                for (uint32_t digits = i, at = IDENT_MAX; at > IDENT_MAX - 8; digits /= 10)
                        id[--at] = (char) ('0' + digits % 10);
                c = add_conversation(id, id, id);
                free(c->scope);
                c->scope = xasprintf("northflare-conversation-%s-4294967295.scope", id);
                (void) free_and_strdup(&c->state, i % 2 == 0 ? "ended" : "waiting-permission");
        }
        return sd_bus_reply_method_return(m, NULL);
}

static int test_remove_many(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation **p = &runner.conversations;
        const char *prefix;

        (void) sd_bus_message_read(m, "s", &prefix);
        while (*p)
                if (startswith((*p)->id, prefix)) {
                        runner.observer->conversation_removed(*p, runner.observer_userdata);
                        *p = (*p)->next;
                } else
                        p = &(*p)->next;
        return sd_bus_reply_method_return(m, NULL);
}

/* n changes of everything at one go; the last state is `running`. */
static int test_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation *c = need(m);
        uint32_t n = 0;

        (void) sd_bus_message_read(m, "u", &n);
        for (uint32_t i = 0; i < n; i++) {
                c->turns++;
                c->input_tokens += 10;
                c->cost += 0.25;
                set_state(c, i + 1 == n ? "running" : "idle");
                runner.observer->events_available(c, runner.observer_userdata);
        }
        return sd_bus_reply_method_return(m, NULL);
}

static int test_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation *c = need(m);
        const char *state = NULL;

        (void) sd_bus_message_read(m, "s", &state);
        set_state(c, strempty(state));
        return sd_bus_reply_method_return(m, NULL);
}

static int test_event(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation *c = need(m);
        const char *text;

        (void) sd_bus_message_read(m, "s", &text);
        add_event(c, text);
        return sd_bus_reply_method_return(m, NULL);
}

/* An event with what no string on the bus can hold. */
static int test_event_bytes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversation *c = need(m);
        _cleanup_free_ char *text = NULL;
        const void *bytes = NULL;
        size_t size = 0;

        (void) sd_bus_message_read_array(m, 'y', &bytes, &size);
        text = bytes ? strndup(bytes, size) : NULL;
        add_event(c, strempty(text));
        return sd_bus_reply_method_return(m, NULL);
}

static int test_end(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        end_conversation(need(m), "completed");
        return sd_bus_reply_method_return(m, NULL);
}

static int test_last_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *last = runner.last_call;

        runner.last_call = NULL;
        return sd_bus_reply_method_return(m, "s", strempty(last));
}

static int test_set(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObjects **b = userdata;
        const char *name, *value;

        (void) sd_bus_message_read(m, "ss", &name, &value);
        if (streq(name, "error"))
                runner.error = strdup(value);
        else if (streq(name, "polkit")) {
                polkit_answer = strdup(value);
        } else if (streq(name, "cgroup"))
                cgroup_answer = strdup(value);
        else if (streq(name, "proc"))
                access_get_rules((*b)->access)->proc = strdup(value);
        else if (streq(name, "agents-gid"))
                access_get_rules((*b)->access)->agents_gid = (gid_t) strtoul(value, NULL, 10);
        else if (streq(name, "orchestrator"))
                runner.status.orchestrator_url = strdup(value);
        else if (streq(name, "set-aside")) {
                json_object_put(runner.set_aside);
                runner.set_aside = NULL;
                if (json_parse(value, strlen(value), &runner.set_aside, NULL) < 0)
                        return -EBADMSG;
        } else if (streq(name, "hold")) {
                runner.hold_all = streq(value, "all");
                runner.hold = runner.hold_all || streq(value, "yes");
        } else if (streq(name, "state")) {
                runner.state = strdup(value);
                runner.observer->runner_changed(runner.observer_userdata);
        } else
                return -EINVAL;
        return sd_bus_reply_method_return(m, NULL);
}

static int test_release(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_json_ Json *answer = NULL;
        LocalCall *c = runner.held;

        if (!c)
                return -ENOENT;
        runner.held = NULL;
        (void) json_parse(c->result, strlen(c->result), &answer, NULL);
        /* The caller frees the call, now or later. */
        c->reply(answer, NULL, c->userdata);
        return sd_bus_reply_method_return(m, NULL);
}

static int test_polkit_last(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "s", strempty(polkit_last));
}

static int test_polkit_release(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (!polkit_held)
                return -ENOENT;
        (void) sd_bus_reply_method_return(polkit_held, "(bba{ss})", 1, 0, 0);
        polkit_held = sd_bus_message_unref(polkit_held);
        return sd_bus_reply_method_return(m, NULL);
}

/* n changes of each. */
static int test_change_all(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        uint32_t n = 0;

        (void) sd_bus_message_read(m, "u", &n);
        for (; n > 0; n--)
                for (Conversation *c = runner.conversations; c; c = c->next) {
                        c->turns++;
                        set_state(c, streq(c->state, "idle") ? "running" : "idle");
                        runner.observer->events_available(c, runner.observer_userdata);
                }
        return sd_bus_reply_method_return(m, NULL);
}

/* What it has cost since the last time: questions to conversations, comparisons of objects, names listed. */
static int test_cost(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObjects **b = userdata;
        uint64_t asked = n_asked, compared = (*b)->index.compared, listed = (*b)->listed;

        n_asked = (*b)->index.compared = (*b)->listed = 0;
        return sd_bus_reply_method_return(m, "ttt", asked, compared, listed);
}

/* What was written down since the last time. */
static int test_audit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_json_ Json *list = runner.audit ? runner.audit : json_object_new_array();

        runner.audit = NULL;
        return sd_bus_reply_method_return(m, "s", json_text(list));
}

static int test_drop_objects(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObjects **b = userdata;

        *b = bus_objects_free(*b);
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable test_vtable[] = {
        SD_BUS_VTABLE_START(SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Add", "s", "", test_add, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Remove", "s", "", test_remove, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("AddMany", "su", "", test_add_many, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("AddLongest", "u", "", test_add_longest, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("RemoveMany", "s", "", test_remove_many, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Change", "su", "", test_change, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Event", "ss", "", test_event, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("EventBytes", "say", "", test_event_bytes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("State", "ss", "", test_state, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("End", "s", "", test_end, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("LastCall", "", "s", test_last_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Set", "ss", "", test_set, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Release", "", "", test_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("PolkitLast", "", "s", test_polkit_last, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("PolkitRelease", "", "", test_polkit_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ChangeAll", "u", "", test_change_all, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Cost", "", "ttt", test_cost, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Audit", "", "s", test_audit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("DropObjects", "", "", test_drop_objects, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* ---- polkit ---- */

static int polkit_check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *kind, *name, *action, *key, *value, *cancellation, *details[4] = { "", "", "", "" };
        uint32_t flags;
        size_t n = 0;

        if (sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &name, "s", &value, &action) < 0 ||
            sd_bus_message_enter_container(m, 'a', "{ss}") < 0)
                return -EINVAL;
        while (sd_bus_message_read(m, "{ss}", &key, &value) > 0 && n < 4) {
                details[n++] = key;
                details[n++] = value;
        }
        if (sd_bus_message_exit_container(m) < 0 || sd_bus_message_read(m, "us", &flags, &cancellation) < 0)
                return -EINVAL;
        free(polkit_last);
        polkit_last = xasprintf(
                "%s %s flags=%u %s=%s %s=%s",
                kind,
                action,
                flags,
                details[0],
                details[1],
                details[2],
                details[3]);
        if (streq(polkit_answer, "hold")) {
                polkit_held = sd_bus_message_ref(m);
                return 1;
        }
        if (streq(polkit_answer, "absent"))
                return sd_bus_error_set(error, SD_BUS_ERROR_SERVICE_UNKNOWN, "not there");
        return sd_bus_reply_method_return(
                m, "(bba{ss})", streq(polkit_answer, "yes"), streq(polkit_answer, "challenge"), 0);
}

static int polkit_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) free_and_strdup(&polkit_last, "cancelled");
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable polkit_vtable[] = {
        SD_BUS_VTABLE_START(SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD(
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                "(bba{ss})",
                polkit_check,
                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelCheckAuthorization", "s", "", polkit_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* ---- systemd ---- */

#define UNIT_PATH "/org/freedesktop/systemd1/unit/session_2d1_2escope"

static uint32_t asked_pid;

static int systemd_get_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {

        (void) sd_bus_message_read(m, "u", &asked_pid);
        if (streq(cgroup_answer, "none"))
                return sd_bus_error_set(error, "org.freedesktop.systemd1.NoUnitForPID", "none");
        return sd_bus_reply_method_return(m, "o", UNIT_PATH);
}

static int systemd_get_processes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;

        (void) sd_bus_message_read(m, "s", &unit);
        if (!streq(unit, "session-1.scope"))
                return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchUnit", "none");
        return sd_bus_reply_method_return(
                m,
                "a(sus)",
                2,
                cgroup_answer,
                1,
                "/usr/bin/other --x",
                cgroup_answer,
                asked_pid,
                "/usr/bin/a-client with/arguments");
}

static int systemd_control_group(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *reply,
        void *userdata,
        sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", cgroup_answer);
}

static const sd_bus_vtable systemd_vtable[] = {
        SD_BUS_VTABLE_START(SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetUnitByPID", "u", "o", systemd_get_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetUnitProcesses", "s", "a(sus)", systemd_get_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable scope_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("ControlGroup", "s", systemd_control_group, 0, 0),
        SD_BUS_VTABLE_END,
};

/* A connection that owns name and serves one object. */
static sd_bus *
serve(const char *name, const char *path, const char *interface, const sd_bus_vtable *v, void *userdata) {
        sd_bus *bus = NULL;
        int r = runner.user_mode ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);

        if (r >= 0)
                r = sd_bus_attach_event(bus, runner.event, 0);
        if (r >= 0 && v)
                r = sd_bus_add_object_vtable(bus, NULL, path, interface, v, userdata);
        if (r >= 0 && name)
                r = sd_bus_request_name(bus, name, 0);
        if (r < 0) {
                log_error_errno(r, "Cannot serve %s: %m", strempty(name));
                exit(1);
        }
        return bus;
}

int main(int argc, char *argv[]) {
        static BusObjects *objects;
        sd_bus *test, *systemd;
        int r;

        log_open("fake-runner", LOG_TARGET_STDERR);
        (void) signal(SIGPIPE, SIG_IGN);
        runner.user_mode = argc > 1 && streq(argv[1], "--user");
        runner.state = strdup("local");
        runner.status = (RunnerStatus){
                .version = "0.0-test",
                .runner_id = "r-1",
                .runner_uid = "ru-1",
                .orchestrator_url = "",
                .active = true,
                .capacity = 16,
                .queued_events = 3,
                .queued_bytes = 300,
                .started_usec = UINT64_C(1700000000000000),
        };
        if (sd_event_default(&runner.event) < 0)
                return 1;
        add_conversation("first", "shell", NULL);
        runner.bus = serve(NULL, NULL, NULL, NULL, NULL);
        r = bus_objects_new(&runner, NULL, runner.bus, &objects);
        if (r < 0)
                return log_error_errno(r, "bus_objects_new: %m") ? 1 : 0;
        (void) serve(
                "org.freedesktop.PolicyKit1",
                "/org/freedesktop/PolicyKit1/Authority",
                "org.freedesktop.PolicyKit1.Authority",
                polkit_vtable,
                NULL);
        systemd = serve(
                "org.freedesktop.systemd1",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager",
                systemd_vtable,
                NULL);
        if (sd_bus_add_object_vtable(
                    systemd, NULL, UNIT_PATH, "org.freedesktop.systemd1.Scope", scope_vtable, NULL) < 0)
                return 1;
        test = serve("org.northflare.Test1", "/test", "org.northflare.Test1", test_vtable, &objects);
        r = sd_bus_request_name(runner.bus, BUS_NAME, 0);
        if (r < 0)
                return log_error_errno(r, "Cannot take the name: %m") ? 1 : 0;
        puts("ready");
        (void) fflush(stdout);
        r = sd_event_loop(runner.event);
        sd_bus_unref(test);
        return r < 0;
}
