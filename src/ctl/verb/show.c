/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/terminal.h"

/* What of the questions is not there in full. */
static void say_what_is_cut(const char *id, Json *description) {
        Json *questions = json_get(description, "questions");

        for (size_t i = 0;
             json_object_is_type(questions, json_type_array) && i < json_object_array_length(questions);
             i++)
                if (json_get(json_object_array_get_idx(questions, i), "cut")) {
                        (void) printf("A question is too long to be shown here; all of it: northflarectl permissions --all %s\n",
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
