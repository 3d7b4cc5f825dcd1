/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "orchestrator/command/admin-client.h"
#include "orchestrator/command/verb-conversation.h"

/* A reference to --param's object, or an empty one. Options of their own win over it. */
static Json *params_of(const Options *o) {
        Json *params = json_object_new_object();

        if (params && o->params) {
                json_object_object_foreach(o->params, key, value)
                        if (json_object_object_add(params, key, json_object_get(value)) < 0) {
                                json_object_put(params);
                                return NULL;
                        }
        }
        return params;
}

/* Sends a message to the conversation and does what --wait and --json say. */
static int
send_message(const Options *o, const char *id, const char *method, Json *params, const char *headline) {
        _cleanup_json_ Json *body = json_object_new_object();
        _cleanup_buffer_ Buffer made = {};
        _cleanup_free_ char *path = admin_path("/v1/conversations/%s/messages", id);
        int r;

        if (!body || !path || !params || json_set_string(body, "method", method) < 0 ||
            json_set(body, "params", json_object_get(params)) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", path, body, &made);
        return r != 0 ? r : admin_finish(o, answer_of(&made), headline, false);
}

static int add_repository(const Options *o, Json *params) {
        Json *repository;

        if (!o->repository) {
                if (!o->branch && !o->base_branch && !o->commit)
                        return 0;
                (void) fprintf(stderr, "--branch, --base-branch and --commit need --repository.\n");
                return EXIT_USAGE;
        }
        repository = json_object_new_object();
        if (json_set(params, "repository", repository) < 0 ||
            json_set_string(repository, "url", o->repository) < 0 ||
            json_set_string(repository, "branch", o->branch) < 0 ||
            json_set_string(repository, "baseBranch", o->base_branch) < 0 ||
            json_set_string(repository, "commit", o->commit) < 0)
                return EXIT_REFUSED;
        return 0;
}

int verb_conversation_start(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o), *body = json_object_new_object();
        _cleanup_free_ char *id = NULL;
        _cleanup_buffer_ Buffer made = {};
        int r;

        if (!params || !body || json_set_string(params, "agent", o->agent) < 0 ||
            json_set_string(params, "workspaceId", o->workspace) < 0 ||
            json_set_string(params, "taskId", o->task) < 0 ||
            json_set_string(params, "prompt", o->prompt) < 0 ||
            json_set_string(params, "model", o->model) < 0 ||
            json_set_string(params, "permissionMode", o->permission_mode) < 0)
                return EXIT_REFUSED;
        r = add_repository(o, params);
        if (r != 0)
                return r;
        if (json_set(body, "params", json_object_get(params)) < 0 ||
            json_set_string(body, "token", o->token) < 0 ||
            json_set_string(body, "conversationId", o->id) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", "/v1/conversations", body, &made);
        if (r != 0)
                return r;
        id = json_member_string(answer_of(&made), "conversationId");
        return admin_finish(o, answer_of(&made), id, false);
}

static int read_stdin(char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t allocated = 0;

        ssize_t n = getdelim(&text, &allocated, 0, stdin);
        if (n < 0 && ferror(stdin))
                return EXIT_REFUSED;
        *ret = n < 0 ? strdup("") : TAKE_PTR(text);
        return *ret ? 0 : EXIT_REFUSED;
}

int verb_conversation_send(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o);
        _cleanup_free_ char *text = NULL;
        const char *content = args[1];
        int r;

        if (content && streq(content, "-")) {
                r = read_stdin(&text);
                if (r != 0)
                        return r;
                content = text;
        }
        if (!content && !json_get(params, "content")) {
                (void) fprintf(stderr, "A text is missing; give one, or --param with content.\n");
                return EXIT_USAGE;
        }
        if (!params || json_set_string(params, "content", content) < 0)
                return EXIT_REFUSED;
        return send_message(o, args[0], "message.user", params, NULL);
}

static int get_conversation(const Options *o, const char *id, Buffer *ret) {
        _cleanup_free_ char *path = admin_path("/v1/conversations/%s", id);

        return path ? admin_call(o, "GET", path, NULL, ret) : EXIT_REFUSED;
}

/* The oldest question that is open, where none was named. */
static int find_question(const Options *o, const char *id, char **ret) {
        _cleanup_buffer_ Buffer answer = {};
        int r;

        r = get_conversation(o, id, &answer);
        if (r != 0)
                return r;
        size_t iter = 0;
        Slice question;
        if (!json_scan_element(answer_member(answer_of(&answer), "questions"), &iter, &question)) {
                (void) fprintf(stderr, "Conversation %s has no open question.\n", id);
                return EXIT_REFUSED;
        }
        *ret = json_member_string(question, "requestId");
        return *ret ? 0 : EXIT_REFUSED;
}

int verb_conversation_answer(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o);
        _cleanup_free_ char *found = NULL;
        const char *request = o->request;
        int r;

        if (!streq(args[1], "allow") && !streq(args[1], "deny")) {
                (void) fprintf(stderr, "The answer has to be allow or deny, not %s.\n", args[1]);
                return EXIT_USAGE;
        }
        if (!request) {
                r = find_question(o, args[0], &found);
                if (r != 0)
                        return r;
                request = found;
        }
        if (!params || json_set_string(params, "requestId", request) < 0 ||
            json_set_string(params, "behavior", args[1]) < 0 ||
            json_set_string(params, "message", o->message) < 0)
                return EXIT_REFUSED;
        return send_message(o, args[0], "permission.respond", params, NULL);
}

/* One that has no options but --param. */
static int send_order(const Options *o, const char *id, const char *method) {
        _cleanup_json_ Json *params = params_of(o);

        return send_message(o, id, method, params, NULL);
}

int verb_conversation_interrupt(const Options *o, char *const *args) {
        return send_order(o, args[0], "conversation.interrupt");
}

