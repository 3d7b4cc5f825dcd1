/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/list.h"

static int add_json(Json *list, const ConversationRow *row) {
        Json *o = json_object_new_object();

        if (o && json_set_string(o, "id", row->id) >= 0 && json_set_string(o, "state", row->state) >= 0 &&
            json_set_string(o, "agent", row->agent) >= 0 && json_set_string(o, "task", row->task) >= 0 &&
            json_set_u64(o, "startedAt", row->started_usec) >= 0 &&
            json_set_u64(o, "lastEventAt", row->last_event_usec) >= 0 && json_object_array_add(list, o) >= 0)
                return 0;
        json_object_put(o);
        return -ENOMEM;
}

static int add_row(Table *table, const ConversationRow *row) {
        char started[AGO_MAX], last[AGO_MAX];

        return table_add(
                table,
                (const char *[]){ row->id,
                                  row->state,
                                  row->agent,
                                  row->task,
                                  format_ago(row->started_usec, started),
                                  format_ago(row->last_event_usec, last) });
}

int verb_list(char **words) {
        static const char *const titles[] = { "ID", "STATE", "AGENT", "TASK", "STARTED", "LAST EVENT" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ Json *list = json_object_new_array();
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        ConversationRow row;
        int status, r = 0;

        if (!list || !table)
                return EXIT_FAILED;
        status = list_conversations(&reply);
        if (status != EXIT_OK)
                return status;
        while (r >= 0 && (r = next_conversation(reply, &row)) > 0)
                if (arg.all || !streq(row.state, "ended"))
                        r = arg.json != JSON_OFF ? add_json(list, &row) : add_row(table, &row);
        if (r < 0)
                return report_error(NULL, r, NULL);
        return table_print_list(table, list, NULL, "conversation");
}

/* What of the questions is not there in full. */
static void say_what_is_cut(const char *id, Json *description) {
        Json *questions = json_get(description, "questions");

        for (size_t i = 0; i < json_length(questions); i++)
                if (json_get(json_object_array_get_idx(questions, i), "cut")) {
                        (void) printf(
                                "A question is too long to be shown here; see northflarectl permissions --all %s\n",
                                id);
                        return;
                }
}

int verb_show(char **words) {
        STRV_FOREACH(id, words + 1) {
                _cleanup_json_ Json *o = NULL;
                int status = describe(*id, &o);

                if (status != EXIT_OK)
                        return status;
                print_next_object(o, id == words + 1);
                if (arg.json == JSON_OFF)
                        say_what_is_cut(*id, o);
        }
        return EXIT_OK;
}
