/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include "common/fileio.h"
#include "common/log.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-hooks.h"
#include "runner/runner-internal.h"
#include "runner/store/store-inbound.h"

/* For an id of this machine that says nothing about it elsewhere (sd_id128_get_machine_app_specific(3)). */
#define APPLICATION_ID SD_ID128_MAKE(6d, 1f, 0b, 8a, 5e, 0c, 4b, 73, 9a, f2, 41, c7, 3e, 88, d5, 20)

sd_event *runner_get_event(Runner *r) {
        return r->event;
}

sd_bus *runner_get_bus(Runner *r) {
        return r->bus;
}

const RunnerConfig *runner_get_config(Runner *r) {
        return r->config;
}

bool runner_is_user_mode(Runner *r) {
        return r->user_mode;
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

void runner_set_methods(Runner *r, const RunnerMethods *methods, void *userdata) {
        r->methods = methods;
        r->methods_data = userdata;
}

/* ---- sources ---- */

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Runner *r = userdata;

        log_notice("Stopping; %u conversations go on in their scopes.",
                   registry_count_live(r->conversations));
        (void) sd_notify(0, "STOPPING=1");
        return runner_shutdown_exit(r);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_free_ char *error = NULL;
        Runner *r = userdata;

        (void) sd_notifyf(
                        0,
                        "RELOADING=1\nMONOTONIC_USEC=%llu",
                        (unsigned long long) now_usec(CLOCK_MONOTONIC));
        if (runner_reload(r, NULL, &error) < 0)
                log_error("The configuration stays as it was: %s", strempty(error));
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int add_sources(Runner *r) {
        int k;

        k = sd_event_add_signal(r->event, &r->sigterm, SIGTERM, on_terminate, r);
        if (k >= 0)
                k = sd_event_add_signal(r->event, &r->sigint, SIGINT, on_terminate, r);
        if (k >= 0)
                k = sd_event_add_signal(r->event, &r->sighup, SIGHUP, on_hangup, r);
        if (k >= 0)
                k = housekeeping_new(r->event, r, &r->housekeeping);
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
                r->state_fd = open(r->config->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                k = r->state_fd < 0 ? -errno : 0;
        }
        if (k < 0)
                return log_error_errno(
                                k, "The state directory %s cannot be opened: %m", r->config->data_dir);
        r->ctx.run.state_fd = r->state_fd;
        r->ctx.run.conversations_fd = mkdir_open_at(r->state_fd, "conversations", 0700);
        if (r->ctx.run.conversations_fd < 0)
                return log_error_errno(
                                r->ctx.run.conversations_fd,
                                "%s/conversations cannot be opened: %m",
                                r->config->data_dir);
        k = store_open(r->state_fd, r->config->data_dir, &r->store, &error);
        if (k == -EUCLEAN) {
                k = runner_set_store_aside(r);
                if (k < 0)
                        return k;
                free(error);
                k = store_open(r->state_fd, r->config->data_dir, &r->store, &error);
        }
        if (k < 0)
                return log_error_errno(k, "%s", error ? error : "The store cannot be opened");
        r->ctx.run.store = r->store;
        k = queue_counter_new(r->event, r->store, r->conversations, &r->queue);
        if (k < 0)
                return log_oom();
        store_on_damage(r->store, on_damage, r);
        k = runner_recover_identity(r);
        if (k < 0)
                return k;
        runner_load_draining(r);
        runner_crash_open(r);
        return 0;
}

static int open_bus(Runner *r) {
        int k;

        k = r->user_mode ? sd_bus_open_user_with_description(&r->bus, "runner") :
                           sd_bus_open_system_with_description(&r->bus, "runner");
        if (k < 0)
                return log_error_errno(
                                k, "The %s bus cannot be reached: %m", r->user_mode ? "user" : "system");
        k = sd_bus_attach_event(r->bus, r->event, SD_EVENT_PRIORITY_NORMAL);
        if (k >= 0)
                k = sd_bus_set_exit_on_disconnect(r->bus, true);
        if (k < 0)
                return k;
        r->ctx.run.bus = r->bus;
        k = runner_shutdown_open(r);
        if (k >= 0)
                k = units_new(r->bus, runner_unit_changed, r, &r->ctx.run.units);
        return k < 0 ? k : runner_crash_watch(r);
}

static void read_identity(Runner *r) {
        sd_id128_t id;

        if (gethostname(r->hostname, sizeof(r->hostname) - 1) < 0)
                r->hostname[0] = 0;
        if (sd_id128_get_machine_app_specific(APPLICATION_ID, &id) >= 0)
                (void) sd_id128_to_string(id, r->machine_id);
}

int runner_new(sd_event *event, const RunnerOptions *options, RunnerConfig *config, Runner **ret) {
        Runner *r = new0(Runner, 1);

        if (!r)
                return -ENOMEM;
        *r = (Runner){
                .event = sd_event_ref(event),
                .config = config,
                .options = options,
                .state_fd = -EBADF,
                .user_mode = config->user_mode,
                .started_usec = now_usec(CLOCK_MONOTONIC),
                .started_at_usec = now_usec(CLOCK_REALTIME),
        };
        r->ctx = (ConversationContext){
                .run.event = event,
                .run.config = config,
                .run.state_fd = -EBADF,
                .run.conversations_fd = -EBADF,
                .hooks = &runner_conversation_hooks,
                .userdata = r,
        };
        if (registry_new(&r->conversations) < 0 || totals_new(&r->totals) < 0) {
                runner_free(r);
                return -ENOMEM;
        }
        runner_take_git_settings(r);
        if (r->user_mode) {
                const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

                r->git_cache = cache && cache[0] == '/' ?
                                xasprintf("%s/northflare-git", cache) :
                                xasprintf("%s/.cache/northflare-git", strempty(home));
                r->ctx.git.cache_dir = r->git_cache;
        }
        read_identity(r);
        *ret = r;
        return 0;
}

int runner_open(Runner *r) {
        _cleanup_free_ char *error = NULL;
        int k;

        k = add_sources(r);
        if (k >= 0)
                k = announcer_new(r->event, runner_update_status, r, &r->announcer);
        if (k >= 0)
                k = runner_drain_open(r);
        if (k >= 0)
                k = runner_admission_open(r);
        if (k < 0)
                return log_error_errno(k, "The event loop cannot be set up: %m");
        if (ceilings_load(r->user_mode, &r->ceilings, &error) < 0)
                log_warning("The launcher's ceilings cannot be read, it will refuse what is above them: %s",
                            strempty(error));
        limits_clip(&r->config->limits, &r->ceilings.limits);
        k = open_state(r);
        if (k < 0)
                return k;
        k = watch_new(r->event, &r->ctx.run.watch);
        if (k < 0)
                return log_error_errno(k, "inotify: %m");
        k = open_bus(r);
        if (k < 0)
                return k;
        if (r->config->orchestrator_url) {
                k = runner_open_link(r);
                if (k < 0)
                        return log_error_errno(k, "The link to the orchestrator cannot be made: %m");
        }
        k = resend_new(r->store, r->ctx.sender, &r->resend);
        if (k < 0)
                return log_oom();
        return 0;
}

int runner_begin(Runner *r) {
        int k;

        runner_sweep(r);
        runner_workspaces_open(r);
        k = runner_adopt(r);
        if (k < 0)
                return k;
        r->ready = true;
        announcer_changed(r->announcer);
        (void) sd_notify(0, "READY=1");
        log_info("northflare-runner " PROJECT_VERSION " is ready, %u conversations adopted.",
                 registry_count_live(r->conversations));
        r->ctx.run.ready = true;
        runner_begin_all(r);
        runner_tell_user_mode(r);
        runner_crash_look(r);
        runner_set_draining(r, r->draining, r->drain_left_usec);
        return r->link ? link_start(r->link) : 0;
}

void runner_stop(Runner *r) {
        if (r && r->store)
                runner_flush_cursors(r);
}

Runner *runner_free(Runner *r) {
        if (!r)
                return NULL;
        if (r->conversations)
                runner_forget_all(r);
        event_cache_free(r->ctx.event_cache);
        control_free(r->control);
        resend_free(r->resend);
        link_free(r->link);
        runner_crash_close(r);
        sd_bus_slot_unref(r->exit_question);
        shutdown_watch_free(r->shutdown);
        units_free(r->ctx.run.units);
        watch_free(r->ctx.run.watch);
        store_close(r->store);
        sd_event_source *sources[] = { r->readopt_timer,   r->disk_timer,      r->drain_source,
                                       r->admission_timer, r->exit_timer,      r->crash_timer,
                                       r->drain_deadline,  r->drain_processes, r->sigterm,
                                       r->sigint,          r->sighup };
        housekeeping_free(r->housekeeping);
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                sd_event_source_disable_unref(sources[i]);
        sd_bus_flush_close_unref(r->bus);
        safe_close(r->ctx.run.conversations_fd);
        safe_close(r->state_fd);
        sd_event_unref(r->event);
        free(r->git_cache);
        strv_free(r->ctx.run.controllers_told);
        totals_free(r->totals);
        queue_counter_free(r->queue);
        registry_free(r->conversations);
        announcer_free(r->announcer);
        free(r);
        return NULL;
}
