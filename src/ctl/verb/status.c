/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/values.h"
#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/status.h"

_printf_(2, 3) static void row(const char *name, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        line = sanitize_line(text, 200);
        (void) printf("%14s: %s\n", name, strempty(line));
}

static const char *string(Json *o, const char *name) {
        const char *s = json_get_string(o, name);

        return isempty(s) ? NULL : s;
}

static bool flag(Json *o, const char *name) {
        bool b = false;

        (void) json_get_bool(o, name, &b);
        return b;
}

static Style style_of(const char *state) {
        return streq(state, "active") || streq(state, "local") ? STYLE_GREEN :
                streq(state, "refused")                        ? STYLE_RED :
                streq(state, "starting")                       ? STYLE_NORMAL :
                                                                 STYLE_YELLOW;
}

static void print_status(Json *o) {
        const char *state = strempty(string(o, "State")), *url = string(o, "OrchestratorUrl");
        _cleanup_free_ char *shown = sanitize_line(state, 32);
        char ago[AGO_MAX];

        (void) printf(
                "%s●%s northflare-runner %s\n",
                style(stdout, style_of(state)),
                style(stdout, STYLE_NORMAL),
                strempty(string(o, "Version")));
        (void) printf(
                "%14s: %s%s%s%s\n",
                "State",
                style(stdout, style_of(state)),
                strempty(shown),
                style(stdout, STYLE_NORMAL),
                streq(state, "local") ? " (no orchestrator configured)" : "");
        if (url) {
                row("Orchestrator", "%s (%sconnected)", url, flag(o, "Connected") ? "" : "not ");
                if (string(o, "RunnerId"))
                        row("Runner", "%s (%s)", string(o, "RunnerId"), strempty(string(o, "RunnerUid")));
                row("Queue",
                    "%" PRIu64 " events, %" PRIu64 " bytes, oldest %" PRIu64 " s",
                    json_u64(o, "QueuedEvents"),
                    json_u64(o, "QueuedBytes"),
                    json_u64(o, "OldestQueuedUSec") / USEC_PER_SEC);
                row("Acknowledged", "%s", format_ago(json_u64(o, "LastAckUSec"), ago));
                row("Reconnects", "%" PRIu64, json_u64(o, "Reconnects"));
                row("Duplicates", "%" PRIu64 " skipped", json_u64(o, "Duplicates"));
        }
        row("Conversations",
            "%" PRIu64 " of %" PRIu64,
            json_u64(o, "Conversations"),
            json_u64(o, "Capacity"));
        if (flag(o, "Draining"))
                row("Draining", "yes: no new conversations are accepted");
        else if (string(o, "Refusing"))
                row("Refusing", "new conversations, for: %s", string(o, "Refusing"));
        if (json_u64(o, "SetAside") > 0)
                row("Set aside",
                    "%" PRIu64
                    " %s that the orchestrator refused; show with: northflarectl %sevents --set-aside",
                    json_u64(o, "SetAside"),
                    json_u64(o, "SetAside") == 1 ? "event" : "events",
                    arg.user ? "--user " : "");
}

int verb_status(char **words) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ Json *o = NULL;
        int r = get_properties(PATH_MANAGER, INTERFACE_MANAGER, &o, &error);

        if (r < 0)
                return report_error(&error, r, NULL);
        if (arg.json != JSON_OFF)
                print_json(o);
        else
                print_status(o);
        return EXIT_OK;
}
