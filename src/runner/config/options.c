/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>

#include "runner/config/config-keys.h"
#include "runner/config/options.h"

void options_help(void) {
        (void) puts("northflare-runner [OPTIONS] COMMAND\n"
                    "\n"
                    "Run coding agents for an orchestrator, each in a systemd scope of its own.\n"
                    "\n"
                    "Commands:\n"
                    "  start                      Run until stopped, as the service does\n"
                    "  config                     Show each setting with its value and origin\n"
                    "\n"
                    "Options:\n"
                    "  -c --config FILE           Configuration [/etc/northflare/runner.json]\n"
                    "     --retry-strategy WHICH  First registration: none, interval, exponential\n"
                    "     --retry-interval-secs N Seconds between attempts (interval) [60]\n"
                    "     --retry-duration-secs N Seconds in all (exponential) [900]\n"
                    "     --data-dir DIR          Directory of the state [/var/lib/northflare]\n"
                    "     --heartbeat-interval MS Milliseconds between heartbeats [120000]\n"
                    "     --workspace-dir DIR     Working directory of agents that have no other\n"
                    "     --user                  Run for the calling user, without root\n"
                    "     --json                  config: print JSON\n"
                    "     --debug                 Log debug messages as well\n"
                    "  -V --version               Show the version\n"
                    "  -h --help                  Show this text\n"
                    "\n"
                    "See northflare-runner(8) and northflare-runner.json(5).");
}

enum {
        ARG_RETRY_STRATEGY = 0x100,
        ARG_RETRY_INTERVAL,
        ARG_RETRY_DURATION,
        ARG_DATA_DIR,
        ARG_HEARTBEAT,
        ARG_WORKSPACE_DIR,
        ARG_USER,
        ARG_JSON,
        ARG_DEBUG,
};

const struct option options_long[] = {
        { "config", required_argument, NULL, 'c' },
        { "retry-strategy", required_argument, NULL, ARG_RETRY_STRATEGY },
        { "retry-interval-secs", required_argument, NULL, ARG_RETRY_INTERVAL },
        { "retry-duration-secs", required_argument, NULL, ARG_RETRY_DURATION },
        { "data-dir", required_argument, NULL, ARG_DATA_DIR },
        { "heartbeat-interval", required_argument, NULL, ARG_HEARTBEAT },
        { "workspace-dir", required_argument, NULL, ARG_WORKSPACE_DIR },
        { "user", no_argument, NULL, ARG_USER },
        { "json", no_argument, NULL, ARG_JSON },
        { "debug", no_argument, NULL, ARG_DEBUG },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        {},
};

static int bad(const char *option, const char *text) {
        (void) fprintf(stderr, "northflare-runner: %s%s%s\n", strempty(option), option ? ": " : "", text);
        return -EINVAL;
}

/* The bounds are those of the key that the option stands for. */
static int parse_number(const char *option, const char *key_name, uint64_t *ret, bool *ret_set) {
        const ConfigKey *key = config_key_by_name(key_name);
        _cleanup_free_ char *text = NULL;

        if (safe_atou64(optarg, ret) < 0 || *ret < key->min || *ret > key->max) {
                text = xasprintf(
                        "\"%.32s\" is not a whole number from %llu to %llu",
                        optarg,
                        (unsigned long long) key->min,
                        (unsigned long long) key->max);
                return bad(option, text ? text : "invalid number");
        }
        *ret_set = true;
        return 0;
}

static int parse_strategy(RunnerOptions *o) {
        const ConfigKey *key = config_key_by_name("retryStrategy");

        STRV_FOREACH(c, key->choices)
                if (streq(*c, optarg)) {
                        o->retry_strategy = *c;
                        return 0;
                }
        return bad("--retry-strategy", "must be none, interval or exponential");
}

static int parse_dir(const char *option, const char **ret) {
        if (isempty(optarg))
                return bad(option, "must not be empty");
        *ret = optarg;
        return 0;
}

static int parse_one(int c, RunnerOptions *o) {
        switch (c) {
        case 'c':
                return parse_dir("--config", &o->config_file);
        case ARG_RETRY_STRATEGY:
                return parse_strategy(o);
        case ARG_RETRY_INTERVAL:
                return parse_number(
                        "--retry-interval-secs",
                        "retryIntervalSecs",
                        &o->retry_interval_secs,
                        &o->retry_interval_set);
        case ARG_RETRY_DURATION:
                return parse_number(
                        "--retry-duration-secs",
                        "retryDurationSecs",
                        &o->retry_duration_secs,
                        &o->retry_duration_set);
        case ARG_DATA_DIR:
                return parse_dir("--data-dir", &o->data_dir);
        case ARG_HEARTBEAT:
                return parse_number(
                        "--heartbeat-interval", "heartbeatIntervalMs", &o->heartbeat_ms, &o->heartbeat_set);
        case ARG_WORKSPACE_DIR:
                return parse_dir("--workspace-dir", &o->workspace_dir);
        case ARG_USER:
                o->user = true;
                return 0;
        case ARG_JSON:
                o->json = true;
                return 0;
        case ARG_DEBUG:
                o->debug = true;
                return 0;
        default:
                /* getopt has said which option. */
                return -EINVAL;
        }
}

static int parse_command(int argc, char *argv[], RunnerOptions *o) {
        if (optind >= argc)
                return bad(NULL, "a command is missing: start or config (see --help)");
        if (streq(argv[optind], "start"))
                o->command = COMMAND_START;
        else if (streq(argv[optind], "config"))
                o->command = COMMAND_CONFIG;
        else
                return bad(argv[optind], "unknown command, must be start or config");
        if (optind + 1 < argc)
                return bad(argv[optind + 1], "unexpected argument");
        if (o->json && o->command != COMMAND_CONFIG)
                return bad("--json", "is supported by the command config only");
        return 0;
}

int options_parse(int argc, char *argv[], RunnerOptions *ret) {
        RunnerOptions o = {};
        int c, r;

        /* 0 and not 1: a second call starts again. */
        optind = 0;
        while ((c = getopt_long(argc, argv, "c:Vh", options_long, NULL)) >= 0) {
                if (c == 'h' || c == 'V') {
                        *ret = (RunnerOptions){ .command = c == 'h' ? COMMAND_HELP : COMMAND_VERSION };
                        return 0;
                }
                r = parse_one(c, &o);
                if (r < 0)
                        return r;
        }
        r = parse_command(argc, argv, &o);
        if (r < 0)
                return r;
        *ret = o;
        return 0;
}
