/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/mman.h>

#include "common/fileio.h"
#include "common/log.h"
#include "common/scope-name.h"
#include "runner/limits/limits.h"
#include "runner/run/run-input.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-start.h"
#include "runner/scope/run-directory.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"
#include "runner/store/transaction.h"

#define START_ATTEMPTS_MAX 10

void run_start_done(RunStart *s) {
        s->call = launcher_call_free(s->call);
}

bool run_start_is_under_way(const Run *r) {
        return r->start.call;
}

bool run_start_was_tried(const Run *r) {
        return r->start.attempts > 0;
}

int run_directory_fd(const Run *r) {
        return r->dirfd;
}

/* ---- its directory ---- */

static int open_directory(Run *r, const char *spec) {
        _cleanup_close_ int parent = -EBADF;
        char name[16];
        int fd;

        if (r->dirfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", r->row.run);
        parent = spec ? mkdir_open_at(r->ctx->conversations_fd, r->row.conversation, RUN_DIRECTORY_MODE) :
                        run_directory_open(r->ctx->conversations_fd, r->row.conversation);
        if (parent < 0)
                return parent;
        fd = spec ? run_directory_make(parent, name, spec) : run_directory_open(parent, name);
        if (fd < 0)
                return fd;
        r->dirfd = fd;
        return 0;
}

int run_open_directory(Run *r) {
        return open_directory(r, NULL);
}

/* With what a store that has to be created again needs to know. */
static int make_directory(Run *r, Json *adoption) {
        _cleanup_json_ Json *all = NULL;
        int k;

        if (json_object_deep_copy(r->spec, &all, NULL) < 0)
                return -ENOMEM;
        k = json_set_string(adoption, "runId", r->row.run_id);
        if (k >= 0)
                k = json_set(all, "adoption", json_object_get(adoption));
        return k < 0 ? k : open_directory(r, json_text(all));
}

/* ---- what is started ---- */

static int private_memfd(const char *contents) {
        _cleanup_close_ int fd = memfd_create("northflare-private", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = write_all(fd, contents, strlen(contents));
        return r < 0 ? r : TAKE_FD(fd);
}

/* The launcher is called over the bus. */
static int check_plan(const LaunchPlan *plan, const char *cwd, char **ret_error) {
        const struct {
                const char *name;
                char *const *list;
        } lists[] = {
                { "argument", plan->argv },
                { "environment variable", plan->env },
                { "directory", (char *const[]){ (char *) strempty(cwd), NULL } },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                STRV_FOREACH(s, lists[i].list)
                        if (!utf8_is_for_bus(*s)) {
                                *ret_error = xasprintf(
                                        "the agent's %s contains a character that D-Bus does not carry (a Unicode noncharacter)",
                                        lists[i].name);
                                return -EINVAL;
                        }
        return 0;
}

/* ---- the launcher ---- */

void run_abandon_start(Run *r) {
        static const LauncherVerb verbs[] = { LAUNCHER_KILL, LAUNCHER_STOP, LAUNCHER_COLLECT };
        _cleanup_free_ char *unit = NULL;

        if (r->row.state != RUN_STARTING || r->start.call || !r->ctx->launcher)
                return;
        unit = scope_name(SCOPE_AGENT, r->row.conversation, r->row.run);
        for (size_t i = 0; unit && i < ELEMENTSOF(verbs); i++) {
                int k = launcher_order(r->ctx->launcher, unit, verbs[i], NULL, 0, NULL, NULL);

                if (k < 0)
                        log_warning_errno(
                                k,
                                "%s of %s cannot be ordered: %m",
                                launcher_verb_to_string(verbs[i]),
                                unit);
        }
}

static void
on_launched(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Run *r = userdata;
        _cleanup_free_ char *name = NULL;
        bool lost = false;
        LOG_ABOUT_RUN(r);

        r->start.call = launcher_call_free(r->start.call);
        if (error < 0) {
                /* The launcher may have died between the start and its word: `started` is the truth. A start that is
                 * tried again finds it and ends at once, so nothing can run twice. */
                lost = error == -ECONNRESET || error == -ETIMEDOUT || error == -ENOTCONN ||
                        error == -ENXIO || error == -EEXIST;

                /* Several losses in a row are one. */
                if (lost && error != -EEXIST && r->start.attempts == 0)
                        r->report->launcher_lost(r->userdata);
                name = scope_name(SCOPE_AGENT, r->row.conversation, r->row.run);
                if (name && run_is_started(r)) {
                        error = 0;
                        unit = name;
                }
        }
        if (error < 0 && lost && !r->stopping && ++r->start.attempts < START_ATTEMPTS_MAX) {
                log_warning_errno(
                        error,
                        "The launcher did not answer for conversation %s, retrying: %s",
                        r->row.conversation,
                        strempty(text));
                r->report->start_again(r->userdata);
        } else if (error < 0) {
                log_warning_errno(
                        error, "Failed to start conversation %s: %s", r->row.conversation, strempty(text));
                if (lost)
                        run_abandon_start(r);
                r->report->start_failed(text, r->userdata);
        } else
                r->report->started(unit, invocation, r->userdata);
}

/* From here on the launcher may have been asked. Before, a start begins again from the acceptance: nothing of it had an
 * effect that is not made again. */
static int store_starting(Run *r, const Limits *limits) {
        _cleanup_(transaction_done) Transaction t = {};
        int k;

        run_row_set_state(&r->row, RUN_STARTING);
        k = transaction_begin(r->ctx->store, &t);
        if (k >= 0)
                k = store_put_run(r->ctx->store, &r->row);
        if (k >= 0)
                k = run_limits_begin(r, limits);
        if (k >= 0)
                k = r->report->starting(r->userdata);
        return transaction_finish(&t, k);
}

static int
make_plan(Run *r, const RunStartParams *p, LaunchPlan *ret, Limits *ret_limits, char **ret_error) {
        int k;

        k = r->ops->plan(r->spec, p->agent_config, ret, ret_error);
        if (k < 0)
                return k;
        k = check_plan(ret, p->directory, ret_error);
        return k < 0 ? k : limits_parse(p->limits, &r->ctx->config->limits, ret_limits, ret_error);
}

static int prepare(Run *r, Json *adoption, char **ret_error) {
        int k;

        k = make_directory(r, adoption);
        if (k < 0) {
                *ret_error = xasprintf("failed to create the directory of the run: %s", strerror(-k));
                return k;
        }
        k = run_begin_input(r);
        if (k >= 0)
                k = run_write_input(r);
        return k < 0 ? k : run_watch(r);
}

int run_start(Run *r, const RunStartParams *p, char **ret_error) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_close_ int private = -EBADF;
        Limits limits;
        int k;

        k = make_plan(r, p, &plan, &limits, ret_error);
        if (k >= 0)
                k = prepare(r, p->adoption, ret_error);
        if (k < 0)
                return k;
        if (plan.private_file) {
                private = private_memfd(plan.private_file);
                if (private < 0)
                        return private;
        }
        k = store_starting(r, &limits);
        if (k < 0) {
                r->report->store_failed(k, r->userdata);
                return k;
        }
        return launcher_start(
                r->ctx->bus,
                &(LauncherStart){
                        .kind = SCOPE_AGENT,
                        .id = r->row.conversation,
                        .run = r->row.run,
                        .workspace = r->workspace,
                        .argv = plan.argv,
                        .env = plan.env,
                        .cwd = strempty(p->directory),
                        .limits = limits.list,
                        .n_limits = limits.n,
                        .dirfd = r->dirfd,
                        .extra = { private, -EBADF },
                        .n_extra = private >= 0 ? 1 : 0,
                },
                on_launched,
                r,
                &r->start.call);
}

int run_store_started(Run *r, const char *unit, const char *invocation) {
        if (free_and_strdup(&r->row.unit, unit) < 0 || free_and_strdup(&r->row.invocation, invocation) < 0)
                return -ENOMEM;
        run_row_set_state(&r->row, RUN_LIVE);
        r->row.started_usec = now_usec(CLOCK_REALTIME);
        return store_put_run(r->ctx->store, &r->row);
}
