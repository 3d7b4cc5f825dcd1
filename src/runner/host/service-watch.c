/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>

#include "common/log.h"
#include "runner/host/service-watch.h"

#define MANAGER "org.freedesktop.systemd1"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define SERVICE MANAGER ".Service"
#define PROPERTIES "org.freedesktop.DBus.Properties"

struct ServiceWatch {
        sd_bus *bus;
        sd_bus_slot *changed, *get;
        char *path;
        ServiceFailed callback;
        void *userdata;
};

typedef struct Facts {
        const char *result;
        int32_t code, status;
        uint64_t exit_usec;
} Facts;

static int read_one(sd_bus_message *m, const char *name, Facts *f) {
        if (streq(name, "Result"))
                return sd_bus_message_read(m, "v", "s", &f->result);
        if (streq(name, "ExecMainCode"))
                return sd_bus_message_read(m, "v", "i", &f->code);
        if (streq(name, "ExecMainStatus"))
                return sd_bus_message_read(m, "v", "i", &f->status);
        if (streq(name, "ExecMainExitTimestamp"))
                return sd_bus_message_read(m, "v", "t", &f->exit_usec);
        return sd_bus_message_skip(m, "v");
}

static int read_facts(sd_bus_message *m, Facts *f) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_one(m, name, f);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static bool has_failed(const Facts *f) {
        return f->result && !streq(f->result, "success") && f->exit_usec > 0;
}

static void describe(const Facts *f, UnitEnd *ret) {
        const char *name = f->code == CLD_EXITED || f->status < 0 || f->status > 64 ?
                NULL :
                sigabbrev_np(f->status);

        (void) snprintf(ret->result, sizeof(ret->result), "%s", f->result);
        (void) snprintf(
                ret->code,
                sizeof(ret->code),
                "%s",
                f->code == CLD_EXITED         ? "exited" :
                        f->code == CLD_DUMPED ? "dumped" :
                                                "killed");
        if (name)
                (void) snprintf(ret->status, sizeof(ret->status), "%s", name);
        else
                (void) snprintf(ret->status, sizeof(ret->status), "%d", (int) f->status);
}

static int on_facts(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ServiceWatch *w = userdata;
        Facts f = {};
        UnitEnd end = {};

        if (sd_bus_message_is_method_error(m, NULL) || read_facts(m, &f) < 0 || !has_failed(&f))
                return 0;
        describe(&f, &end);
        w->callback(&end, f.exit_usec, w->userdata);
        return 0;
}

/* Any client that can send to us can send this, so it only makes us ask systemd. */
static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ServiceWatch *w = userdata;
        Facts f = {};
        int r;

        if (sd_bus_message_read(m, "s", NULL) < 0 || read_facts(m, &f) < 0 || !has_failed(&f))
                return 0;
        w->get = sd_bus_slot_unref(w->get);
        r = sd_bus_call_method_async(
                w->bus, &w->get, MANAGER, w->path, PROPERTIES, "GetAll", on_facts, w, "s", SERVICE);
        if (r < 0)
                log_debug_errno(r, "Failed to ask systemd how a service ended: %m");
        return 0;
}

int service_watch_new(
        sd_bus *bus,
        const char *unit,
        ServiceFailed callback,
        void *userdata,
        ServiceWatch **ret) {
        _cleanup_free_ char *rule = NULL;
        ServiceWatch *w = new0(ServiceWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (ServiceWatch){ .bus = sd_bus_ref(bus), .callback = callback, .userdata = userdata };
        r = sd_bus_path_encode(UNIT_PATH, unit, &w->path);
        if (r >= 0) {
                rule = xasprintf(
                        "type='signal',sender='" MANAGER "',interface='" PROPERTIES "',"
                        "member='PropertiesChanged',path='%s',arg0='" SERVICE "'",
                        w->path);
                r = rule ? sd_bus_add_match_async(bus, &w->changed, rule, on_changed, NULL, w) : -ENOMEM;
        }
        if (r < 0) {
                service_watch_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

ServiceWatch *service_watch_free(ServiceWatch *w) {
        if (!w)
                return NULL;
        sd_bus_slot_unref(w->changed);
        sd_bus_slot_unref(w->get);
        sd_bus_unref(w->bus);
        free(w->path);
        free(w);
        return NULL;
}
