/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/event-stream.h"
#include "ctl/console.h"
#include "ctl/options.h"
#include "ctl/terminal/render.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/run.h"

typedef struct Run {
        sd_event *event;
        char *id;
        Renderer renderer;
        Console *console;
        EventStream *stream;
        int status; /* of the first turn, once it has ended */
        bool turn_ended, stopping;
        unsigned interrupts;
} Run;

/* ---- start ---- */

static int append_repository(sd_bus_message *m) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "repository");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{ss}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{ss}", "url", arg.repository);
        if (r >= 0 && arg.branch)
                r = sd_bus_message_append(m, "{ss}", "branch", arg.branch);
        for (int i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

/* "." and what begins with ./ or ../ is meant from here; all else goes to the runner as it is. */
static char *directory(void) {
        const char *d = arg.directory;

        if (!arg.host && !arg.machine &&
            (streq(d, ".") || streq(d, "..") || startswith(d, "./") || startswith(d, "../")))
                return realpath(d, NULL);
        return strdup(d);
}

static int append_parameters(sd_bus_message *m, const char *script) {
        const struct {
                const char *name, *value;
        } strings[] = {
                { "agent", arg.agent ? arg.agent : "shell" },
                { "prompt", script },
                { "workspaceId", arg.workspace },
                { "model", arg.model },
                { "taskId", arg.task },
                { "conversationId", arg.id },
        };
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        for (size_t i = 0; i < ELEMENTSOF(strings) && r >= 0; i++)
                if (strings[i].value)
                        r = sd_bus_message_append(m, "{sv}", strings[i].name, "s", strings[i].value);
        if (r >= 0 && arg.directory) {
                _cleanup_free_ char *d = directory();

                r = d ? sd_bus_message_append(m, "{sv}", "directory", "s", d) : -errno;
        }
        if (r >= 0 && arg.repository)
                r = append_repository(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int start(const char *script, char **ret_id) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *id;
        int r;

        r = sd_bus_message_new_method_call(
                bus, &m, BUS_NAME, PATH_MANAGER, INTERFACE_MANAGER, "StartConversation");
        if (r >= 0)
                r = append_parameters(m, script);
        if (r < 0) {
                (void) fprintf(stderr, "northflarectl: %s\n", strerror(-r));
                return r;
        }
        r = sd_bus_call(bus, m, UINT64_MAX, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &id);
        if (r < 0) {
                (void) report_error(&error, r, NULL);
                return r;
        }
        *ret_id = strdup(id);
        return *ret_id ? 0 : -ENOMEM;
}

/* ---- the end ---- */

static int on_stopped(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Run *run = userdata;

        if (sd_bus_message_is_method_error(m, NULL) &&
            !sd_bus_message_is_method_error(m, BUS_ERROR_WRONG_STATE)) {
                (void) report_error(sd_bus_message_get_error(m), sd_bus_message_get_errno(m), run->id);
                run->status = EXIT_RUN_FAILED;
        }
        (void) sd_event_exit(run->event, run->status);
        return 1;
}

/* The reply comes when no process of the conversation is left; only then is the run over. */
static void stop(Run *run) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int status, r = -ENOMEM;

        if (run->stopping)
                return;
        run->stopping = true;
        path = conversation_path(run->id, &status);
        if (path)
                r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, INTERFACE_CONVERSATION, "Stop");
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_call_async(bus, NULL, m, on_stopped, run, UINT64_MAX);
        if (r < 0) {
                (void) report_error(NULL, r, run->id);
                (void) sd_event_exit(run->event, EXIT_RUN_FAILED);
        }
}

static void on_event(Json *event, bool whole, const char *line, void *userdata) {
        Run *run = userdata;
        Json *e = json_get(json_get(event, "params"), "event");
        TurnEnd end = {};

        if (run->turn_ended)
                return;
        if (arg.json != JSON_OFF) {
                Renderer silent = {};

                if (whole)
                        print_json(event);
                else {
                        put_str(stdout, line);
                        (void) putchar('\n');
                }
                (void) fflush(stdout);
                if (streq_ptr(json_get_string(e, "type"), "turn_end"))
                        render_event(&silent, event, &end);
        } else
                render_event(&run->renderer, event, &end);
        console_follow(run->console, event);
        if (end.ended) {
                run->turn_ended = true;
                if (run->interrupts == 0 || run->status == EXIT_RUN_FAILED)
                        run->status = end.status;
                stop(run);
        }
        if (ferror(stdout) && !run->stopping) {
                run->status = 128 + SIGPIPE;
                stop(run);
        }
}

static void on_end(int status, void *userdata) {
        Run *run = userdata;

        if (run->stopping)
                return; /* the reply to Stop is under way */
        if (status == EXIT_OK)
                (void) fputs("The conversation ended before the turn did.\n", stderr);
        (void) sd_event_exit(run->event, EXIT_RUN_FAILED);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Run *run = userdata;
        _cleanup_free_ char *path = NULL;
        int status;

        if (si->ssi_signo == SIGINT && run->interrupts++ == 0) {
                path = conversation_path(run->id, &status);
                if (path)
                        (void) sd_bus_call_method_async(
                                bus,
                                NULL,
                                BUS_NAME,
                                path,
                                INTERFACE_CONVERSATION,
                                "Interrupt",
                                NULL,
                                NULL,
                                NULL);
                return 0;
        }
        /* Again: the user does not want to wait for the agent to end by itself, and not for us either. */
        if (run->stopping)
                return sd_event_exit(run->event, 128 + (int) si->ssi_signo);
        run->status = 128 + (int) si->ssi_signo;
        stop(run);
        return 0;
}

static void on_answer_failed(const char *text, void *userdata) {
        Run *run = userdata;

        render_note(&run->renderer, STYLE_RED, strempty(text));
}

static int follow(Run *run) {
        static const EventStreamOps stream_ops = { on_event, on_end };
        static const ConsoleOps console_ops = { NULL, NULL, on_answer_failed };
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        r = loop_open(on_signal, run, &run->event);
        if (r >= 0)
                r = console_new(run->event, run->id, &run->renderer, &console_ops, run, &run->console);
        if (r < 0)
                return r;
        if (event_stream_open(run->event, run->id, "", true, &stream_ops, run, &run->stream) != EXIT_OK)
                return -EIO;
        return sd_event_loop(run->event);
}

int verb_run(char **words) {
        _cleanup_buffer_ Buffer script = {};
        Run run = { .status = EXIT_RUN_FAILED };
        int r;

        STRV_FOREACH(w, words + 1) {
                if (w != words + 1)
                        (void) buffer_append_str(&script, " ");
                (void) buffer_append_str(&script, *w);
        }
        if (script.failed || script.size == 0 || !utf8_is_valid(script.data, script.size)) {
                (void) fputs("northflarectl: the script is empty, or not UTF-8 text\n", stderr);
                return EXIT_RUN_FAILED;
        }
        r = start(script.data, &run.id);
        if (r < 0)
                return EXIT_RUN_FAILED;
        if (arg.detach) {
                if (arg.json != JSON_OFF)
                        (void) printf("{\"conversationId\":\"%s\"}\n", run.id);
                else
                        (void) puts(run.id);
                free(run.id);
                return EXIT_OK;
        }
        r = follow(&run);
        if (r < 0)
                r = EXIT_RUN_FAILED;
        if (run.renderer.in_line_out && terminal_is_out())
                (void) putchar('\n');
        console_free(run.console);
        event_stream_free(run.stream);
        sd_event_unref(run.event);
        free(run.id);
        return r;
}
