/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "launcher/manager-internal.h"
#include "launcher/task.h"

/* northflare-launcher: makes the scopes that programs run in, and starts them there as users that the caller cannot
 * choose. It is started by the bus for a call and leaves when there was none for a while. */

#define BUS_NAME "org.northflare.Launcher1"
#define BUS_PATH "/org/northflare/Launcher1"
#define IDLE_SEC_DEFAULT 60U

/* Releases the bus name first and then serves the calls that came before: a later call starts the launcher again, and
 * systemd waits until this one has ended. */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        m->leaving = true;
        (void) sd_notify(false, "STOPPING=1");
        (void) sd_bus_release_name(m->bus, BUS_NAME);
        while (sd_bus_process(m->bus, NULL) > 0)
                ;
        manager_touch(m);
        return 0;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD(
                "Start",
                "ssusasa{ss}sa{st}hah",
                "say",
                on_call,
                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD("Stop", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Kill", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Freeze", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Thaw", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetLimits", "sa{st}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Collect", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Pending", "", "as", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int manager_run(Manager *m) {
        _cleanup_free_ char *cgroup = NULL;
        sigset_t mask;
        int r;

        if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGCHLD) < 0 || sigaddset(&mask, SIGTERM) < 0 ||
            sigaddset(&mask, SIGINT) < 0 || sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ||
            signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        if ((r = sd_event_default(&m->event)) < 0 ||
            (r = sd_event_add_signal(m->event, NULL, SIGTERM, NULL, NULL)) < 0 ||
            (r = sd_event_add_signal(m->event, NULL, SIGINT, NULL, NULL)) < 0 ||
            (r = sd_event_add_time_relative(
                     m->event, &m->idle, CLOCK_MONOTONIC, m->idle_usec, 0, on_idle, m)) < 0 ||
            (r = m->settings.user_mode ? sd_bus_open_user(&m->bus) : sd_bus_open_system(&m->bus)) < 0 ||
            (r = sd_bus_get_property_string(
                     m->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ControlGroup", NULL, &cgroup)) <
                    0)
                return r;
        m->slice_path = xasprintf("/sys/fs/cgroup%s/" SCOPES_SLICE, streq(cgroup, "/") ? "" : cgroup);
        if (!m->slice_path)
                return -ENOMEM;
        /* The match is there before the name, and so before the first start. */
        if ((r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
            (r = sd_bus_set_exit_on_disconnect(m->bus, true)) < 0 ||
            (r = sd_bus_match_signal(
                     m->bus,
                     NULL,
                     SYSTEMD_NAME,
                     SYSTEMD_PATH,
                     SYSTEMD_MANAGER,
                     "JobRemoved",
                     on_job_removed,
                     m)) < 0 ||
            (r = sd_bus_add_object_vtable(m->bus, NULL, BUS_PATH, BUS_NAME, vtable, m)) < 0 ||
            (r = sd_bus_request_name(m->bus, BUS_NAME, 0)) < 0)
                return r;
        r = sd_event_loop(m->event);
        sd_bus_flush_close_unref(m->bus);
        return r;
}

static int usage(FILE *f) {
        (void) fputs(
                "northflare-launcher [--user] [--idle-sec=N]\n\n"
                "Start agents in scopes for northflare-runner. The bus activates it on demand.\n\n"
                "  --user            Serve the user manager on the user's bus, as the calling user\n"
                "  --idle-sec=N      Exit N seconds after the last call was served [60]\n"
                "  -h, --help        Show this text\n"
                "  --version         Show the version\n",
                f);
        return f == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char *argv[]) {
        /* The remainder is released when the process ends: gates are closed, and children that wait exit. */
        static Manager m;
        uint64_t idle = IDLE_SEC_DEFAULT;
        bool user = false;
        _cleanup_free_ char *error = NULL;
        int r;

        for (int i = 1; i < argc; i++) {
                const char *seconds = startswith(argv[i], "--idle-sec=");

                if (streq(argv[i], "--help") || streq(argv[i], "-h"))
                        return usage(stdout);
                if (streq(argv[i], "--version"))
                        return puts(PROJECT_VERSION) < 0;
                if (streq(argv[i], "--user"))
                        user = true;
                else if (!seconds || safe_atou64(seconds, &idle) < 0 || idle == 0 || idle > UINT32_MAX)
                        return usage(stderr);
        }
        log_open("northflare-launcher", LOG_TARGET_AUTO);
        (void) signal(SIGCHLD, SIG_DFL); /* ignored by the parent, it would make waitpid() fail */
        r = settings_init(&m.settings, user, &error);
        if (r < 0) {
                log_error("%s", error ?: strerror(-r));
                return 78; /* EX_CONFIG */
        }
        /* With invalid settings every start is refused with the reason; running scopes can still be stopped. The launcher
         * exits soon, to read the settings again. */
        r = settings_load(&m.settings, &error);
        if (r < 0) {
                m.unusable = error ?: "Out of memory.";
                log_error("Failed to load the settings, no scope can be started: %s", m.unusable);
                idle = 1;
        }
        m.idle_usec = idle * USEC_PER_SEC;
        r = manager_run(&m);
        if (r < 0)
                log_error_errno(r, "Failed to run the launcher: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
