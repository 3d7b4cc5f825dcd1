/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/event-stream.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/permissions.h"

/* The words for what is not in the description in full: "5242880 bytes of input". NULL: nothing is cut. */
static char *what_is_cut(Json *q) {
        Json *cut = json_get(q, "cut");

        if (!json_object_is_type(cut, json_type_object))
                return NULL;
        json_object_object_foreach(cut, name, value) {
                uint64_t size = 0;

                (void) json_get_u64(value, "size", &size);
                return xasprintf(
                        "%llu bytes of %s: northflarectl permissions --all shows all of it",
                        (unsigned long long) size,
                        name);
        }
        return NULL;
}

/* The whole events that ask. */
static int print_all(const char *id, Json *questions) {
        for (size_t i = 0; i < json_object_array_length(questions); i++) {
                const char *cursor = json_get_string(json_object_array_get_idx(questions, i), "event");
                int status = EXIT_FAILED;
                _cleanup_free_ char *event = NULL;

                if (!cursor) {
                        (void) fputs(
                                "This version of northflare-runner does not support whole questions.\n",
                                stderr);
                        return EXIT_FAILED;
                }
                event = read_event(id, cursor, &status);
                if (!event)
                        return status;
                put_str(stdout, event);
                (void) putchar('\n');
        }
        return EXIT_OK;
}

/* The conversations that wait for an answer, as far as the runner shows them to all users. */
static int waiting_ids(char ***ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = new0(char *, 1);
        ConversationRow row;
        int status, r = 0;

        if (!ids)
                return EXIT_FAILED;
        status = list_conversations(&reply);
        if (status != EXIT_OK)
                return status;
        while (r >= 0 && (r = next_conversation(reply, &row)) > 0)
                if (streq(row.state, "waiting-permission"))
                        r = strv_extend(&ids, row.id);
        if (r < 0)
                return report_error(NULL, r, NULL);
        *ret = TAKE_PTR(ids);
        return EXIT_OK;
}

static int add_question(Table *table, Json *list, const char *id, Json *q) {
        _cleanup_free_ char *cut = what_is_cut(q);
        const char *title = json_get_string(q, "title");
        Json *input = json_get(q, "input");

        if (arg.json == JSON_OFF)
                return table_add(
                        table,
                        (const char *[]){ id,
                                          json_get_string(q, "requestId"),
                                          json_get_string(q, "tool"),
                                          cut           ? cut :
                                                  title ? title :
                                                  input ? json_text(input) :
                                                          "" });
        if (json_set_string(q, "conversationId", id) < 0)
                return -ENOMEM;
        return json_object_array_add(list, json_object_get(q));
}

int verb_permissions(char **words) {
        static const char *const titles[] = { "CONVERSATION", "REQUEST", "TOOL", "WHAT" };
        _cleanup_strv_free_ char **waiting = NULL;
        _cleanup_json_ Json *list = json_object_new_array();
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        char **ids = words + 1;
        int status;

        if (!list || !table)
                return EXIT_FAILED;
        if (!*ids) {
                status = waiting_ids(&waiting);
                if (status != EXIT_OK)
                        return status;
                ids = waiting;
        }
        STRV_FOREACH(id, ids) {
                _cleanup_json_ Json *o = NULL;
                Json *questions;

                status = describe(*id, &o);
                if (status != EXIT_OK)
                        return status;
                questions = json_get(o, "questions");
                if (!json_object_is_type(questions, json_type_array))
                        continue;
                if (arg.all) {
                        status = print_all(*id, questions);
                        if (status != EXIT_OK)
                                return status;
                        continue;
                }
                for (size_t i = 0; i < json_object_array_length(questions); i++)
                        if (add_question(table, list, *id, json_object_array_get_idx(questions, i)) < 0)
                                return EXIT_FAILED;
        }
        if (arg.all)
                return EXIT_OK;
        return table_print_list(table, list, NULL, "question");
}

/* The one question that waits; NULL after a message where there is none or more than one. */
static char *only_question(const char *id, int *ret_status) {
        _cleanup_json_ Json *o = NULL;
        Json *questions;
        size_t n;

        *ret_status = describe(id, &o);
        if (*ret_status != EXIT_OK)
                return NULL;
        *ret_status = EXIT_FAILED;
        questions = json_get(o, "questions");
        n = json_length(questions);
        if (n != 1) {
                (void) fprintf(
                        stderr,
                        n == 0 ?
                                "No question waits for an answer.\n" :
                                "Several questions wait for an answer; name one (northflarectl permissions).\n");
                return NULL;
        }
        return strdup(strempty(json_get_string(json_object_array_get_idx(questions, 0), "requestId")));
}

int verb_answer(char **words) {
        const char *behavior = words[3] ? words[3] : words[2];
        _cleanup_free_ char *request = NULL;
        int status = EXIT_OK;

        if (!streq(behavior, "allow") && !streq(behavior, "deny")) {
                (void) fputs("northflarectl: the answer has to be allow or deny\n", stderr);
                return EXIT_USAGE;
        }
        request = words[3] ? strdup(words[2]) : only_question(words[1], &status);
        if (!request)
                return status == EXIT_OK ? EXIT_FAILED : status;
        if (arg.message)
                return call_conversation(
                        words[1],
                        "AnswerPermission",
                        NULL,
                        "ssa{sv}",
                        request,
                        behavior,
                        1,
                        "message",
                        "s",
                        arg.message);
        return call_conversation(words[1], "AnswerPermission", NULL, "ssa{sv}", request, behavior, 0);
}
