/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>

#include "ctl/options.h"

/* Which options there are, what they mean, and which verbs take them: one table for parsing, checking and --help. */

Arguments arg;

typedef enum Kind {
        KIND_FLAG,
        KIND_STRING,
        KIND_NUMBER,
        KIND_JSON,
} Kind;

typedef struct Option {
        const char *name;
        char letter; /* 0: none */
        Kind kind;
        void *target;
        bool *set;         /* of a number */
        const char *verbs; /* with blanks around; NULL: all */
        const char *value, *help;
} Option;

/* clang-format off */
static const Option options[] = {
        { "help", 'h', KIND_FLAG, &arg.help, NULL, NULL, NULL, "show this help" },
        { "version", 0, KIND_FLAG, &arg.version, NULL, NULL, NULL, "show the version" },
        { "user", 0, KIND_FLAG, &arg.user, NULL, NULL, NULL, "connect to your own runner, not the system's" },
        { "host", 'H', KIND_STRING, &arg.host, NULL, NULL, "[USER@]HOST", "connect to the runner of another host, over ssh" },
        { "machine", 'M', KIND_STRING, &arg.machine, NULL, NULL, "CONTAINER", "connect to the runner in a local container" },
        { "json", 0, KIND_JSON, &arg.json, NULL, " status list show run permissions logs events reload top audit workspace ", "MODE", "JSON: short, pretty, off" },
        { "no-pager", 0, KIND_FLAG, &arg.no_pager, NULL, NULL, NULL, "do not use a pager" },
        { "no-legend", 0, KIND_FLAG, &arg.no_legend, NULL, NULL, NULL, "print no titles and no totals" },
        { "no-ask-password", 0, KIND_FLAG, &arg.no_ask_password, NULL, NULL, NULL, "never ask for a password" },
        { "agent", 'a', KIND_STRING, &arg.agent, NULL, " run ", "NAME", "run: the agent (shell)" },
        { "workspace", 'w', KIND_STRING, &arg.workspace, NULL, " run ", "ID", "run: the workspace" },
        { "directory", 'd', KIND_STRING, &arg.directory, NULL, " run ", "PATH", "run: working directory of the agent" },
        { "repository", 'r', KIND_STRING, &arg.repository, NULL, " run ", "URL", "run: repository to check out first" },
        { "branch", 'b', KIND_STRING, &arg.branch, NULL, " run ", "NAME", "run: branch of the repository" },
        { "model", 'm', KIND_STRING, &arg.model, NULL, " run ", "NAME", "run: the agent's model" },
        { "task", 0, KIND_STRING, &arg.task, NULL, " run ", "ID", "run: the task that it belongs to" },
        { "id", 0, KIND_STRING, &arg.id, NULL, " run ", "ID", "run: id of the conversation" },
        { "detach", 0, KIND_FLAG, &arg.detach, NULL, " run ", NULL, "run: print the id and exit" },
        { "reason", 0, KIND_STRING, &arg.reason, NULL, " stop ", "TEXT", "stop: reason to report" },
        { "grace", 0, KIND_NUMBER, &arg.grace_ms, &arg.grace_set, " stop ", "MS", "stop: time until processes are killed" },
        { "message", 0, KIND_STRING, &arg.message, NULL, " answer ", "TEXT", "answer: message to the agent" },
        { "all", 0, KIND_FLAG, &arg.all, NULL, " attach list permissions ", NULL, "attach, list, permissions: show everything" },
        { "cursor", 0, KIND_STRING, &arg.cursor, NULL, " events ", "CURSOR", "events: start at this event (end: from now)" },
        { "follow", 'f', KIND_FLAG, &arg.follow, NULL, " logs events ", NULL, "logs, events: wait for more" },
        { "set-aside", 0, KIND_FLAG, &arg.set_aside, NULL, " events ", NULL, "events: list those the orchestrator refused" },
        { "resend", 0, KIND_FLAG, &arg.resend, NULL, " events ", NULL, "events: with --set-aside, send them again" },
        { "lines", 'n', KIND_NUMBER, &arg.lines, &arg.lines_set, " logs audit top ", "N", "logs, audit: show N lines; top: repeat N times" },
        { "batch", 0, KIND_FLAG, &arg.batch, NULL, " top ", NULL, "top: print plain text, one update after the other" },
        { "delay", 0, KIND_NUMBER, &arg.delay, &arg.delay_set, " top ", "SECONDS", "top: time between two updates (2)" },
        { "wait", 0, KIND_FLAG, &arg.wait, NULL, " drain ", NULL, "drain: wait until all conversations have ended" },
        { "deadline", 0, KIND_NUMBER, &arg.deadline, &arg.deadline_set, " drain ", "SECONDS", "drain: stop remaining conversations then" },
        { "force", 0, KIND_FLAG, &arg.force, NULL, " workspace ", NULL, "workspace remove: discard unpushed work, too" },
        { "http", 0, KIND_FLAG, &arg.http, NULL, " metrics ", NULL, "metrics: answer one request on stdin" },
};
/* clang-format on */

