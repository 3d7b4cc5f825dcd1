/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>

#include "claude-entry/words.h"

/* The first program of a conversation with Claude Code, as the agent's user and in its working directory. Claude runs
 * there with the settings of the repository left out, and that leaves out what the repository says too: this program hands
 * it over, as a directory of its own with one file, and becomes Claude. */

#define FLAG_DIRECTORY "--add-dir="
/* Makes Claude Code read the CLAUDE.md of such a directory. */
#define VARIABLE "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD"

typedef struct Entry {
        const char *below;
        const char *files[WORDS_FILES_MAX];
        unsigned n_files;
        char **argv; /* of the program to become */
        int argc;
} Entry;

static int fail(int error, const char *what) {
        fprintf(stderr, "Failed to %s: %s\n", what, strerrordesc_np(-error));
        return EXIT_FAILURE;
}

static int help(void) {
        printf("%s [OPTIONS...] -- PROGRAM [ARGUMENT...]\n\n"
               "Becomes Claude Code, with what the repository in the working directory says.\n\n"
               "  -h --help             Show this help and exit\n"
               "     --version          Show the version and exit\n"
               "     --below=DIRECTORY  Refuse to run outside of this directory\n"
               "     --quote=FILE       Hand this file of the repository over\n",
               program_invocation_short_name);
        return 0;
}

/* Returns 1 to continue, 0 to exit, or -EINVAL after a message. */
static int parse_argv(int argc, char *argv[], Entry *ret) {
        enum {
                ARG_VERSION = 256,
                ARG_BELOW,
                ARG_QUOTE,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "below", required_argument, NULL, ARG_BELOW },
                { "quote", required_argument, NULL, ARG_QUOTE },
                {},
        };
        Entry e = {};
        int c;

        while ((c = getopt_long(argc, argv, "+h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        puts(PROJECT_VERSION);
                        return 0;
                case ARG_BELOW:
                        e.below = optarg;
                        break;
                case ARG_QUOTE:
                        if (e.n_files == WORDS_FILES_MAX) {
                                fprintf(stderr, "Too many files, the maximum is %d.\n", WORDS_FILES_MAX);
                                return -EINVAL;
                        }
                        e.files[e.n_files++] = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind == argc) {
                fprintf(stderr, "The program to execute is missing.\n");
                return -EINVAL;
        }
        e.argv = argv + optind;
        e.argc = argc - optind;
        *ret = e;
        return 1;
}

/* The path that a directory is trusted by is text. Where a link in it leads elsewhere, so does the trust. */
static int check_below(const char *below) {
        _cleanup_free_ char *root = realpath(below, NULL), *cwd = getcwd(NULL, 0);
        size_t n = root ? strlen(root) : 0;

        if (root && cwd && strncmp(cwd, root, n) == 0 && (cwd[n] == '/' || cwd[n] == 0 || n == 1))
                return 0;
        fprintf(stderr,
                "The working directory %s is not below %s, by which it is trusted: a link leads out of it.\n",
                strempty(cwd),
                below);
        return -EPERM;
}

/* Returns 1 and the directory to be read, or 0 where there is nothing to say. */
static int hand_over(const Entry *e, char **ret_directory) {
        _cleanup_(words_done) Words words = {};
        _cleanup_close_ int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *tmp = getenv("TMPDIR");
        int r;

        if (cwd < 0)
                return -errno;
        for (unsigned i = 0; i < e->n_files; i++)
                if ((r = words_add(&words, cwd, e->files[i])) < 0)
                        return r;
        if (words.text.failed)
                return -ENOMEM;
        if (words.text.size == 0)
                return 0;
        if (!tmp || *tmp != '/')
                return -ENOENT;
        r = words_write(&words, tmp, ret_directory);
        return r < 0 ? r : 1;
}

int main(int argc, char *argv[]) {
        _cleanup_free_ char *directory = NULL, *flag = NULL;
        _cleanup_free_ char **program = NULL;
        Entry e;
        int r;

        r = parse_argv(argc, argv, &e);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (e.below && check_below(e.below) < 0)
                return EXIT_FAILURE;
        r = e.n_files > 0 ? hand_over(&e, &directory) : 0;
        if (r < 0)
                return fail(r, "hand over what the repository says");
        program = new0(char *, (size_t) e.argc + 2);
        if (!program)
                return fail(-ENOMEM, "begin");
        memcpy(program, e.argv, (size_t) e.argc * sizeof(char *));
        if (r > 0) {
                flag = xasprintf(FLAG_DIRECTORY "%s", directory);
                if (!flag || setenv(VARIABLE, "1", true) < 0)
                        return fail(-ENOMEM, "begin");
                program[e.argc] = flag;
        }
        (void) execv(program[0], program);
        return fail(-errno, program[0]);
}
