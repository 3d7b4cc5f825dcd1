/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "common/ident.h"
#include "common/log-ids.h"
#include "common/log.h"
#include "common/repository-rule.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/limits/limits.h"
#include "runner/scope/run-folder.h"

/* From acceptance to the agent's first byte. Every step reads from the rows where it stands, so that a runner that was
 * killed in between goes on from there. */

#define START_ATTEMPTS_MAX 10

static int copy_members(Json *to, Json *from, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Json *v = json_get(from, names[i]);
                int r = v ? json_set(to, names[i], json_object_get(v)) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* So that the event that a line becomes fits in a body that the orchestrator takes. It is a part of the spec, since it says
 * which events there are in the output: whoever reads that again, whatever the orchestrator says by then, finds the same. */
static uint64_t line_max(Conversation *c) {
        _cleanup_free_ char *text = NULL;
        uint64_t body;

        if (streq(c->row.origin, "local") ||
            store_get(c->ctx->run.store, STORE_MAX_BODY_BYTES, &text) <= 0 || safe_atou64(text, &body) < 0)
                return DRIVER_LINE_MAX;
        return driver_line_max_of_body(body);
}

/* The rule by which the configuration trusts what the conversation works on, or NULL. A conversation with neither a
 * repository nor a directory works in the workspace's own one, where agents alone write. */
static const char *find_rule(Conversation *c) {
        Json *repository = json_get(c->params, "repository");
        _cleanup_giturl_ GitUrl url = {};

        if (repository && giturl_parse(json_get_string(repository, "url"), &url, NULL) < 0)
                return NULL;
        STRV_FOREACH(rule, c->ctx->run.config->trusted_repositories)
                if (repository ? repository_rule_matches_url(*rule, &url) :
                                    c->row.directory ?
                                 repository_rule_matches_directory(*rule, c->row.directory) :
                                 false)
                        return *rule;
        return NULL;
}

/* What the run before was started with: 1, or 0 where it was trusted by no rule. */
static int was_trusted(Conversation *c) {
        _cleanup_(run_row_done) RunRow row = {};
        _cleanup_json_ Json *spec = NULL;
        int r;

        r = store_get_run(c->ctx->run.store, c->row.id, c->row.run, &row);
        if (r <= 0)
                return r;
        r = json_parse_from(JSON_OF_STORE, row.spec, strlen(row.spec), &spec, NULL);
        return r < 0 ? r : !isempty(json_get_string(spec, "trustedRepository"));
}

/* Decided once, at the start, and shown as such: a rule that comes later gives nothing to a conversation that began without
 * it. One that is taken away is missed by the next run. */
static int add_trust(Conversation *c, Json *spec) {
        const char *rule = find_rule(c);
        int r = rule && c->row.run > 0 ? was_trusted(c) : 1;

        return r <= 0 || !rule ? r : json_set_string(spec, "trustedRepository", rule);
}

static int make_spec(Conversation *c, const char *resume_session, Json **ret) {
        static const char *const names[] = {
                "model",        "appendSystemPrompt", "permissionMode",
                "allowedTools", "disallowedTools",    "mcpServers",
                "env",          "forkSession",
        };
        _cleanup_json_ Json *spec = json_object_new_object();
        char session[UUID_SIZE];
        int r;

        if (!spec)
                return -ENOMEM;
        r = json_set_u64(spec, "version", 1);
        if (r >= 0)
                r = json_set_string(spec, "conversationId", c->row.id);
        /* So that it can be read without the configuration, which may be another one by then. */
        if (r >= 0)
                r = json_set_string(spec, "protocol", conversation_driver(c, NULL)->name);
        if (r >= 0)
                r = copy_members(spec, c->params, names, ELEMENTSOF(names));
        if (r < 0)
                return r;
        r = add_trust(c, spec);
        if (r < 0)
                return r;
        uuid_make(session);
        r = json_set_string(spec, "sessionId", session);
        if (r < 0)
                return r;
        if (!resume_session)
                resume_session = json_get_string(c->params, "resumeSessionId");
        r = json_set_string(spec, "resumeSessionId", resume_session);
        if (r >= 0)
                r = json_set_u64(spec, "lineMax", line_max(c));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(spec);
        return 0;
}

int conversation_prepare_run(Conversation *c, const char *resume_session) {
        _cleanup_(run_row_done) RunRow row = {};
        _cleanup_json_ Json *spec = NULL;
        int r;

        conversation_take_agent_config(c);
        r = conversation_take_params(c);
        if (r < 0)
                return r;
        r = make_spec(c, resume_session, &spec);
        if (r < 0)
                return r;
        row = (RunRow){
                .conversation = strdup(c->row.id),
                .run = c->row.run + 1,
                .state = strdup("preparing"),
                .spec = strdup(json_text(spec)),
                .out_bytes = UINT64_MAX,
        };
        if (!row.conversation || !row.state || !row.spec)
                return -ENOMEM;
        (void) snprintf(row.run_id, sizeof(row.run_id), "%016llx", (unsigned long long) random_u64());
        r = store_put_run(c->ctx->run.store, &row);
        if (r < 0)
                return r;
        c->row.run = row.run;
        /* The run before may still have to be sent: from now on its end is read from the copy. */
        if (c->run && c->send_row.conversation && c->send_row.run == c->run->row.run)
                c->send_row.out_bytes = c->run->row.out_bytes;
        c->ended.rests = false;
        c->run = run_free(c->run);
        r = run_new(c, &row, &c->run);
        if (r < 0)
                return r;
        return conversation_store_row(c);
}

static int set_state(Conversation *c, const char *state) {
        int r = free_and_strdup(&c->row.state, state);
        return r < 0 ? r : conversation_store_row(c);
}

/* ---- checkout ---- */

static void on_progress(Json *progress, void *userdata) {
        Conversation *c = userdata;
        const char *text = json_text(progress);
        size_t n = strlen(text);

        if (n <= 2)
                return;
        _cleanup_free_ char *members = strndup(text + 1, n - 2);
        if (members && conversation_emit(c, NULL, "git.progress", members) >= 0)
                conversation_changed(c);
}

static void
on_checkout(int error,
            const char *text,
            const char *directory,
            const char *branch,
            const char *head,
            void *userdata) {
        Conversation *c = userdata;
        _cleanup_buffer_ Buffer b = {};
        int r;

        c->checkout = checkout_free(c->checkout);
        if (error < 0) {
                if (error == -ECHILD)
                        (void) conversation_report(c, "git-lost", strempty(text), NULL);
                (void) buffer_append_str(&b, "\"ok\":false,\"text\":");
                (void) buffer_append_json_str(&b, strempty(text));
                if (!b.failed)
                        (void) conversation_emit(c, NULL, "git.result", b.data);
                conversation_fail(c, "failed", text);
                return;
        }
        (void) buffer_append_str(&b, "\"ok\":true,\"directory\":");
        (void) buffer_append_json_str(&b, directory);
        (void) buffer_append_str(&b, ",\"branch\":");
        (void) buffer_append_json_str(&b, strempty(branch));
        (void) buffer_append_str(&b, ",\"head\":");
        (void) buffer_append_json_str(&b, strempty(head));
        r = b.failed ? -ENOMEM : store_begin(c->ctx->run.store);
        if (r >= 0) {
                if (free_and_strdup(&c->row.directory, directory) < 0 ||
                    free_and_strdup(&c->row.branch, branch) < 0)
                        r = -ENOMEM;
                if (r >= 0)
                        r = set_state(c, "starting");
                if (r >= 0)
                        r = conversation_emit(c, NULL, "git.result", b.data);
                if (r < 0)
                        store_rollback(c->ctx->run.store);
                else
                        r = store_commit(c->ctx->run.store);
        }
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        conversation_changed(c);
        conversation_advance(c);
}

static void start_checkout(Conversation *c) {
        const OperationContext context = {
                .event = c->ctx->run.event,
                .bus = c->ctx->run.bus,
                .watch = c->ctx->run.watch,
                .state_fd = c->ctx->run.state_fd,
        };
        int r;

        r = set_state(c, "checkout");
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        r =
                        checkout_start(&context,
                                       &c->ctx->git,
                                       c->row.id,
                                       c->row.workspace,
                                       json_get(c->params, "repository"),
                                       on_progress,
                                       on_checkout,
                                       c,
                                       &c->checkout);
        if (r < 0) {
                _cleanup_free_ char *text = xasprintf("the checkout could not be begun: %s", strerror(-r));
                conversation_fail(c, "failed", strempty(text));
        }
}

/* ---- the process ---- */

/* Adds the agent's own environment from the configuration, behind what the conversation says. */
static int add_configured_env(Conversation *c, char ***env) {
        Json *configured = json_get(c->agent_config, "env");

        if (!json_object_is_type(configured, json_type_object))
                return 0;
        json_object_object_foreach(configured, name, value) {
                _cleanup_free_ char *prefix = xasprintf("%s=", name);
                bool given = false;

                if (!prefix)
                        return -ENOMEM;
                STRV_FOREACH(e, *env)
                        given = given || startswith(*e, prefix);
                if (!given &&
                    strv_consume(env, xasprintf("%s%s", prefix, json_object_get_string(value))) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int begin_lines(Run *r) {
        _cleanup_buffer_ Buffer b = {};
        uint64_t total, written, offset;
        Conversation *c = r->conversation;
        int k;

        k = store_input_size(c->ctx->run.store, c->row.id, r->row.run, &total, &written);
        if (k < 0 || total > 0)
                return k;
        k = r->ops->begin(r->driver, &b);
        if (k < 0)
                return k;
        if (b.size == 0)
                return 0;
        return store_render(c->ctx->run.store, c->row.id, r->row.run, b.data, b.size, 0, &offset);
}

static int private_memfd(const char *contents) {
        _cleanup_close_ int fd = memfd_create("northflare-private", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = write_all(fd, contents, strlen(contents));
        return r < 0 ? r : TAKE_FD(fd);
}

static int store_started(Run *r, const char *unit, const char *invocation) {
        _cleanup_buffer_ Buffer b = {};
        _cleanup_json_ Json *limits = NULL;
        Conversation *c = r->conversation;
        int k;

        if (free_and_strdup(&r->row.unit, unit) < 0 || free_and_strdup(&r->row.invocation, invocation) < 0 ||
            free_and_strdup(&r->row.state, "live") < 0)
                return -ENOMEM;
        r->row.started_usec = now_usec(CLOCK_REALTIME);
        k = run_store_row(r);
        if (k < 0)
                return k;
        k = set_state(c, "live");
        if (k < 0)
                return k;
        (void) buffer_append_str(&b, "\"agent\":");
        (void) buffer_append_json_str(&b, c->row.agent);
        (void) buffer_append_str(&b, ",\"scope\":");
        (void) buffer_append_json_str(&b, unit);
        if (c->row.directory) {
                (void) buffer_append_str(&b, ",\"directory\":");
                (void) buffer_append_json_str(&b, c->row.directory);
        }
        if (c->row.branch) {
                (void) buffer_append_str(&b, ",\"branch\":");
                (void) buffer_append_json_str(&b, c->row.branch);
        }
        (void) buffer_printf(&b, ",\"repositoryTrusted\":%s", conversation_trusted_by(c) ? "true" : "false");
        run_limits_open(r);
        k = run_runtime_begin(r);
        if (k >= 0)
                k = run_watchdog_begin(r);
        if (k < 0)
                return k;
        limits = run_limits_describe(r);
        if (limits) {
                (void) buffer_append_str(&b, ",\"limits\":");
                (void) buffer_append_str(&b, json_text(limits));
        }
        if (b.failed)
                return -ENOMEM;
        k = conversation_emit(c, NULL, "conversation.started", b.data);
        return k < 0 ? k : conversation_emit_state(c);
}

static void log_start(Conversation *c) {
        const char *rule = conversation_trusted_by(c);
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", c->row.id);
        log_context_push(&log, "NORTHFLARE_TASK_ID", c->row.task);
        log_context_push(&log, "NORTHFLARE_WORKSPACE_ID", c->row.workspace);
        log_context_push(&log, "NORTHFLARE_UNIT", c->run->row.unit);
        log_full(LOG_INFO,
                 0,
                 NF_MESSAGE_CONVERSATION_STARTED,
                 "Conversation %s runs in %s (agent %s, repository %s%s).",
                 c->row.id,
                 c->run->row.unit,
                 c->row.agent,
                 rule ? "trusted by " : "not trusted",
                 strempty(rule));
}

int conversation_adopt_started(Conversation *c, const char *unit) {
        int r;

        r = store_begin(c->ctx->run.store);
        if (r < 0)
                return r;
        r = store_started(c->run, unit, NULL);
        if (r < 0) {
                store_rollback(c->ctx->run.store);
                return r;
        }
        return store_commit(c->ctx->run.store);
}

static void
on_started(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Run *r = userdata;
        Conversation *c = r->conversation;
        _cleanup_free_ char *name = NULL;
        bool lost = false;
        int k;

        r->call = launcher_call_free(r->call);
        if (error < 0) {
                /* The launcher may have died between the start and its word: `started` is the truth. A start that is
                 * tried again finds it and ends at once, so nothing can run twice. */
                lost = error == -ECONNRESET || error == -ETIMEDOUT || error == -ENOTCONN ||
                                error == -ENXIO || error == -EEXIST;

                /* Several losses in a row are one. */
                if (lost && error != -EEXIST && r->start_attempts == 0)
                        (void) conversation_report(
                                        c,
                                        "launcher-lost",
                                        "northflare-launcher ended in the middle of a start",
                                        NULL);
                name = xasprintf("northflare-conversation-%s-%u.scope", c->row.id, c->row.run);
                if (name && run_folder_is_started(r->dirfd) > 0) {
                        error = 0;
                        unit = name;
                }
        }
        if (error < 0) {
                if (lost && ++r->start_attempts < START_ATTEMPTS_MAX) {
                        log_warning_errno(
                                        error,
                                        "The launcher did not answer for conversation %s, asking again: %s",
                                        c->row.id,
                                        strempty(text));
                        conversation_advance(c);
                        return;
                }
                log_warning_errno(
                                error,
                                "Conversation %s could not be started: %s",
                                c->row.id,
                                strempty(text));
                conversation_fail(c, "failed", text);
                return;
        }
        k = store_begin(c->ctx->run.store);
        if (k >= 0) {
                k = store_started(r, unit, invocation);
                if (k < 0)
                        store_rollback(c->ctx->run.store);
                else
                        k = store_commit(c->ctx->run.store);
        }
        if (k < 0) {
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return;
        }
        log_start(c);
        conversation_changed(c);
        if (c->stop != STOP_NONE) {
                conversation_stop(c, c->stop_reason, c->stop_grace_usec);
                return;
        }
        conversation_pump_input(c);
        run_look(r);
}

/* From here on the launcher may have been asked. Before, a start begins anew from the acceptance: nothing of it had an
 * effect that is not made again. */
static int store_starting(Run *r, const Limits *limits) {
        Conversation *c = r->conversation;
        int k;

        if (free_and_strdup(&r->row.state, "starting") < 0)
                return -ENOMEM;
        k = store_begin(c->ctx->run.store);
        if (k < 0)
                return k;
        k = run_store_row(r);
        if (k >= 0)
                k = run_limits_begin(r, limits);
        if (k >= 0)
                k = set_state(c, "starting");
        if (k < 0) {
                store_rollback(c->ctx->run.store);
                return k;
        }
        return store_commit(c->ctx->run.store);
}

/* The launcher is called over the bus. */
static int check_plan(const LaunchPlan *plan, const char *cwd, char **ret_error) {
        const struct {
                const char *name;
                char *const *list;
        } lists[] = {
                {"argument",              plan->argv                                     },
                { "environment variable", plan->env                                      },
                { "directory",            (char *const[]){ (char *) strempty(cwd), NULL }},
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                STRV_FOREACH(s, lists[i].list)
                        if (!utf8_is_for_bus(*s)) {
                                *ret_error = xasprintf(
                                                "the agent's %s holds a character that D-Bus does not carry (a Unicode noncharacter)",
                                                lists[i].name);
                                return -EINVAL;
                        }
        return 0;
}

static int start_process(Run *r, char **ret_error) {
        Conversation *c = r->conversation;
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_close_ int private = -EBADF;
        Limits limits;
        int k;

        k = r->ops->plan(r->spec, c->agent_config, &plan, ret_error);
        if (k < 0)
                return k;
        k = add_configured_env(c, &plan.env);
        if (k >= 0)
                k = check_plan(&plan, c->row.directory, ret_error);
        if (k < 0)
                return k;
        k = limits_parse(json_get(c->params, "limits"), &c->ctx->run.config->limits, &limits, ret_error);
        if (k < 0)
                return k;
        k = run_open_folder(r, true);
        if (k < 0) {
                *ret_error = xasprintf("the run's folder could not be made: %s", strerror(-k));
                return k;
        }
        k = begin_lines(r);
        if (k >= 0)
                k = conversation_write_input(c);
        if (k < 0)
                return k;
        k = run_watch(r);
        if (k < 0)
                return k;
        if (plan.private_file) {
                private = private_memfd(plan.private_file);
                if (private < 0)
                        return private;
        }
        k = store_starting(r, &limits);
        if (k < 0) {
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return k;
        }
        return launcher_start(
                        c->ctx->run.bus,
                        &(LauncherStart){
                                        .kind = LAUNCHER_AGENT,
                                        .id = c->row.id,
                                        .run = r->row.run,
                                        .workspace = c->row.workspace,
                                        .argv = plan.argv,
                                        .env = plan.env,
                                        .cwd = strempty(c->row.directory),
                                        .limits = limits.list,
                                        .n_limits = limits.n,
                                        .dirfd = r->dirfd,
                                        .extra = {private, -EBADF},
                                        .n_extra = private >= 0 ? 1 : 0,
        },
                        on_started,
                        r,
                        &r->call);
}

bool conversation_refuse_start(Conversation *c) {
        Run *r = c->run;

        if (!conversation_is_live(c) || streq(c->row.state, "live"))
                return false;
        /* What the configuration said of it was the half of what is started. */
        if (!r->failure && !conversation_knows_agent(c))
                r->failure = conversation_unknown_agent_text(c);
        if (!r->failure)
                return false;
        conversation_fail(c, "failed", r->failure);
        return true;
}

void conversation_advance(Conversation *c) {
        _cleanup_free_ char *error = NULL;
        Run *r = c->run;
        int k;

        if (!c->ctx->run.ready || c->ctx->run.broken || !conversation_is_live(c) || c->held || c->checkout ||
            !r || r->call)
                return;
        if (conversation_refuse_start(c))
                return;
        if (streq(c->row.state, "new") || streq(c->row.state, "checkout")) {
                if (json_get(c->params, "repository") && !c->row.branch) {
                        start_checkout(c);
                        return;
                }
                if (free_and_strdup(&c->row.state, "starting") < 0) {
                        c->ctx->hooks->store_failed(-ENOMEM, c->ctx->userdata);
                        return;
                }
        }
        if (!streq(c->row.state, "starting"))
                return;
        k = start_process(r, &error);
        if ((k == -ENOSPC || k == -EDQUOT) && !c->ctx->run.broken) {
                /* Not the conversation's fault, and nothing of it has begun. */
                log_warning_errno(k, "Conversation %s waits for room to begin: %m", c->row.id);
                c->ctx->hooks->no_room(c->ctx->userdata);
                return;
        }
        if (k < 0 && !c->ctx->run.broken) {
                if (!error)
                        error = xasprintf("the agent could not be started: %s", strerror(-k));
                conversation_fail(c, "failed", strempty(error));
        }
}
