/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/polkit-agent.h"
#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/events.h"
#include "ctl/verb/run.h"

static int usage(const char *what, const char *word) {
        (void) fprintf(stderr, "northflarectl: %s %s (see northflarectl --help)\n", what, word);
        return EXIT_USAGE;
}

static int dispatch(void) {
        static char *by_default[] = { (char *) "status", NULL };
        char **words = arg.words[0] ? arg.words : by_default;
        const Verb *v;
        size_t n = strv_length(words) - 1, least, most;
        int status;

        for (v = verbs; v->name && !streq(v->name, words[0]);)
                v++;
        if (!v->name)
                return usage("unknown verb", words[0]);
        least = v->min_words;
        most = v->max_words;
        /* That list is of the runner, not of a conversation. */
        if (v->run == verb_events && arg.set_aside)
                least = most = 0;
        if (n < least)
                return usage("too few arguments for", v->name);
        if (n > most)
                return usage("too many arguments for", v->name);
        if (arguments_misplaced(v->name))
                return EXIT_USAGE;
        if (!v->own_bus) {
                status = connect_bus();
                if (status != EXIT_OK)
                        return v->run == verb_run ? EXIT_RUN_FAILED : status;
        }
        status = v->run(words);
        pager_close();
        polkit_agent_close();
        disconnect_bus();
        return status;
}

int main(int argc, char *argv[]) {
        int status;

        (void) setlocale(LC_CTYPE, "");
        terminal_open();
        if (arguments_parse(argc, argv) < 0)
                status = EXIT_USAGE;
        else if (arg.help) {
                arguments_help();
                status = EXIT_OK;
        } else if (arg.version) {
                (void) puts("northflarectl " PROJECT_VERSION);
                status = EXIT_OK;
        } else
                status = dispatch();
        free(arg.words);
        if (fflush(stdout) == EOF && status == EXIT_OK)
                status = EXIT_FAILED;
        return status;
}
