/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/workspace.h"

/* workspace list|show|remove: what conversations left on the disk. Each is inspected by a process of its agent user. */

static int call_json(const char *method, const char *id, json_type type, Json **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int status;

        status = call_manager(method, &reply, id ? "s" : NULL, id);
        if (status != EXIT_OK)
                return status;
        return read_json(reply, type, ret);
}

static char *join(Json *list, const char *member) {
        _cleanup_buffer_ Buffer b = {};

        for (size_t i = 0; i < json_length(list); i++) {
                Json *o = json_object_array_get_idx(list, i);
                const char *s = member ? json_get_string(o, member) : json_object_get_string(o);

                if (isempty(s))
                        continue;
                (void) buffer_append_str(&b, b.size > 0 ? " " : "");
                (void) buffer_append_str(&b, s);
        }
        return b.size > 0 ? buffer_steal(&b) : strdup("");
}

static int add_row(Table *t, Json *o, const char *last) {
        _cleanup_free_ char *branches = join(json_get(o, "checkouts"), "branch"),
                            *live = join(json_get(o, "conversations"), NULL);
        char size[AMOUNT_MAX] = "";
        uint64_t bytes;

        if (json_get_u64(o, "bytes", &bytes) > 0)
                format_amount((double) bytes, 1024, size);
        return table_add(
                t,
                (const char *[]){
                        json_get_string(o, "id"), json_get_string(o, "user"), size, branches, live, last });
}

static int list(void) {
        static const char *const titles[] = { "ID", "USER", "SIZE", "BRANCH", "IN USE BY", "LAST USED" };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        _cleanup_json_ Json *known = NULL, *all = json_object_new_array();
        int status;

        if (!table || !all)
                return EXIT_FAILED;
        status = call_json("ListWorkspaces", NULL, json_type_array, &known);
        for (size_t i = 0; status == EXIT_OK && i < json_object_array_length(known); i++) {
                Json *k = json_object_array_get_idx(known, i), *o = NULL;
                const char *id = json_get_string(k, "id"), *last = json_get_string(k, "lastUsedAt");

                if (!id)
                        return reply_unreadable();
                status = call_json("DescribeWorkspace", id, json_type_object, &o);
                if (status != EXIT_OK)
                        return status;
                if (json_set_string(o, "lastUsedAt", last) < 0 || json_object_array_add(all, o) < 0 ||
                    add_row(table, o, last) < 0)
                        return EXIT_FAILED;
        }
        if (status != EXIT_OK)
                return status;
        return table_print_list(table, all, NULL, "workspace");
}

static int show(char **ids) {
        STRV_FOREACH(id, ids) {
                _cleanup_json_ Json *o = NULL;
                int status = call_json("DescribeWorkspace", *id, json_type_object, &o);

                if (status != EXIT_OK)
                        return status;
                print_next_object(o, id == ids);
        }
        return EXIT_OK;
}

static int remove_all(char **ids) {
        STRV_FOREACH(id, ids) {
                int status = call_manager(
                        "RemoveWorkspace", NULL, "sa{sv}", *id, 1, "force", "b", (int) arg.force);

                if (status != EXIT_OK)
                        return status;
        }
        return EXIT_OK;
}

int verb_workspace(char **words) {
        bool removes = streq(words[1], "remove"), shows = streq(words[1], "show");

        if (!removes && !shows && !streq(words[1], "list")) {
                (void) fprintf(
                        stderr,
                        "northflarectl: unknown command %s, expected list, show or remove (see northflarectl --help)\n",
                        words[1]);
                return EXIT_USAGE;
        }
        if ((removes || shows) != !!words[2]) {
                (void) fprintf(
                        stderr,
                        "northflarectl: too %s arguments for workspace %s (see northflarectl --help)\n",
                        words[2] ? "many" : "few",
                        words[1]);
                return EXIT_USAGE;
        }
        if (arg.force && !removes) {
                (void) fprintf(
                        stderr, "northflarectl: --force cannot be used with workspace %s\n", words[1]);
                return EXIT_USAGE;
        }
        return removes ? remove_all(words + 2) : shows ? show(words + 2) : list();
}
