/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-event.h>

#include "common/log.h"
#include "runner/config/config.h"
#include "runner/runner.h"

/* Larger blocks are mappings of their own, which the kernel has back as soon as they are freed, whatever lies beside them.
 * glibc would raise its threshold to the size of what it frees. Smaller ones come and go all the time: their place is kept. */
#define HEAP_BLOCK_MAX (1024 * 1024)

static int run(const RunnerOptions *options, RunnerConfig *config) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(runner_freep) Runner *runner = NULL;
        int r;

        r = sd_event_default(&event);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r < 0)
                return log_error_errno(r, "No event loop: %m");
        r = runner_new(event, options, config, &runner);
        if (r < 0)
                return log_oom();
        r = runner_start(runner);
        if (r < 0)
                return r;
        log_set_stream(-1);
        r = sd_event_loop(event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");
        return runner_exit_code(runner) != 0 ? runner_exit_code(runner) : r;
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
