/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "launcher/manager.h"

/* northflare-launcher: makes the scopes that programs run in, and starts them there as users that the caller cannot
 * choose. It is started by the bus for a call and leaves when there was none for a while. */

#define BUS_NAME "org.northflare.Launcher1"
#define BUS_PATH "/org/northflare/Launcher1"
#define IDLE_SEC_DEFAULT 60U

static bool manager_is_busy(const Manager *m) {
        return m->n_starts > 0 || m->n_verbs > 0;
}

void manager_touch(Manager *m) {
        if (m->leaving) {
                if (!manager_is_busy(m))
                        (void) sd_event_exit(m->event, 0);
                return;
        }
        (void) sd_event_source_set_time_relative(m->idle, m->idle_usec);
        (void) sd_event_source_set_enabled(m->idle, manager_is_busy(m) ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Gives the name up first and then serves what had come for it before: a call that comes later starts a launcher anew,
 * and systemd waits for this one to end before it does so. */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        if (manager_is_busy(m))
                return 0;
        m->leaving = true;
        (void) sd_notify(false, "STOPPING=1");
        (void) sd_bus_release_name(m->bus, BUS_NAME);
        while (sd_bus_process(m->bus, NULL) > 0)
                ;
        manager_touch(m);
        return 0;
}

int manager_check_caller(Manager *m, sd_bus_message *call, sd_bus_error *e) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        uid_t uid;
        int r;

        /* Asks the bus, which knows by the socket; nothing is read from a process that may be another by now. */
        r = sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, &uid);
        if (r < 0)
                return sd_bus_error_setf(e, ERROR_ACCESS_DENIED, "The caller's user is not known.");
        if (uid != m->settings.runner.uid)
                return sd_bus_error_setf(
                                e, ERROR_ACCESS_DENIED, "Only the runner's user may call the launcher.");
        return 0;
}

