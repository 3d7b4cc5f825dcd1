/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/list.h"

typedef struct Row {
        const char *id, *state, *agent, *task, *path;
        uint64_t started, last;
} Row;

static int add_json(Json *list, const Row *row) {
        Json *o = json_object_new_object();
        int r = o ? 0 : -ENOMEM;

        if (r >= 0)
                r = json_set_string(o, "id", row->id);
        if (r >= 0)
                r = json_set_string(o, "state", row->state);
        if (r >= 0)
                r = json_set_string(o, "agent", row->agent);
        if (r >= 0)
                r = json_set_string(o, "task", row->task);
        if (r >= 0)
                r = json_set_u64(o, "startedAt", row->started);
        if (r >= 0)
                r = json_set_u64(o, "lastEventAt", row->last);
        if (r >= 0 && json_object_array_add(list, o) >= 0)
                return 0;
        json_object_put(o);
        return -ENOMEM;
}

static int add_row(Table *table, const Row *row) {
        char started[AGO_MAX], last[AGO_MAX];

        return table_add(
                table,
                (const char *[]){ row->id,
                                  row->state,
                                  row->agent,
                                  row->task,
                                  format_ago(row->started, started),
                                  format_ago(row->last, last) });
}

int verb_list(char **words) {
        static const char *const titles[] = { "ID", "STATE", "AGENT", "TASK", "STARTED", "LAST EVENT" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ Json *list = json_object_new_array();
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        int status, r;
        Row row;

        if (!list || !table)
                return EXIT_FAILED;
        status = call_manager("ListConversations", &reply, NULL);
        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_enter_container(reply, 'a', "(sssstto)");
        while (r >= 0 &&
               (r = sd_bus_message_read(
                        reply,
                        "(sssstto)",
                        &row.id,
                        &row.state,
                        &row.agent,
                        &row.task,
                        &row.started,
                        &row.last,
                        &row.path)) > 0) {
                if (!arg.all && streq(row.state, "ended"))
                        continue;
                r = arg.json != JSON_OFF ? add_json(list, &row) : add_row(table, &row);
        }
        if (r < 0)
                return report_error(NULL, r, NULL);
        return table_print_list(table, list, NULL, "conversation");
}

/* What of the questions is not there in full. */
static void say_what_is_cut(const char *id, Json *description) {
        Json *questions = json_get(description, "questions");

        for (size_t i = 0;
             json_object_is_type(questions, json_type_array) && i < json_object_array_length(questions);
             i++)
                if (json_get(json_object_array_get_idx(questions, i), "cut")) {
                        (void) printf(
                                "A question is too long to be shown here; see northflarectl permissions --all %s\n",
                                id);
                        return;
                }
}

int verb_show(char **words) {
        bool first = true;

        STRV_FOREACH(id, words + 1) {
                _cleanup_json_ Json *o = NULL;
                int status = describe(*id, &o);

                if (status != EXIT_OK)
                        return status;
                if (arg.json != JSON_OFF) {
                        print_json(o);
                        continue;
                }
                pager_open();
                if (!first)
                        (void) putchar('\n');
                first = false;
                print_object(o);
                say_what_is_cut(*id, o);
        }
        return EXIT_OK;
}
