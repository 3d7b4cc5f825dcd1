/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

#include <systemd/sd-daemon.h>

#include "common/fileio.h"
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-start.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-hooks.h"
#include "runner/runner-internal.h"
#include "runner/runner-link.h"
#include "runner/runner-reload.h"
#include "runner/runner-retention.h"
#include "runner/runner-status.h"
#include "runner/store/store-inbound.h"

#define LINGER_DIRECTORY "/var/lib/systemd/linger/"
#define KEY_REPORTED "userModeTold"

sd_event *runner_get_event(Runner *r) {
        return r->event;
}

sd_bus *runner_get_bus(Runner *r) {
        return r->ctx->run.bus;
}

bool runner_is_user_mode(Runner *r) {
        return r->config->user_mode;
}

int runner_exit_code(Runner *r) {
        return r->exit_code;
}

void runner_set_observer(Runner *r, const RunnerObserver *observer, void *userdata) {
        announcer_set_observer(r->announcer, observer, userdata);
}

Resend *runner_get_resend(Runner *r) {
        return r->resend;
}

Workspaces *runner_get_workspaces(Runner *r) {
        return r->workspaces;
}

void runner_set_methods(Runner *r, const RunnerMethods *methods, void *userdata) {
        r->methods = methods;
        r->methods_data = userdata;
}

/* ---- sources ---- */

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Runner *r = userdata;

        log_notice(
                "Stopping; %u conversations continue in their scopes.",
                registry_count_live(r->conversations));
        (void) sd_notify(0, "STOPPING=1");
        return shutdown_exit(r->shutdown);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_free_ char *error = NULL;
        Runner *r = userdata;

        (void) sd_notifyf(
                0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now_usec(CLOCK_MONOTONIC));
        if (runner_reload(r, NULL, &error) < 0)
                log_error("Failed to reload the configuration, it is unchanged: %s", strempty(error));
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int add_signals(Runner *r) {
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } list[ELEMENTSOF(((Runner *) NULL)->signals)] = {
                { SIGTERM, on_terminate },
                { SIGINT, on_terminate },
                { SIGHUP, on_hangup },
        };
        int k = 0;

        for (size_t i = 0; i < ELEMENTSOF(list) && k >= 0; i++)
                k = sd_event_add_signal(r->event, &r->signals[i], list[i].signal, list[i].handler, r);
        return k;
}

/* ---- start ---- */

static void on_damage(void *userdata) {
        runner_store_failed(userdata, -EUCLEAN);
}