int verb_conversation_freeze(const Options *o, char *const *args) {
        return send_order(o, args[0], "conversation.freeze");
}

int verb_conversation_thaw(const Options *o, char *const *args) {
        return send_order(o, args[0], "conversation.thaw");
}

int verb_conversation_stop(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o);

        if (!params || json_set_string(params, "reason", o->reason) < 0 ||
            (o->grace_msec > 0 && json_set_u64(params, "graceMs", o->grace_msec) < 0))
                return EXIT_REFUSED;
        return send_message(o, args[0], "conversation.stop", params, NULL);
}

int verb_conversation_resume(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o);

        if (!params || json_set_string(params, "prompt", o->prompt) < 0)
                return EXIT_REFUSED;
        return send_message(o, args[0], "conversation.resume", params, NULL);
}

int verb_conversation_config(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = params_of(o);

        if (!params || json_set_string(params, "model", o->model) < 0 ||
            json_set_string(params, "permissionMode", o->permission_mode) < 0)
                return EXIT_REFUSED;
        return send_message(o, args[0], "conversation.config", params, NULL);
}

int verb_conversation_takeover(const Options *o, char *const *args) {
        _cleanup_free_ char *path = admin_path("/v1/conversations/%s/takeover", args[0]);
        _cleanup_json_ Json *body = json_object_new_object();
        _cleanup_buffer_ Buffer made = {};
        int r;

        if (!path || !body || json_set_bool(body, "force", o->force) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", path, body, &made);
        return r != 0 ? r : admin_finish(o, answer_of(&made), NULL, false);
}

static void print_conversation(Slice c) {
        _cleanup_free_ char *id = json_member_string(c, "conversationId"),
                            *state = json_member_string(c, "state"), *agent = json_member_string(c, "agent"),
                            *workspace = json_member_string(c, "workspaceId"),
                            *created = json_member_string(c, "createdAt"),
                            *owner = json_member_string(c, "runnerUid");

        (void) printf(
                "%-24s %-18s %-10s %-16s %-25s %s\n",
                strempty(id),
                strempty(state),
                agent ? agent : "-",
                workspace ? workspace : "-",
                strempty(created),
                owner ? owner : "-");
}

static void print_head(void) {
        (void) printf(
                "%-24s %-18s %-10s %-16s %-25s %s\n",
                "CONVERSATION",
                "STATE",
                "AGENT",
                "WORKSPACE",
                "CREATED",
                "RUNNER");
}

int verb_conversation_list(const Options *o, char *const *args) {
        const char *path = o->all ? "/v1/conversations?all=1" : "/v1/conversations";

        return admin_list(o, path, "conversations", print_head, print_conversation);
}

static bool show_line(const char *label, Slice object, const char *name) {
        _cleanup_free_ char *value = json_member_string(object, name);

        if (!value)
                return false;
        (void) printf("%12s: ", label);
        print_safe(value, strlen(value), 1000);
        (void) printf("\n");
        return true;
}

int verb_conversation_show(const Options *o, char *const *args) {
        _cleanup_buffer_ Buffer answer = {};
        size_t iter = 0;
        Slice c, q, questions;
        int r;

        r = get_conversation(o, args[0], &answer);
        if (r != 0)
                return r;
        c = answer_of(&answer);
        if (o->json) {
                print_json(c);
                return 0;
        }
        static const char *const members[][2] = {
                { "Conversation", "conversationId" },
                { "State", "state" },
                { "Reason", "reason" },
                { "Agent", "agent" },
                { "Workspace", "workspaceId" },
                { "Task", "taskId" },
                { "Runner", "runnerUid" },
                { "Token", "token" },
                { "Created", "createdAt" },
                { "Updated", "updatedAt" },
                { "Ended", "endedAt" },
        };
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                (void) show_line(members[i][0], c, members[i][1]);
        questions = answer_member(c, "questions");
        while (json_scan_element(questions, &iter, &q)) {
                (void) show_line("Question", q, "requestId");
                if (!show_line("asks", q, "title"))
                        (void) show_line("asks", q, "tool");
        }
        return 0;
}

/* ---- any message ---- */

/* Where a method goes: conversations are made at one place, messages to one at another, the rest to a runner. */
static char *path_for(const Options *o, const char *method, Json *params) {
        const char *conversation = o->conversation ? o->conversation :
                                                     json_get_string(params, "conversationId");

        if (o->runner)
                return admin_path("/v1/runners/%s/messages", o->runner);
        if (streq(method, "conversation.start"))
                return strdup("/v1/conversations");
        if (conversation)
                return admin_path("/v1/conversations/%s/messages", conversation);
        return strdup("/v1/runners/active/messages");
}

int verb_raw(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = NULL, *body = json_object_new_object();
        _cleanup_buffer_ Buffer made = {};
        const char *text = args[1] ? args[1] : "{}";
        _cleanup_free_ char *error = NULL, *path = NULL;
        int r;

        if (json_parse_small(text, strlen(text), &params, &error) < 0 ||
            !json_object_is_type(params, json_type_object)) {
                (void) fprintf(stderr, "The params are %s.\n", error ? error : "not an object");
                return EXIT_USAGE;
        }
        path = path_for(o, args[0], params);
        if (!path || !body || json_set_string(body, "method", args[0]) < 0 ||
            json_set(body, "params", json_object_get(params)) < 0 ||
            json_set_string(body, "token", o->token) < 0 ||
            json_set_bool(body, "notification", o->notification) < 0 ||
            json_set_string(
                    body,
                    "conversationId",
                    o->conversation ? o->conversation : json_get_string(params, "conversationId")) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", path, body, &made);
        return r != 0 ? r : admin_finish(o, answer_of(&made), NULL, true);
}
