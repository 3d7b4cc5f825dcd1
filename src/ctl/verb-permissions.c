/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"
#include "ctl/terminal.h"

/* The conversations that wait for an answer, as far as the runner tells everybody. */
static int waiting_ids(char ***ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = new0(char *, 1);
        const char *id, *state, *agent, *task, *path;
        uint64_t started, last;
        int status, r;

        if (!ids)
                return EXIT_FAILED;
        status = call_manager("ListConversations", &reply, NULL);
        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_enter_container(reply, 'a', "(sssstto)");
        while (r >= 0 &&
               (r = sd_bus_message_read(
                                reply, "(sssstto)", &id, &state, &agent, &task, &started, &last, &path)) > 0)
                if (streq(state, "waiting-permission"))
                        r = strv_extend(&ids, id);
        if (r < 0)
                return report_error(NULL, r, NULL);
        *ret = TAKE_PTR(ids);
        return EXIT_OK;
}

static int add_question(Table *table, Json *list, const char *id, Json *q) {
        const char *title = json_get_string(q, "title");
        Json *input = json_get(q, "input");

        if (arg.json == JSON_OFF)
                return table_add(
                                table,
                                (const char *[]){ id,
                                                  json_get_string(q, "requestId"),
                                                  json_get_string(q, "tool"),
                                                  title                 ? title :
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
                for (size_t i = 0; json_object_is_type(questions, json_type_array) &&
                     i < json_object_array_length(questions);
                     i++)
                        if (add_question(table, list, *id, json_object_array_get_idx(questions, i)) < 0)
                                return EXIT_FAILED;
        }
        if (arg.json != JSON_OFF) {
                print_json(list);
                return EXIT_OK;
        }
        pager_open();
        table_print(table, "question");
        return EXIT_OK;
}
