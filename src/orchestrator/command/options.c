/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>

#include "orchestrator/command/options.h"
#include "orchestrator/wire/json-members.h"

#define PROGRAM "northflare-orchestrator"

typedef enum Kind {
        KIND_FLAG,
        KIND_STRING,
        KIND_NUMBER,
        KIND_PARAMS,
} Kind;

static const struct {
        char group; /* which verbs take it: see Verb.options; '*': all */
        const char *name;
        char letter;
        Kind kind;
        const char *argument;
        size_t offset;
        const char *help;
} table[] = {
#define O(member) offsetof(Options, member)
        { '*', "help", 'h', KIND_FLAG, NULL, O(help), "show this help" },
        { '*', "version", 0, KIND_FLAG, NULL, O(version), "show the version" },
        { 'c', "socket", 0, KIND_STRING, "PATH", O(socket), "administration socket of the orchestrator" },
        { 'c', "json", 'j', KIND_FLAG, NULL, O(json), "print JSON" },
        { 's', "listen", 0, KIND_STRING, "ADDRESS:PORT", O(listen), "loopback address to serve runners on" },
        { 's',
          "admin-socket",
          0,
          KIND_STRING,
          "PATH",
          O(admin_socket),
          "unix socket to serve administration on" },
        { 's', "data-dir", 0, KIND_STRING, "DIR", O(data_dir), "where the state is kept" },
        { 's', "max-body", 0, KIND_NUMBER, "MIB", O(max_body_mib), "largest request of a runner (24)" },
        { 's',
          "dead-after",
          0,
          KIND_NUMBER,
          "SECS",
          O(dead_after_sec),
          "silence after which a runner is dead (300)" },
        { 's',
          "keep-days",
          0,
          KIND_NUMBER,
          "DAYS",
          O(keep_days),
          "how long ended conversations are kept (30)" },
        { 's',
          "heartbeat",
          0,
          KIND_NUMBER,
          "SECS",
          O(heartbeat_sec),
          "interval between heartbeats of runners" },
        { 's', "log-level", 0, KIND_STRING, "LEVEL", O(log_level), "debug, info, notice, warning, err" },
        { 'n', "name", 0, KIND_STRING, "NAME", O(name), "name of the token" },
        { 'b', "id", 0, KIND_STRING, "ID", O(id), "id of the conversation (default: a new one)" },
        { 'b', "agent", 0, KIND_STRING, "NAME", O(agent), "agent: claude, codex, shell, …" },
        { 'b', "workspace", 0, KIND_STRING, "ID", O(workspace), "workspace" },
        { 'b', "task", 0, KIND_STRING, "ID", O(task), "task" },
        { 'b', "repository", 0, KIND_STRING, "URL", O(repository), "git repository to check out" },
        { 'b', "branch", 0, KIND_STRING, "NAME", O(branch), "branch to work on" },
        { 'b', "base-branch", 0, KIND_STRING, "NAME", O(base_branch), "branch to start from" },
        { 'b', "commit", 0, KIND_STRING, "HASH", O(commit), "commit to start from" },
        { 'p', "prompt", 0, KIND_STRING, "TEXT", O(prompt), "first message" },
        { 'm', "model", 0, KIND_STRING, "NAME", O(model), "model" },
        { 'm', "permission-mode", 0, KIND_STRING, "MODE", O(permission_mode), "permission mode" },
        { 't', "token", 0, KIND_STRING, "ID", O(token), "work for the runners of this token (id or name)" },
        { 'r', "runner", 0, KIND_STRING, "UID", O(runner), "send it to this runner" },
        { 'r',
          "conversation",
          0,
          KIND_STRING,
          "ID",
          O(conversation),
          "send it to the owner of this conversation" },
        { 'r', "notification", 0, KIND_FLAG, NULL, O(notification), "do not request an answer" },
        { 'a', "request", 0, KIND_STRING, "ID", O(request), "the question (default: the oldest open one)" },
        { 'a', "message", 0, KIND_STRING, "TEXT", O(message), "message to the agent" },
        { 'q', "reason", 0, KIND_STRING, "TEXT", O(reason), "reason to report" },
        { 'q', "grace-ms", 0, KIND_NUMBER, "MS", O(grace_msec), "time until processes are killed" },
        { 'x', "param", 0, KIND_PARAMS, "JSON", O(params), "object of further params; may be repeated" },
        { 'w', "wait", 'w', KIND_FLAG, NULL, O(wait), "wait for the runner's answer" },
        { 'w', "timeout", 0, KIND_NUMBER, "SECS", O(timeout_sec), "how long to wait (60)" },
        { 'f', "follow", 'f', KIND_FLAG, NULL, O(follow), "wait for new events" },
        { 'f', "since", 0, KIND_NUMBER, "N", O(since), "start after the event with this number" },
        { 'l', "all", 'a', KIND_FLAG, NULL, O(all), "list those that have ended, too" },
        { 'o', "force", 0, KIND_FLAG, NULL, O(force), "even if its runner is connected" },
#undef O
};

#define FIRST_VALUE 256

void options_done(Options *o) {
        if (o->params)
                json_object_put(o->params);
        o->params = NULL;
}

static int usage(const char *format, const char *what) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) fprintf(stderr, format, what);
#pragma GCC diagnostic pop
        (void) fprintf(stderr, "\nTry '" PROGRAM " --help'.\n");
        return EXIT_USAGE;
}

