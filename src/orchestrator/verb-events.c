/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "orchestrator/admin-client.h"
#include "orchestrator/verbs.h"

#define TEXT_MAX 400

/* Prints "label value" for a member that is there. */
static void member(Json *o, const char *name, const char *label) {
        Json *v = json_get(o, name);

        if (!v)
                return;
        (void) printf(" %s", label);
        print_safe(json_object_is_type(v, json_type_string) ? json_object_get_string(v) : json_text(v),
                   TEXT_MAX);
}

static void print_turn_end(Json *e) {
        Json *ok = json_get(e, "ok");

        (void) printf("turn %s", json_object_get_boolean(ok) ? "done" : "failed");
        member(e, "reason", "");
        member(e, "exitCode", "exit code ");
        member(e, "signal", "signal ");
        member(e, "costUsd", "$");
}

static const struct {
        const char *type, *headline;
        struct {
                const char *name, *label;
        } members[4];
} agent_events[] = {
        {"started",
         "agent ready",                   { { "version", "" }, { "model", "model " }, { "session", "session " } }},
        { "text",        "text",          { { "delta", "" } }                                                    },
        { "thinking",    "thinking",      { { "delta", "" } }                                                    },
        { "message",     "says",          { { "text", "" } }                                                     },
        { "tool_call",   "tool",          { { "name", "" }, { "input", "" } }                                    },
        { "tool_result", "tool result",   { { "text", "" } }                                                     },
        { "ask_gone",    "question gone", { { "requestId", "" } }                                                },
        { "error",       "error",         { { "kind", "" }, { "http", "HTTP " }, { "text", "" } }                },
        { "notice",      "notice",        { { "text", "" } }                                                     },
};

static void print_agent(Json *e) {
        const char *type = json_get_string(e, "type");

        if (streq_ptr(type, "turn_end")) {
                print_turn_end(e);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(agent_events); i++) {
                if (!streq_ptr(type, agent_events[i].type))
                        continue;
                (void) printf("%s", agent_events[i].headline);
                for (size_t k = 0; k < ELEMENTSOF(agent_events[i].members); k++)
                        if (agent_events[i].members[k].name)
                                member(e, agent_events[i].members[k].name, agent_events[i].members[k].label);
                return;
        }
        (void) printf("agent:");
        (void) printf(" ");
        print_safe(json_text(e), TEXT_MAX);
}

static void print_event(const char *method, Json *p) {
        if (streq(method, "message.agent") && json_get(p, "event"))
                print_agent(json_get(p, "event"));
        else if (streq(method, "conversation.started")) {
                (void) printf("started");
                member(p, "run", "run ");
                member(p, "scope", "in ");
                member(p, "branch", "branch ");
        } else if (streq(method, "conversation.state")) {
                (void) printf("state");
                member(p, "state", "");
                member(p, "queued", "waiting messages: ");
        } else if (streq(method, "conversation.ended")) {
                (void) printf("ended");
                member(p, "reason", "");
                member(p, "exitCode", "exit code ");
                member(p, "signal", "signal ");
        } else if (streq(method, "conversation.limit")) {
                (void) printf("limit");
                member(p, "limit", "");
                member(p, "hits", "hits: ");
                member(p, "victim", "killed: ");
        } else if (streq(method, "conversation.config")) {
                (void) printf("limits now");
                member(json_get(p, "limits"), "effective", "");
                member(json_get(p, "limits"), "missing", "without effect: ");
        } else if (streq(method, "permission.request")) {
                (void) printf("asks");
                member(p, "tool", "");
                member(p, "title", "");
                member(p, "input", "");
                member(p, "messageId", "request ");
        } else if (streq(method, "permission.expired")) {
                (void) printf("nobody answered");
                member(p, "requestId", "request ");
        } else {
                (void) printf("%s ", method);
                print_safe(json_text(p), TEXT_MAX);
        }
}

static int print_line(const char *text, size_t size, void *userdata) {
        const Options *o = userdata;
        _cleanup_json_ Json *line = NULL;

        if (o->json) {
                (void) printf("%.*s\n", (int) size, text);
                return fflush(stdout) == 0 ? 0 : EXIT_REFUSED;
        }
        if (json_parse(text, size, &line, NULL) < 0)
                return 0;
        Json *event = json_get(line, "event");
        const char *at = json_get_string(line, "receivedAt"), *method = json_get_string(event, "method");
        (void) printf("%.8s  ", at && strlen(at) >= 19 ? at + 11 : "--:--:--");
        print_event(strempty(method), json_get(event, "params"));
        (void) printf("\n");
        return fflush(stdout) == 0 ? 0 : EXIT_REFUSED;
}

static int stream(const Options *o, const char *base) {
        _cleanup_free_ char *path = NULL;

        if (!base)
                return EXIT_REFUSED;
        path = xasprintf("%ssince=%" PRIu64 "&follow=%d", base, o->since, o->follow);
        return path ? admin_stream(o, path, print_line, (void *) o) : EXIT_REFUSED;
}

int verb_conversation_events(const Options *o, char *const *args) {
        _cleanup_free_ char *base = admin_path("/v1/conversations/%s/events?", args[0]);

        return stream(o, base);
}

int verb_runners_events(const Options *o, char *const *args) {
        _cleanup_free_ char *base = admin_path("/v1/events?runner=%s&", args[0]);

        return stream(o, base);
}
