/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"
#include "ctl/terminal.h"

/* One value, its parts below it. */
static void print_value(const char *name, Json *value, unsigned depth) {
        _cleanup_free_ char *key = sanitize_line(name, 64), *line = NULL;

        if (json_object_is_type(value, json_type_object)) {
                (void) printf("%*s%s%s:%s\n",
                              (int) depth * 2,
                              "",
                              style(stdout, STYLE_BOLD),
                              strempty(key),
                              style(stdout, STYLE_NORMAL));
                json_object_object_foreach(value, k, v)
                        print_value(k, v, depth + 1);
                return;
        }
        if (json_object_is_type(value, json_type_array)) {
                size_t n = json_object_array_length(value);

                for (size_t i = 0; i < n; i++)
                        print_value(name, json_object_array_get_idx(value, i), depth);
                return;
        }
        line = sanitize_line(
                        json_object_is_type(value, json_type_string) ? json_object_get_string(value) :
                                                                       json_text(value),
                        2000);
        (void) printf("%*s%s%s:%s %s\n",
                      (int) depth * 2,
                      "",
                      style(stdout, STYLE_BOLD),
                      strempty(key),
                      style(stdout, STYLE_NORMAL),
                      strempty(line));
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
                json_object_object_foreach(o, k, v)
                        print_value(k, v, 0);
        }
        return EXIT_OK;
}
