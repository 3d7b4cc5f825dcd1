/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/events.h"
#include "ctl/terminal.h"

static void on_event(Json *event, const char *line, void *userdata) {
        if (arg.json == JSON_PRETTY)
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

/* The cursor behind the last event goes to stderr, for the next call. */
int verb_events(char **words) {
        static const EventStreamOps ops = { on_event, on_end };
        _cleanup_(event_stream_freep) EventStream *stream = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        int status;

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
