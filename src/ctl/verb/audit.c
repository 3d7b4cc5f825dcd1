/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/verb/audit.h"

#define LINES_MAX 20000

/* Who: "uid 1000 northflarectl session-2.scope", else where it came from. */
static char *who(Json *line) {
        const char *comm = json_get_string(line, "comm"), *unit = json_get_string(line, "unit");
        uint64_t uid;

        if (json_get_u64(line, "uid", &uid) <= 0)
                return strdup(strempty(json_get_string(line, "origin")));
        return xasprintf(
                "uid %" PRIu64 "%s%s%s%s",
                uid,
                isempty(comm) ? "" : " ",
                strempty(comm),
                isempty(unit) ? "" : " ",
                strempty(unit));
}

static int add_line(Table *table, Json *line) {
        const char *method = json_get_string(line, "method");
        _cleanup_free_ char *caller = who(line), *what = NULL;
        uint64_t count = 1;

        (void) json_get_u64(line, "count", &count);
        what = count > 1 ? xasprintf("%s x%" PRIu64, strempty(method), count) : strdup(strempty(method));
        if (!caller || !what)
                return -ENOMEM;
        return table_add(
                table,
                (const char *[]){ json_get_string(line, "when"),
                                  caller,
                                  what,
                                  json_get_string(line, "conversationId"),
                                  json_get_string(line, "verdict"),
                                  json_get_string(line, "detail") });
}

int verb_audit(char **words) {
        static const char *const titles[] = { "WHEN", "WHO", "WHAT", "CONVERSATION", "VERDICT", "DETAIL" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        uint64_t lines = arg.lines_set ? arg.lines : 1000;
        _cleanup_json_ Json *list = NULL;
        int status;

        if (!table)
                return EXIT_FAILED;
        if (lines == 0 || lines > LINES_MAX) {
                (void) fprintf(stderr, "northflarectl: --lines: must be 1 to %d\n", LINES_MAX);
                return EXIT_USAGE;
        }
        status = call_manager("ListAudit", &reply, "su", strempty(words[1]), (uint32_t) lines);
        if (status == EXIT_OK)
                status = read_json(reply, json_type_array, &list);
        return status != EXIT_OK ? status : table_print_list(table, list, add_line, "line");
}