int manager_check_usable(Manager *m, sd_bus_error *e) {
        return m->unusable ? sd_bus_error_setf(e, ERROR_FAILED, "%s", m->unusable) : 0;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_NAMES(
                        "Start",
                        "ssusasa{ss}sa{st}hah",
                        SD_BUS_PARAM(kind) SD_BUS_PARAM(id) SD_BUS_PARAM(run) SD_BUS_PARAM(workspace)
                                        SD_BUS_PARAM(argv) SD_BUS_PARAM(env) SD_BUS_PARAM(cwd) SD_BUS_PARAM(
                                                        limits) SD_BUS_PARAM(dirfd) SD_BUS_PARAM(extra),
                        "say",
                        SD_BUS_PARAM(unit) SD_BUS_PARAM(invocation),
                        method_start,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_NAMES(
                        "Stop",
                        "s",
                        SD_BUS_PARAM(unit),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "Kill",
                        "s",
                        SD_BUS_PARAM(unit),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "Freeze",
                        "s",
                        SD_BUS_PARAM(unit),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "Thaw",
                        "s",
                        SD_BUS_PARAM(unit),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "SetLimits",
                        "sa{st}",
                        SD_BUS_PARAM(unit) SD_BUS_PARAM(limits),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "Collect",
                        "s",
                        SD_BUS_PARAM(unit),
                        "",
                        ,
                        method_verb,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES(
                        "Pending",
                        "",
                        ,
                        "as",
                        SD_BUS_PARAM(units),
                        method_pending,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* What systemd can do, and where its cgroups begin. Asked once, before the name is ours and anybody waits. */
static int manager_probe(Manager *m) {
        _cleanup_free_ char *version = NULL, *cgroup = NULL;
        unsigned long number;
        int r;

        r = sd_bus_get_property_string(
                        m->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Version", NULL, &version);
        if (r < 0)
                return r;
        number = strtoul(version + strcspn(version, "0123456789"), NULL, 10);
        m->pidfds = number >= 255;
        r = sd_bus_get_property_string(
                        m->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ControlGroup", NULL, &cgroup);
        if (r < 0)
                return r;
        m->slice_path = xasprintf("/sys/fs/cgroup%s/" SLICE_NAME, streq(cgroup, "/") ? "" : cgroup);
        return m->slice_path ? 0 : -ENOMEM;
}

static int manager_run(Manager *m) {
        sigset_t mask;
        int r;

        if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGCHLD) < 0 || sigaddset(&mask, SIGTERM) < 0 ||
            sigaddset(&mask, SIGINT) < 0 || sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);
        r = sd_event_default(&m->event);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                m->event, &m->idle, CLOCK_MONOTONIC, m->idle_usec, 0, on_idle, m);
        if (r >= 0)
                r = m->settings.user_mode ? sd_bus_open_user(&m->bus) : sd_bus_open_system(&m->bus);
        if (r >= 0)
                r = manager_probe(m);
        if (r >= 0)
                r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(m->bus, true);
        if (r >= 0)
                r = sd_bus_match_signal(
                                m->bus,
                                NULL,
                                SYSTEMD_NAME,
                                SYSTEMD_PATH,
                                SYSTEMD_MANAGER,
                                "JobRemoved",
                                on_job_removed,
                                m);
        if (r >= 0)
                r = sd_bus_add_object_vtable(m->bus, NULL, BUS_PATH, BUS_NAME, vtable, m);
        if (r >= 0)
                r = sd_bus_request_name(m->bus, BUS_NAME, 0);
        if (r >= 0)
                r = sd_event_loop(m->event);
        starts_abandon(m);
        sd_event_source_disable_unref(m->idle);
        sd_bus_flush_close_unref(m->bus);
        sd_event_unref(m->event);
        free(m->slice_path);
        return r;
}

static int help(void) {
        puts("northflare-launcher [--user] [--idle-sec=N]\n\n"
             "Starts agents in scopes for northflare-runner. The bus starts it when it is needed.\n\n"
             "  --user            for the user manager and the user's bus, as the user who calls\n"
             "  --idle-sec=N      leave N seconds after the last call was served (60)\n"
             "  -h, --help        show this\n"
             "  --version         show the version");
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                {"user",             no_argument, NULL, 'u' },
                { "idle-sec",              required_argument, NULL, 'i' },
                { "help",                 no_argument, NULL, 'h' },
                { "version",no_argument, NULL, 'v' },
                {           },
        };
        _cleanup_free_ char *error = NULL;
        Manager m = {};
        uint64_t idle = IDLE_SEC_DEFAULT;
        bool user = false;
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'u':
                        user = true;
                        break;
                case 'i':
                        if (safe_atou64(optarg, &idle) < 0 || idle == 0 || idle > UINT32_MAX) {
                                (void) fprintf(stderr,
                                               "northflare-launcher: --idle-sec= takes a number of seconds\n");
                                return 2;
                        }
                        break;
                case 'h':
                        return help();
                case 'v':
                        puts(PROJECT_VERSION);
                        return EXIT_SUCCESS;
                default:
                        return 2;
                }
        if (optind < argc) {
                (void) fprintf(stderr, "northflare-launcher: takes no arguments\n");
                return 2;
        }
        log_open("northflare-launcher", LOG_TARGET_AUTO);
        r = settings_init(&m.settings, user, &error);
        if (r < 0) {
                log_error("%s", error ?: strerror(-r));
                settings_done(&m.settings);
                return 78; /* EX_CONFIG */
        }
        /* With settings that cannot be used nothing is started, and whoever tries is told why; what runs can still be
         * stopped. It leaves soon, to read them again. */
        r = settings_load(&m.settings, &m.unusable);
        if (r < 0) {
                if (!m.unusable)
                        m.unusable = strdup(strerror(-r));
                log_error("Nothing can be started: %s", strempty(m.unusable));
                idle = 1;
        }
        m.idle_usec = idle * USEC_PER_SEC;
        r = manager_run(&m);
        if (r < 0)
                log_error_errno(r, "The launcher ends: %m");
        settings_done(&m.settings);
        free(m.unusable);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