static int open_state(Runner *r) {
        _cleanup_free_ char *error = NULL;
        int k;

        k = mkdir_parents(r->config->data_dir, 0700);
        if (k >= 0) {
                r->ctx->run.state_fd = open(r->config->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                k = r->ctx->run.state_fd < 0 ? -errno : 0;
        }
        if (k < 0)
                return log_error_errno(k, "Failed to open the state directory %s: %m", r->config->data_dir);
        r->ctx->run.conversations_fd = mkdir_open_at(r->ctx->run.state_fd, "conversations", 0700);
        if (r->ctx->run.conversations_fd < 0)
                return log_error_errno(
                        r->ctx->run.conversations_fd,
                        "Failed to open %s/conversations: %m",
                        r->config->data_dir);
        k = store_open(r->ctx->run.state_fd, r->config->data_dir, &r->store, &error);
        if (k == -EUCLEAN) {
                k = recovery_set_store_aside(r->recovery);
                if (k < 0)
                        return k;
                free(error);
                k = store_open(r->ctx->run.state_fd, r->config->data_dir, &r->store, &error);
        }
        if (k < 0)
                return log_error_errno(k, "%s", error ? error : "Failed to open the store");
        r->ctx->run.store = r->store;
        store_on_damage(r->store, on_damage, r);
        k = recovery_begin(r->recovery);
        if (k < 0)
                return k;
        drain_load(r->drain);
        crash_watch_mark(r->crash);
        return 0;
}

static int open_bus(Runner *r) {
        int k;

        k = r->config->user_mode ? sd_bus_open_user_with_description(&r->ctx->run.bus, "runner") :
                                   sd_bus_open_system_with_description(&r->ctx->run.bus, "runner");
        if (k < 0)
                return log_error_errno(
                        k, "Failed to connect to the %s bus: %m", r->config->user_mode ? "user" : "system");
        k = sd_bus_attach_event(r->ctx->run.bus, r->event, SD_EVENT_PRIORITY_NORMAL);
        if (k >= 0)
                k = sd_bus_set_exit_on_disconnect(r->ctx->run.bus, true);
        /* It is closed with the runner, which may have orders left to send. */
        if (k >= 0)
                k = sd_bus_set_close_on_exit(r->ctx->run.bus, false);
        if (k < 0)
                return k;
        k = shutdown_open(r->shutdown);
        if (k >= 0)
                k = units_new(r->ctx->run.bus, runner_unit_changed, r, &r->ctx->run.units);
        if (k >= 0)
                k = launcher_queue_new(r->ctx->run.bus, &r->ctx->run.launcher);
        return k < 0 ? k : crash_watch_open(r->crash);
}

/* ---- parts ---- */

static void on_disk_changed(void *userdata) {
        Runner *r = userdata;

        announcer_changed(r->announcer);
}

/* What could not be written or begun for want of room. */
static void on_room(void *userdata) {
        Runner *r = userdata;

        for (Conversation *c = registry_next(r->conversations, NULL); c && !r->ctx->run.broken;
             c = registry_next(r->conversations, c)) {
                if (!conversation_is_live(c) || !c->run)
                        continue;
                conversation_advance(c);
                (void) conversation_write_input(c);
        }
}

/* Those behind are made with those before. */
static int make_parts(Runner *r) {
        static const DiskOps disk_ops = { .changed = on_disk_changed, .room = on_room };
        RunContext *ctx = &r->ctx->run;
        int k;

        k = registry_new(&r->conversations);
        if (k >= 0)
                k = totals_new(&r->totals);
        if (k >= 0)
                k = description_new(&r->description);
        if (k >= 0)
                k = recovery_new(ctx, &r->recovery);
        if (k >= 0)
                k = housekeeping_new(r->event, r, &r->housekeeping);
        if (k >= 0)
                k = announcer_new(r->event, runner_update_status, r, &r->announcer);
        if (k >= 0)
                k = queue_counter_new(ctx, r->conversations, &r->queue);
        if (k >= 0)
                k = disk_new(ctx, &disk_ops, r, &r->disk);
        if (k >= 0)
                k = shutdown_new(ctx, r->conversations, r->announcer, &r->shutdown);
        if (k >= 0)
                k = drain_new(ctx, r->conversations, r->shutdown, r->announcer, &r->drain);
        if (k >= 0)
                k = admission_gate_new(ctx, r->conversations, r->disk, r->drain, r->announcer, &r->gate);
        if (k >= 0)
                k = crash_watch_new(ctx, r->conversations, r->started_usec, &r->crash);
        if (k >= 0)
                k = workspaces_new(ctx, &r->ctx->git, r->conversations, &r->workspaces);
        return k;
}

/* In user mode; owned by the runner, unlike all else in there. */
static const char *git_cache(void) {
        const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

        return cache && cache[0] == '/' ? xasprintf("%s/northflare-git", cache) :
                                          xasprintf("%s/.cache/northflare-git", strempty(home));
}

int runner_new(sd_event *event, const RunnerOptions *options, RunnerConfig *config, Runner **ret) {
        ConversationContext *ctx = new0(ConversationContext, 1);
        Runner *r = new0(Runner, 1);
        int k;

        if (!r || !ctx) {
                free(ctx);
                free(r);
                return -ENOMEM;
        }
        *r = (Runner){
                .event = sd_event_ref(event),
                .config = config,
                .options = options,
                .ctx = ctx,
                .started_usec = now_usec(CLOCK_REALTIME),
        };
        *ctx = (ConversationContext){
                .run.event = event,
                .run.config = config,
                .run.state_fd = -EBADF,
                .run.conversations_fd = -EBADF,
                .hooks = &runner_conversation_hooks,
                .userdata = r,
        };
        k = make_parts(r);
        if (k < 0) {
                runner_free(r);
                return k;
        }
        if (config->user_mode)
                r->ctx->git.cache_dir = git_cache();
        runner_take_git_settings(r);
        *ret = r;
        return 0;
}

int runner_open(Runner *r) {
        _cleanup_free_ char *error = NULL;
        int k;

        k = add_signals(r);
        if (k >= 0)
                k = admission_gate_open(r->gate);
        if (k < 0)
                return log_error_errno(k, "Failed to set up the event loop: %m");
        if (ceilings_load(r->config->user_mode, &r->ceilings, &error) < 0)
                log_warning(
                        "Failed to read the launcher's ceilings, it refuses limits above them: %s",
                        strempty(error));
        limits_clip(&r->config->limits, &r->ceilings.limits);
        k = open_state(r);
        if (k < 0)
                return k;
        k = watch_new(r->event, &r->ctx->run.watch);
        if (k < 0)
                return log_error_errno(k, "inotify: %m");
        k = open_bus(r);
        if (k < 0)
                return k;
        if (r->config->orchestrator_url) {
                k = runner_open_link(r);
                if (k < 0)
                        return log_error_errno(k, "Failed to create the link to the orchestrator: %m");
        }
        k = resend_new(r->store, r->ctx->sender, &r->resend);
        if (k < 0)
                return log_oom();
        return 0;
}

/* ---- one person's own runner: what that person has to know of it ---- */

static void report_protection(Runner *r, const char *user) {
        _cleanup_free_ char *reported = NULL;

        if (store_get(r->store, KEY_REPORTED, &reported) > 0)
                return;
        log_full(
                LOG_NOTICE,
                0,
                NF_MESSAGE_USER_MODE,
                "Agents run as %s, like this runner: they can read and change all files of %s, including the runner's token and store. "
                "This protects against accidents, not against malicious agents; use the system's runner for that.",
                user,
                user);
        (void) store_set(r->store, KEY_REPORTED, "1");
}

/* Without it the user's manager ends at the last logout, and the conversations with it. */
static void report_linger(const char *user) {
        _cleanup_free_ char *path = xasprintf(LINGER_DIRECTORY "%s", user);

        if (path && access(path, F_OK) < 0 && errno == ENOENT)
                log_notice(
                        "Lingering is not enabled for %s: the runner and its conversations end with the last session of %s. To keep them running: loginctl enable-linger %s",
                        user,
                        user,
                        user);
}

static void report_user_mode(Runner *r) {
        const struct passwd *p = getpwuid(geteuid());

        if (!r->config->user_mode)
                return;
        report_protection(r, p ? p->pw_name : "one user");
        if (p)
                report_linger(p->pw_name);
}

int runner_begin(Runner *r) {
        _cleanup_strv_free_ char **scopes = NULL;
        int k;

        runner_sweep(r);
        workspaces_open(r->workspaces);
        k = runner_list_scopes(r, &scopes);
        if (k < 0)
                return k;
        k = runner_adopt(r, scopes);
        if (k < 0) {
                /* Also on a full disk: the runner continues when there is room again. */
                runner_store_failed(r, k);
                if (r->exit_code != 0)
                        return 0;
        }
        announcer_changed(r->announcer);
        (void) sd_notify(0, "READY=1");
        r->ctx->run.ready = true;
        if (k < 0)
                log_notice("northflare-runner " PROJECT_VERSION
                           " is ready, but adopts conversations only when the store can be written.");
        else {
                log_info(
                        "northflare-runner " PROJECT_VERSION " is ready, %u conversations adopted.",
                        registry_count_live(r->conversations));
                runner_begin_all(r);
        }
        report_user_mode(r);
        crash_watch_check(r->crash);
        drain_resume(r->drain);
        /* A registration names the conversations that live here, so it waits until they are known. */
        return r->link && !r->ctx->run.broken ? link_start(r->link) : 0;
}

void runner_stop(Runner *r) {
        if (r && r->store)
                runner_flush_cursors(r);
}

static void context_free(ConversationContext *ctx) {
        sd_bus_flush_close_unref(ctx->run.bus);
        safe_close(ctx->run.conversations_fd);
        safe_close(ctx->run.state_fd);
        free((char *) ctx->git.cache_dir);
        free(ctx);
}

Runner *runner_free(Runner *r) {
        if (!r)
                return NULL;
        if (r->conversations)
                runner_forget_all(r);
        conversation_context_done(r->ctx);
        control_free(r->control);
        resend_free(r->resend);
        link_free(r->link);
        crash_watch_free(r->crash);
        shutdown_free(r->shutdown);
        launcher_queue_free(r->ctx->run.launcher);
        units_free(r->ctx->run.units);
        watch_free(r->ctx->run.watch);
        store_close(r->store);
        drain_free(r->drain);
        admission_gate_free(r->gate);
        disk_free(r->disk);
        workspaces_free(r->workspaces);
        housekeeping_free(r->housekeeping);
        recovery_free(r->recovery);
        description_free(r->description);
        queue_counter_free(r->queue);
        totals_free(r->totals);
        registry_free(r->conversations);
        announcer_free(r->announcer);
        sd_event_source_disable_unref(r->readopt_timer);
        for (size_t i = 0; i < ELEMENTSOF(r->signals); i++)
                sd_event_source_disable_unref(r->signals[i]);
        context_free(r->ctx);
        sd_event_unref(r->event);
        free(r);
        return NULL;
}
