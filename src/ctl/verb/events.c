/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/event-stream.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/events.h"

static void on_event(Json *event, bool whole, const char *line, void *userdata) {
        if (arg.json == JSON_PRETTY && whole)
                print_json(event);
        else {
                put_str(stdout, line);
                (void) putchar('\n');
        }
        if (arg.follow)
                (void) fflush(stdout);
        if (ferror(stdout))
                (void) sd_event_exit(userdata, EXIT_FAILED);
}

static void on_end(int status, void *userdata) {
        (void) sd_event_exit(userdata, status);
}

static int add_set_aside(Table *table, Json *e) {
        char size[sizeof("18446744073709551615")];
        uint64_t bytes = 0;

        (void) json_get_u64(e, "size", &bytes);
        (void) snprintf(size, sizeof(size), "%" PRIu64, bytes);
        return table_add(
                table,
                (const char *[]){ json_get_string(e, "when"),
                                  json_get_string(e, "conversationId"),
                                  json_get_string(e, "messageId"),
                                  size,
                                  json_get_string(e, "why") });
}

static int list_set_aside(void) {
        static const char *const titles[] = { "WHEN", "CONVERSATION", "MESSAGE ID", "SIZE", "WHY" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        _cleanup_json_ Json *list = NULL;
        int status;

        if (!table)
                return EXIT_FAILED;
        status = call_manager("ListSetAside", &reply, NULL);
        if (status == EXIT_OK)
                status = read_json(reply, json_type_array, &list);
        return status != EXIT_OK ? status : table_print_list(table, list, add_set_aside, "refused event");
}

static int resend_set_aside(void) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ Json *o = NULL;
        uint32_t count;
        int status, r;

        status = call_manager("ResendSetAside", &reply, NULL);
        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_read(reply, "u", &count);
        if (r < 0)
                return report_error(NULL, r, NULL);
        if (arg.json != JSON_OFF) {
                o = json_object_new_object();
                if (!o || json_set_u64(o, "count", count) < 0)
                        return EXIT_FAILED;
                print_json(o);
        } else if (count == 0)
                (void) fputs("No events are set aside.\n", stderr);
        else
                (void) fprintf(
                        stderr,
                        "%" PRIu32 " %s sent again; those that are refused again stay in the list.\n",
                        count,
                        count == 1 ? "event is" : "events are");
        return EXIT_OK;
}

/* The cursor behind the last event goes to stderr, for the next call. */
int verb_events(char **words) {
        static const EventStreamOps ops = { on_event, on_end };
        _cleanup_(event_stream_freep) EventStream *stream = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        int status;

        if (arg.set_aside)
                return arg.resend ? resend_set_aside() : list_set_aside();
        if (sd_event_default(&event) < 0 || sd_bus_attach_event(bus, event, 0) < 0)
                return EXIT_FAILED;
        if (!arg.follow)
                pager_open();
        status = event_stream_open(event, words[1], strempty(arg.cursor), arg.follow, &ops, event, &stream);
        if (status != EXIT_OK)
                return status;
        status = sd_event_loop(event);
        if (status == EXIT_OK && event_stream_cursor(stream) && !arg.no_legend && !terminal_is_out())
                (void) fprintf(stderr, "-- cursor: %s\n", event_stream_cursor(stream));
        return status < 0 ? EXIT_FAILED : status;
}
