/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "orchestrator/command/admin-client.h"
#include "orchestrator/command/verb-events.h"

#define TEXT_MAX 400

/* Prints "label value" for a member that is there. */
static void member(Slice o, const char *name, const char *label) {
        Slice v = answer_member(o, name);
        _cleanup_free_ char *text = NULL;
        size_t size;

        if (v.size == 0)
                return;
        (void) printf(" %s", label);
        if (json_scan_type(v) == SCAN_STRING && json_scan_string(v, &text, &size) >= 0)
                print_safe(text, size, TEXT_MAX);
        else
                print_safe(v.data, v.size, TEXT_MAX);
}

static void print_turn_end(Slice e) {
        (void) printf("turn %s", json_scan_is_true(answer_member(e, "ok")) ? "done" : "failed");
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
        { "started",
          "agent ready",
          { { "version", "" }, { "model", "model " }, { "session", "session " } } },
        { "text", "text", { { "delta", "" } } },
        { "thinking", "thinking", { { "delta", "" } } },
        { "message", "says", { { "text", "" } } },
        { "tool_call", "tool", { { "name", "" }, { "input", "" } } },
        { "tool_result", "tool result", { { "text", "" } } },
        { "ask_gone", "question withdrawn", { { "requestId", "" } } },
        { "error", "error", { { "kind", "" }, { "http", "HTTP " }, { "text", "" } } },
        { "notice", "notice", { { "text", "" } } },
};

static void print_agent(Slice e) {
        _cleanup_free_ char *type = json_member_string(e, "type");

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
        print_safe(e.data, e.size, TEXT_MAX);
}

static void print_event(const char *method, Slice p) {
        Slice event = answer_member(p, "event"), limits = answer_member(p, "limits");

        if (streq(method, "message.agent") && event.size > 0)
                print_agent(event);
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
                member(p, "hits", "limit events: ");
                member(p, "victim", "killed: ");
        } else if (streq(method, "conversation.config")) {
                (void) printf("limits in force");
                member(limits, "effective", "");
                member(limits, "missing", "without effect: ");
        } else if (streq(method, "permission.request")) {
                (void) printf("asks");
                member(p, "tool", "");
                member(p, "title", "");
                member(p, "input", "");
                member(p, "messageId", "request ");
        } else if (streq(method, "permission.expired")) {
                (void) printf("no answer in time");
                member(p, "requestId", "request ");
        } else {
                (void) printf("%s ", method);
                print_safe(p.data, p.size, TEXT_MAX);
        }
}

static int print_line(const char *text, size_t size, void *userdata) {
        const Options *o = userdata;
        _cleanup_free_ char *at = NULL, *method = NULL;
        Slice line = { text, size };

        if (o->json) {
                print_json(line);
                return fflush(stdout) == 0 ? 0 : EXIT_REFUSED;
        }
        if (!json_scan_valid(text, size))
                return 0;
        Slice event = answer_member(line, "event");
        at = json_member_string(line, "receivedAt");
        method = json_member_string(event, "method");
        (void) printf("%.8s  ", at && strlen(at) >= 19 ? at + 11 : "--:--:--");
        print_event(strempty(method), answer_member(event, "params"));
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
