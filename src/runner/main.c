/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-event.h>

#include "common/log.h"
#include "runner/bus/bus.h"
#include "runner/config/config-dump.h"
#include "runner/config/config-token.h"
#include "runner/config/config.h"
#include "runner/method/method-entry.h"
#include "runner/runner.h"

/* Larger blocks are mappings of their own, which the kernel has back as soon as they are freed, whatever lies beside them.
 * glibc would raise its threshold to the size of what it frees. Smaller ones come and go all the time: their place is
 * kept. */
#define HEAP_BLOCK_MAX (1024 * 1024)

/* The parts of the daemon, from the bottom up. The runner has the store, the link and the conversations; the methods are
 * what it hands messages to; the bus objects call the methods and are notified of changes by the runner. */
typedef struct Daemon {
        sd_event *event;
        Runner *runner;
        Methods *methods;
        BusObjects *bus_objects;
} Daemon;

/* From the top down; but what the runner forgets at the end is announced, as long as the bus objects can announce it. */
static void daemon_done(Daemon *d) {
        runner_stop(d->runner);
        bus_objects_free(d->bus_objects);
        methods_free(d->methods);
        runner_free(d->runner);
        sd_event_unref(d->event);
}

static int take_name(sd_bus *bus) {
        int r = sd_bus_request_name(bus, BUS_NAME, 0);

        if (r == -EEXIST)
                return log_error_errno(r, "Another runner owns the bus name " BUS_NAME " already.");
        if (r < 0)
                return log_error_errno(
                        r, "The bus name " BUS_NAME " cannot be taken (is the bus policy installed?): %m");
        return 0;
}

/* The order matters. The store is opened before anything can be asked for; the name comes before adoption, so that no
 * second runner adopts what the first one has; the connection to the orchestrator is the last step. */
static int start(Daemon *d) {
        int r = runner_open(d->runner);

        if (r < 0)
                return r;
        r = methods_new(d->runner, &d->methods);
        if (r < 0)
                return log_oom();
        r = bus_objects_new(d->runner, d->methods, runner_get_bus(d->runner), &d->bus_objects);
        if (r < 0)
                return log_error_errno(r, "Failed to create the bus objects: %m");
        r = take_name(runner_get_bus(d->runner));
        return r < 0 ? r : runner_begin(d->runner);
}

static int run(const RunnerOptions *options, RunnerConfig *config) {
        _cleanup_(daemon_done) Daemon d = {};
        int r;

        r = sd_event_default(&d.event);
        if (r >= 0)
                r = sd_event_set_watchdog(d.event, true);
        if (r < 0)
                return log_error_errno(r, "Failed to create the event loop: %m");
        r = runner_new(d.event, options, config, &d.runner);
        if (r < 0)
                return log_oom();
        r = start(&d);
        if (r < 0)
                return r;
        log_set_stream(-1);
        r = sd_event_loop(d.event);
        if (r < 0)
                return log_error_errno(r, "Failed to run the event loop: %m");
        return runner_exit_code(d.runner) != 0 ? runner_exit_code(d.runner) : r;
}

static int block_signals(void) {
        sigset_t set;

        (void) signal(SIGPIPE, SIG_IGN);
        if (sigemptyset(&set) < 0 || sigaddset(&set, SIGTERM) < 0 || sigaddset(&set, SIGINT) < 0 ||
            sigaddset(&set, SIGHUP) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        return 0;
}

static int print_config(const RunnerOptions *options) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        int code = 0;

        int r = config_dump(options, environ, options->json, &text, &code, &error);

        /* What could be read is shown before what is wrong with it. */
        if (text)
                (void) fputs(text, stdout);
        if (r < 0) {
                log_error("%s", strempty(error));
                return code;
        }
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_(config_freep) RunnerConfig *config = NULL;
        _cleanup_free_ char *error = NULL;
        RunnerOptions options = {};
        int r, code = EXIT_FAILURE;

        log_open("northflare-runner", LOG_TARGET_AUTO);
        if (options_parse(argc, argv, &options) < 0)
                return 2;
        switch (options.command) {
        case COMMAND_HELP:
                options_help();
                return 0;
        case COMMAND_VERSION:
                (void) printf("northflare-runner %s\n", PROJECT_VERSION);
                return 0;
        case COMMAND_CONFIG:
                return print_config(&options);
        case COMMAND_START:
                break;
        }
        (void) mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
        (void) mallopt(M_TRIM_THRESHOLD, 2 * HEAP_BLOCK_MAX);
        log_set_stream(LOG_DEBUG);
        r = config_load(&options, environ, &config, &code, &error);
        if (r < 0) {
                log_error("%s", strempty(error));
                return code;
        }
        /* From here on errors only, and until it has started: after those it exits. */
        log_set_stream(LOG_ERR);
        /* The token is in memory now, and nowhere that a child or /proc could show it. */
        config_scrub_environment();
        if (config->debug)
                log_set_max_level(LOG_DEBUG);
        r = block_signals();
        if (r < 0)
                return EXIT_FAILURE;
        r = run(&options, config);
        return r < 0 ? EXIT_FAILURE : r;
}
