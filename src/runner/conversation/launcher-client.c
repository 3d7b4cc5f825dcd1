/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "runner/conversation/launcher-client.h"

#define LAUNCHER "org.northflare.Launcher1"
#define LAUNCHER_PATH "/org/northflare/Launcher1"
#define LAUNCHER_ERROR LAUNCHER ".Error."
/* A start waits for its turn behind 32 others, and for PID 1. */
#define CALL_USEC (120 * USEC_PER_SEC)

struct LauncherCall {
        sd_bus_slot *slot;
        LauncherDone done;
        void *userdata;
        bool is_start;
};

/* The errors that mean "refused, and nothing was started" stay apart from those that leave it open. */
static int error_of(const sd_bus_error *e) {
        static const struct {
                const char *name;
                int error;
        } names[] = {
                { LAUNCHER_ERROR "InvalidArgument", -EINVAL }, { LAUNCHER_ERROR "LimitTooHigh", -ERANGE },
                { LAUNCHER_ERROR "TooMany", -EUSERS },         { LAUNCHER_ERROR "NotOurs", -EPERM },
                { LAUNCHER_ERROR "Failed", -EIO },             { SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT },
                { SD_BUS_ERROR_TIMEOUT, -ETIMEDOUT },          { SD_BUS_ERROR_DISCONNECTED, -ECONNRESET },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, -ENXIO },      { SD_BUS_ERROR_NAME_HAS_NO_OWNER, -ENXIO },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (sd_bus_error_has_name(e, names[i].name))
                        return names[i].error;
        int r = sd_bus_error_get_errno(e);
        return r > 0 ? -r : -EIO;
}

static int read_started(sd_bus_message *m, const char **ret_unit, char invocation[static 33]) {
        const void *id;
        size_t size;
        int r;

        r = sd_bus_message_read(m, "s", ret_unit);
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'y', &id, &size);
        if (r < 0)
                return r;
        for (size_t i = 0; i < size && i < 16; i++)
                (void) snprintf(invocation + 2 * i, 3, "%02x", ((const unsigned char *) id)[i]);
        return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        LauncherCall *c = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        char invocation[33] = "";
        const char *unit = NULL;

        c->slot = sd_bus_slot_unref(c->slot);
        if (e) {
                c->done(error_of(e), strempty(e->message), NULL, NULL, c->userdata);
                return 0;
        }
        int r = c->is_start ? read_started(m, &unit, invocation) : 0;
        c->done(r, r < 0 ? "the launcher's answer cannot be read" : NULL, unit, unit ? invocation : NULL, c->userdata);
        return 0;
}

static int call(
                sd_bus *bus,
                sd_bus_message *m,
                bool is_start,
                LauncherDone done,
                void *userdata,
                LauncherCall **ret) {
        LauncherCall *c = new0(LauncherCall, 1);
        int r;

        if (!c)
                return -ENOMEM;
        *c = (LauncherCall) { .done = done, .userdata = userdata, .is_start = is_start };
        r = sd_bus_call_async(bus, &c->slot, m, on_reply, c, CALL_USEC);
        if (r < 0) {
                free(c);
                return r;
        }
        *ret = c;
        return 0;
}

static int new_call(sd_bus *bus, const char *member, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(bus, ret, LAUNCHER, LAUNCHER_PATH, LAUNCHER, member);
}

static int append_strings(sd_bus_message *m, char *const *strings) {
        int r = sd_bus_message_open_container(m, 'a', "s");

        for (size_t i = 0; r >= 0 && strings && strings[i]; i++)
                r = sd_bus_message_append(m, "s", strings[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_env(sd_bus_message *m, char *const *env) {
        int r = sd_bus_message_open_container(m, 'a', "{ss}");

        for (size_t i = 0; r >= 0 && env && env[i]; i++) {
                const char *equals = strchr(env[i], '=');
                _cleanup_free_ char *name = equals ? strndup(env[i], (size_t) (equals - env[i])) : NULL;

                r = name ? sd_bus_message_append(m, "{ss}", name, equals + 1) : -EINVAL;
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_limits(sd_bus_message *m, const LauncherLimit *limits, size_t n) {
        int r = sd_bus_message_open_container(m, 'a', "{st}");

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(m, "{st}", limits[i].name, limits[i].value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_fds(sd_bus_message *m, const int *fds, unsigned n) {
        int r = sd_bus_message_open_container(m, 'a', "h");

        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(m, "h", fds[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int launcher_start(sd_bus *bus, const LauncherStart *s, LauncherDone done, void *userdata, LauncherCall **ret) {
        static const char *const kinds[] = { "agent", "git", "hook" };
        /* The message holds copies of the descriptors: it must go before anybody waits for their end. */
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_call(bus, "Start", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssus", kinds[s->kind], s->id, s->run, s->workspace);
        if (r >= 0)
                r = append_strings(m, s->argv);
        if (r >= 0)
                r = append_env(m, s->env);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", strempty(s->cwd));
        if (r >= 0)
                r = append_limits(m, s->limits, s->n_limits);
        if (r >= 0)
                r = sd_bus_message_append(m, "h", s->dirfd);
        if (r >= 0)
                r = append_fds(m, s->extra, s->n_extra);
        return r < 0 ? r : call(bus, m, true, done, userdata, ret);
}

int launcher_unit_verb(
                sd_bus *bus,
                const char *verb,
                const char *unit,
                LauncherDone done,
                void *userdata,
                LauncherCall **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_call(bus, verb, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", unit);
        return r < 0 ? r : call(bus, m, false, done, userdata, ret);
}

int launcher_set_limits(
                sd_bus *bus,
                const char *unit,
                const LauncherLimit *limits,
                size_t n_limits,
                LauncherDone done,
                void *userdata,
                LauncherCall **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_call(bus, "SetLimits", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", unit);
        if (r >= 0)
                r = append_limits(m, limits, n_limits);
        return r < 0 ? r : call(bus, m, false, done, userdata, ret);
}

LauncherCall *launcher_call_free(LauncherCall *c) {
        if (!c)
                return NULL;
        sd_bus_slot_unref(c->slot);
        free(c);
        return NULL;
}
