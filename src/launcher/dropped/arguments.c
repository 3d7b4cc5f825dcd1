/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/stat.h>

#include "launcher/dropped/answer.h"
#include "launcher/dropped/arguments.h"

#define invalid(e, ...) sd_bus_error_setf((e), ERROR_INVALID_ARGUMENT, __VA_ARGS__)

void arguments_done(Arguments *a) {
        a->argv = strv_free(a->argv);
        a->env = strv_free(a->env);
}

int argv_add(char ***argv, const char *s, sd_bus_error *e) {
        if (strv_length(*argv) >= REQUEST_STRINGS_MAX)
                return invalid(e, "argv: more than %u strings.", REQUEST_STRINGS_MAX);
        return strv_extend(argv, s);
}

int environment_add(char ***env, const char *name, const char *value, sd_bus_error *e) {
        /* Set here for every program, or of use only to take it over before it begins. */
        static const char *const own[] = {
                "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "NORTHFLARE_FDS", NULL,
        };
        static const char characters[] = "0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        if (strv_length(*env) >= REQUEST_STRINGS_MAX)
                return invalid(e, "env: more than %u strings.", REQUEST_STRINGS_MAX);
        if (!*name || name[strspn(name, characters)] || strspn(name, "0123456789") > 0)
                return invalid(e, "env: invalid name of a variable.");
        if (startswith(name, "LD_") || strv_contains((char *const *) own, name))
                return invalid(e, "env: %.64s must not be set by the caller.", name);
        if (strv_env_get(*env, name))
                return invalid(e, "env: %.64s is given twice.", name);
        return strv_consume(env, xasprintf("%s=%s", name, value));
}

static int read_environment(sd_bus_message *m, char ***env, sd_bus_error *e) {
        const char *name, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &name, &value)) > 0)
                r = environment_add(env, name, value, e);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* sd_bus_message_read_strv() would first read all, in a time that grows with the square of their number. */
static int read_argv(sd_bus_message *m, char ***argv, sd_bus_error *e) {
        const char *s;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &s)) > 0)
                r = argv_add(argv, s, e);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int arguments_read(sd_bus_message *m, Arguments *ret, sd_bus_error *e) {
        int r;

        if ((r = sd_bus_message_rewind(m, true)) < 0 || (r = sd_bus_message_skip(m, "ssus")) < 0 ||
            (r = read_argv(m, &ret->argv, e)) < 0 || (r = read_environment(m, &ret->env, e)) < 0)
                return r;
        return sd_bus_message_read(m, "s", &ret->cwd);
}

static int check_strings(const Arguments *a, const Request *r, sd_bus_error *e) {
        size_t bytes = 0;

        STRV_FOREACH(s, a->argv) {
                bytes += strlen(*s) + 1;
                if (strstr(*s, "{private}") && (r->kind != SCOPE_AGENT || r->n_extra == 0))
                        return invalid(e, "argv: {private} without a descriptor for it.");
        }
        STRV_FOREACH(s, a->env)
                bytes += strlen(*s) + 1;
        if (bytes > REQUEST_BYTES_MAX)
                return invalid(e, "argv and env: more than %u bytes.", REQUEST_BYTES_MAX);
        if (r->kind != SCOPE_GIT && (!a->argv || !a->argv[0] || a->argv[0][0] != '/'))
                return invalid(e, "argv: the program's path is not absolute.");
        return 0;
}

static int check_descriptors(const Request *r, uid_t owner, sd_bus_error *e) {
        bool agent = r->kind == SCOPE_AGENT;
        struct stat st;

        if (fstat(r->dirfd, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != owner ||
            (st.st_mode & 07777) != 0700)
                return invalid(e, "dirfd: not a directory of the caller with mode 0700.");
        if (r->n_extra > (agent ? 1U : REQUEST_EXTRA_MAX))
                return invalid(e, "extra: more descriptors than this kind accepts.");
        for (unsigned i = 0; i < r->n_extra; i++) {
                if (fstat(r->extra[i], &st) < 0 ||
                    !(S_ISREG(st.st_mode) || (!agent && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))))
                        return invalid(e, "extra: descriptor %u is of a type that is not accepted.", i);
                if (agent && st.st_size > (off_t) REQUEST_PRIVATE_MAX)
                        return invalid(e, "extra: longer than %u bytes.", REQUEST_PRIVATE_MAX);
        }
        return 0;
}

int arguments_check(const Arguments *a, const Request *r, uid_t owner, sd_bus_error *e) {
        int k;

        if (a->cwd[0] == '/' ? strlen(a->cwd) >= 4096 : !path_is_below(a->cwd))
                return invalid(e, "cwd: neither an absolute path nor one below the workspace.");
        k = check_strings(a, r, e);
        return k < 0 ? k : check_descriptors(r, owner, e);
}

void arguments_answer(const void *request, const int fds[], pid_t parent) {
        Request r = *(const Request *) request;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Answer answer = {};
        Arguments a = {};

        answer_begin(parent);
        r.dirfd = fds[1];
        memcpy(r.extra, fds + 2, r.n_extra * sizeof(int));
        answer.r = arguments_read(r.call, &a, &e);
        if (answer.r >= 0)
                answer.r = arguments_check(&a, &r, geteuid(), &e);
        answer.r = MIN(answer.r, 0);
        (void) snprintf(answer.error, sizeof(answer.error), "%s", strempty(e.message));
        answer_end(fds[0], &answer, sizeof(answer));
}