static int set_option(const Option *o, const char *value) {
        switch (o->kind) {
        case KIND_FLAG:
                *(bool *) o->target = true;
                return 0;
        case KIND_STRING:
                *(const char **) o->target = value;
                return 0;
        case KIND_NUMBER:
                *o->set = true;
                if (safe_atou64(value, o->target) >= 0)
                        return 0;
                (void) fprintf(stderr, "northflarectl: --%s: \"%s\" is not a number\n", o->name, value);
                return -EINVAL;
        case KIND_JSON:
                break;
        }
        if (streq(value, "short") || streq(value, "pretty") || streq(value, "off")) {
                arg.json = streq(value, "short") ? JSON_SHORT :
                        streq(value, "pretty")   ? JSON_PRETTY :
                                                   JSON_OFF;
                return 0;
        }
        (void) fprintf(stderr, "northflarectl: --%s: \"%s\" is not short, pretty or off\n", o->name, value);
        return -EINVAL;
}

static bool given[ELEMENTSOF(options)];

static int parse_words(int argc, char *argv[]) {
        struct option longs[ELEMENTSOF(options) + 1] = {};
        char letters[2 * ELEMENTSOF(options) + 2] = "-";
        size_t n_letters = 1, n = 0;
        int c, index;

        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                const Option *o = options + i;

                longs[i] = (struct option){
                        o->name, o->kind == KIND_FLAG ? no_argument : required_argument, NULL, 0
                };
                if (!o->letter)
                        continue;
                letters[n_letters++] = o->letter;
                if (o->kind != KIND_FLAG)
                        letters[n_letters++] = ':';
        }
        optind = 1;
        while (index = -1, (c = getopt_long(argc, argv, letters, longs, &index)) >= 0) {
                if (c == '?')
                        return -EINVAL;
                if (c == 1) {
                        arg.words[n++] = optarg;
                        /* What comes behind the first word of a script belongs to it. */
                        if (n >= 2 && streq(arg.words[0], "run"))
                                break;
                        continue;
                }
                for (size_t i = 0; i < ELEMENTSOF(options) && index < 0; i++)
                        if (options[i].letter == c)
                                index = (int) i;
                given[index] = true;
                if (set_option(options + index, optarg) < 0)
                        return -EINVAL;
        }
        while (optind < argc)
                arg.words[n++] = argv[optind++];
        return 0;
}

int arguments_parse(int argc, char *argv[]) {
        arg.words = new0(char *, (size_t) argc + 1);
        if (!arg.words) {
                (void) fputs("northflarectl: out of memory\n", stderr);
                return -EINVAL;
        }
        if (parse_words(argc, argv) < 0)
                return -EINVAL;
        if (arg.host && arg.machine) {
                (void) fputs("northflarectl: --host and --machine cannot be combined\n", stderr);
                return -EINVAL;
        }
        if (arg.resend && !arg.set_aside) {
                (void) fputs("northflarectl: --resend needs --set-aside\n", stderr);
                return -EINVAL;
        }
        if (arg.set_aside && (arg.follow || arg.cursor)) {
                (void) fputs(
                        "northflarectl: --set-aside cannot be combined with --follow or --cursor\n", stderr);
                return -EINVAL;
        }
        return 0;
}

bool arguments_misplaced(const char *verb) {
        _cleanup_free_ char *word = xasprintf(" %s ", verb);

        for (size_t i = 0; word && i < ELEMENTSOF(options); i++)
                if (given[i] && options[i].verbs && !strstr(options[i].verbs, word)) {
                        (void) fprintf(
                                stderr,
                                "northflarectl: --%s cannot be used with %s\n",
                                options[i].name,
                                verb);
                        return true;
                }
        return false;
}

void arguments_help_options(void) {
        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                const Option *o = options + i;
                char left[64], letter[8] = "   ";

                if (o->letter)
                        (void) snprintf(letter, sizeof(letter), "-%c,", o->letter);
                (void) snprintf(
                        left,
                        sizeof(left),
                        "%s --%s%s%s",
                        letter,
                        o->name,
                        o->value ? "=" : "",
                        strempty(o->value));
                (void) printf("  %-26s %s\n", left, o->help);
        }
}