static int add_params(Options *o, const char *text) {
        _cleanup_json_ Json *more = NULL;
        _cleanup_free_ char *error = NULL;

        if (json_parse_small(text, strlen(text), &more, &error) < 0)
                return usage("--param: %s.", strempty(error));
        if (!json_object_is_type(more, json_type_object))
                return usage("--param: not an object: %s.", text);
        if (!o->params)
                o->params = json_object_new_object();
        json_object_object_foreach(more, key, value)
                if (json_object_object_add(o->params, key, json_object_get(value)) < 0)
                        return usage("%s", "Out of memory.");
        return 0;
}

static int set_option(Options *o, size_t i, const char *value) {
        void *p = (char *) o + table[i].offset;

        switch (table[i].kind) {
        case KIND_FLAG:
                *(bool *) p = true;
                return 0;
        case KIND_STRING:
                *(const char **) p = value;
                return 0;
        case KIND_NUMBER:
                return safe_atou64(value, p) < 0 ? usage("Not a number: %s.", value) : 0;
        default:
                return add_params(o, value);
        }
}

/* Which entry getopt means; ELEMENTSOF(table) for none. */
static size_t entry_of(int c) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (c == FIRST_VALUE + (int) i || (table[i].letter && c == table[i].letter))
                        return i;
        return ELEMENTSOF(table);
}

static const Verb *find_verb(const Verb *verbs, size_t n, char *const *words, unsigned *ret_used) {
        for (size_t i = 0; i < n; i++)
                if (words[0] && words[1] && verbs[i].name && streq(verbs[i].group, words[0]) &&
                    streq(verbs[i].name, words[1])) {
                        *ret_used = 2;
                        return &verbs[i];
                }
        for (size_t i = 0; i < n; i++)
                if (words[0] && !verbs[i].name && streq(verbs[i].group, words[0])) {
                        *ret_used = 1;
                        return &verbs[i];
                }
        return NULL;
}

static bool takes(const Verb *v, size_t i) {
        return table[i].group == '*' || strchr(v->options, table[i].group);
}

static int check_args(const Verb *v, char *const *args) {
        size_t n = strv_length(args);

        if (n < v->min_args)
                return usage("Too few arguments; expected: %s.", v->arguments);
        if (n > v->max_args)
                return usage("Too many arguments: %s.", args[v->max_args]);
        return 0;
}

int options_parse(
        int argc,
        char **argv,
        const Verb *verbs,
        size_t n_verbs,
        Options *ret,
        const Verb **ret_verb,
        char ***ret_args) {
        struct option options[ELEMENTSOF(table) + 1] = {};
        bool given[ELEMENTSOF(table)] = {};
        char letters[ELEMENTSOF(table) + 1] = "";
        unsigned used = 0, n_letters = 0;
        int c, r;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                int has = table[i].kind == KIND_FLAG ? no_argument : required_argument;

                options[i] = (struct option){ table[i].name, has, NULL, FIRST_VALUE + (int) i };
                if (table[i].letter) /* only flags have one */
                        letters[n_letters++] = table[i].letter;
        }
        *ret_verb = NULL;
        while ((c = getopt_long(argc, argv, letters, options, NULL)) >= 0) {
                size_t i = entry_of(c);

                if (i >= ELEMENTSOF(table))
                        return usage("%s", "");
                given[i] = true;
                r = set_option(ret, i, optarg);
                if (r != 0)
                        return r;
        }
        char **words = argv + optind;
        const Verb *v = find_verb(verbs, n_verbs, words, &used);
        *ret_verb = v;
        if (ret->help || ret->version)
                return 0;
        if (!v)
                return words[0] ? usage("Unknown verb %s.", words[0]) : usage("%s", "A verb is missing.");
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (given[i] && !takes(v, i))
                        return usage("--%s cannot be used with this verb.", table[i].name);
        r = check_args(v, words + used);
        if (r != 0)
                return r;
        *ret_args = words + used;
        return 0;
}

static void print_options(const Verb *v) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char left[64];

                if (v ? !takes(v, i) : table[i].group != '*' && table[i].group != 'c')
                        continue;
                char letter[8] = "   ";
                if (table[i].letter)
                        (void) snprintf(letter, sizeof(letter), "-%c ", table[i].letter);
                (void) snprintf(
                        left,
                        sizeof(left),
                        "%s--%s%s%s",
                        letter,
                        table[i].name,
                        table[i].argument ? " " : "",
                        strempty(table[i].argument));
                (void) printf("  %-28s %s\n", left, table[i].help);
        }
}

void options_help(const Verb *verbs, size_t n_verbs, const Verb *verb) {
        if (verb) {
                (void) printf(
                        PROGRAM " %s%s%s %s\n\n%s.\n\nOptions:\n",
                        verb->group,
                        verb->name ? " " : "",
                        strempty(verb->name),
                        verb->arguments,
                        verb->summary);
                print_options(verb);
                return;
        }
        (void) printf(
                PROGRAM
                " VERB [ARGUMENTS] [OPTIONS]\n\nThe bundled orchestrator of Northflare Runner.\n\nVerbs:\n");
        for (size_t i = 0; i < n_verbs; i++) {
                char left[64];

                (void) snprintf(
                        left,
                        sizeof(left),
                        "%s%s%s %s",
                        verbs[i].group,
                        verbs[i].name ? " " : "",
                        strempty(verbs[i].name),
                        verbs[i].arguments);
                if (strlen(left) > 34)
                        (void) printf("  %s\n  %-34s %s\n", left, "", verbs[i].summary);
                else
                        (void) printf("  %-34s %s\n", left, verbs[i].summary);
        }
        (void) printf("\nOptions of most verbs; 'VERB --help' shows the rest:\n");
        print_options(NULL);
}
