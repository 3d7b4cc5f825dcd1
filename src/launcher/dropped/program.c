/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/ident.h"
#include "launcher/dropped/agent-half.h"
#include "launcher/dropped/program.h"

/* A copy of s with every {private} replaced. */
static char *expand(const char *s, const char *tmp) {
        _cleanup_buffer_ Buffer out = {};

        for (const char *p; (p = strstr(s, "{private}")); s = p + strlen("{private}"))
                (void) buffer_printf(&out, "%.*s%s/private", (int) (p - s), s, tmp);
        (void) buffer_append_str(&out, s);
        return buffer_steal(&out);
}

char **request_argv(const Request *r, const Arguments *a, const Place *place) {
        _cleanup_strv_free_ char **v = NULL;
        char *const *from = a->argv;

        if (r->kind == SCOPE_GIT) {
                if (strv_extend(&v, NF_LIBEXECDIR "/northflare-git") < 0)
                        return NULL;
                if (from && *from)
                        from++;
        }
        STRV_FOREACH(s, from)
                if (strv_consume(&v, expand(*s, place->tmp)) < 0)
                        return NULL;
        return TAKE_PTR(v);
}

char **request_environment(const Request *r, const Arguments *a, const Place *place) {
        const char *const own[] = {
                "PATH=",    "/usr/local/bin:/usr/bin:/bin",
                "USER=",    place->user,
                "LOGNAME=", place->user,
                "SHELL=",   place->shell,
                "HOME=",    place->home,
                "TMPDIR=",  place->tmp,
                "LANG=",    strv_env_get(a->env, "LANG") ? NULL : "C.UTF-8",
        };
        _cleanup_strv_free_ char **v = NULL;

        for (size_t i = 0; i < ELEMENTSOF(own); i += 2)
                if (own[i + 1] && strv_consume(&v, xasprintf("%s%s", own[i], own[i + 1])) < 0)
                        return NULL;
        STRV_FOREACH(s, a->env)
                if (strv_extend(&v, *s) < 0)
                        return NULL;
        if (r->kind != SCOPE_AGENT && r->n_extra > 0 &&
            strv_consume(&v, xasprintf("NORTHFLARE_FDS=%u", r->n_extra)) < 0)
                return NULL;
        return TAKE_PTR(v);
}

void program_run(const Request *r, const User *user, bool make_base, const int extra[], int control) {
        char key[WORKSPACE_KEY_SIZE], run[IDENT_MAX + 16] = "";
        AgentPlan plan = {
                .base = user->home,
                .make_base = make_base,
                .tmp = run,
                .private_fd = r->kind == SCOPE_AGENT && r->n_extra > 0 ? extra[0] : -EBADF,
                .n_extra = r->kind == SCOPE_AGENT ? 0 : r->n_extra,
        };
        Place place = { .user = user->name, .home = user->home, .tmp = "/tmp" };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Arguments a = {};

        if (!privileges_are_dropped())
                _exit(126);
        /* As they were checked: it is the same message. */
        if (arguments_read(r->call, &a, &e) < 0)
                _exit(EXIT_FAILURE);
        plan.cwd = a.cwd;
        place.shell = access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh";
        memcpy(plan.extra, extra, plan.n_extra * sizeof(int));
        if (r->kind != SCOPE_GIT) {
                workspace_key(r->workspace, key);
                (void) snprintf(run, sizeof(run), "%s-%" PRIu32, r->id, r->run);
                plan.key = key;
                place.home = xasprintf("%s/%s/home", user->home, key);
                place.tmp = xasprintf("%s/%s/tmp/%s", user->home, key, run);
        }
        plan.argv = place.tmp ? request_argv(r, &a, &place) : NULL;
        plan.envp = place.home ? request_environment(r, &a, &place) : NULL;
        if (!plan.argv || !plan.envp)
                _exit(EXIT_FAILURE);
        agent_half_run(&plan, control);
}

/* The runner enforces the time limit of a run. While no runner is there, the supervisor ends the run, somewhat later: in a
 * frozen scope its clock is stopped, whereas that of systemd continues. 0: there is no such limit. */
static uint64_t backstop(const Limits *l) {
        uint64_t limit = l->value[LIMIT_RUNTIME_MAX];

        return limit > 0 ? limit + MAX(MIN(limit / 4, 60 * USEC_PER_SEC), 5 * USEC_PER_SEC) : 0;
}

void supervisor_exec(const Limits *limits, pid_t agent, uint64_t out_log_max, int control, int dirfd) {
        char numbers[3][24];
        char *envp[] = { NULL },
             *argv[] = { (char *) "northflare-supervisor", numbers[0], numbers[1], numbers[2], NULL };

        (void) snprintf(numbers[0], sizeof(numbers[0]), "%d", (int) agent);
        (void) snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, out_log_max);
        (void) snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, backstop(limits));
        if (!privileges_are_dropped()) {
                errno = EPERM;
                return;
        }
        /* Both lie above 4 or are there already. */
        if (dup2(dirfd, 4) < 0 || dup2(control, 3) < 0 || close_range(5, ~0U, 0) < 0)
                return;
        (void) execve(NF_LIBEXECDIR "/northflare-supervisor", argv, envp);
}
