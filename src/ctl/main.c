/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <locale.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal.h"

static const Verb verbs[] = {
        {"status",        0, 0,        verb_status      },
        { "list",         0, 0,        verb_list        },
        { "show",         1, UINT_MAX, verb_show        },
        { "run",          1, UINT_MAX, verb_run         },
        { "send",         2, UINT_MAX, verb_send        },
        { "attach",       1, 1,        verb_attach      },
        { "interrupt",    1, UINT_MAX, verb_interrupt   },
        { "stop",         1, UINT_MAX, verb_stop        },
        { "freeze",       1, UINT_MAX, verb_freeze      },
        { "thaw",         1, UINT_MAX, verb_freeze      },
        { "set-property", 2, UINT_MAX, verb_set_property},
        { "logs",         0, 1,        verb_logs        },
        { "events",       1, 1,        verb_events      },
        { "permissions",  0, UINT_MAX, verb_permissions },
        { "answer",       2, 3,        verb_answer      },
        { "audit",        0, 1,        verb_audit       },
        { "drain",        0, 0,        verb_drain       },
        { "undrain",      0, 0,        verb_drain       },
        { "reload",       0, 0,        verb_reload      },
};

static int usage(const char *what, const char *word) {
        (void) fprintf(stderr, "northflarectl: %s %s (see northflarectl --help)\n", what, word);
        return EXIT_USAGE;
}

static int dispatch(void) {
        static char *by_default[] = { (char *) "status", NULL };
        char **words = arg.words[0] ? arg.words : by_default;
        const Verb *v = NULL;
        size_t n = strv_length(words) - 1, least, most;
        int status;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(verbs[i].name, words[0]))
                        v = verbs + i;
        if (!v)
                return usage("there is no verb", words[0]);
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
        /* The journal is read without the bus. */
        if (v->run != verb_logs) {
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
