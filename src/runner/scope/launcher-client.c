/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "runner/scope/launcher-client.h"

#define LAUNCHER_NAME "org.northflare.Launcher1"
#define LAUNCHER_PATH "/org/northflare/Launcher1"
#define LAUNCHER_ERROR LAUNCHER_NAME ".Error."
/* More than the launcher gives a start, and the queue before it. */
#define CALL_TIMEOUT_USEC (90 * USEC_PER_SEC)

struct LauncherCall {
        sd_bus_slot *slot;
        LauncherDone done;
        void *userdata;
        bool floating; /* without an owner: it is freed when it is done */
};

LauncherCall *launcher_call_free(LauncherCall *c) {
        if (!c)
                return NULL;
        sd_bus_slot_unref(c->slot);
        free(c);
        return NULL;
}

static int error_number(const sd_bus_error *error) {
        static const struct {
                const char *name;
                int number;
        } numbers[] = {
                { LAUNCHER_ERROR "InvalidArgument", EINVAL }, { LAUNCHER_ERROR "LimitTooHigh", ERANGE },
                { LAUNCHER_ERROR "TooMany", EAGAIN },         { LAUNCHER_ERROR "NotOurs", EPERM },
                { LAUNCHER_ERROR "NoSuchUnit", ENOENT },      { LAUNCHER_ERROR "Exists", EEXIST },
                { LAUNCHER_ERROR "AccessDenied", EACCES },    { LAUNCHER_ERROR "Failed", EIO },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (sd_bus_error_has_name(error, numbers[i].name))
                        return -numbers[i].number;
        int r = sd_bus_error_get_errno(error);
        return r > 0 ? -r : -EIO;
}

static void report(LauncherCall *c, int error, const char *text, const char *unit, const char *invocation) {
        LauncherDone done = c->done;
        void *userdata = c->userdata;

        /* done may free the call. */
        if (c->floating)
                launcher_call_free(c);
        else
                c->slot = sd_bus_slot_unref(c->slot);
        done(error, text, unit, invocation, userdata);
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const char *unit = NULL;
        char invocation[33] = "";
        const void *id;
        size_t size;
        int r;

        if (error) {
                report(userdata, error_number(error), error->message ?: error->name, NULL, NULL);
                return 0;
        }
        if (!sd_bus_message_has_signature(reply, "say")) {
                report(userdata, 0, NULL, NULL, NULL);
                return 0;
        }
        r = sd_bus_message_read(reply, "s", &unit);
        if (r >= 0)
                r = sd_bus_message_read_array(reply, 'y', &id, &size);
        if (r < 0) {
                report(userdata, r, "Failed to parse the launcher's reply.", NULL, NULL);
                return 0;
        }
        for (size_t i = 0; i < size && i < 16; i++)
                (void) snprintf(invocation + 2 * i, 3, "%02x", ((const unsigned char *) id)[i]);
        report(userdata, 0, NULL, unit, invocation);
        return 0;
}

static int send_call(sd_bus *bus, sd_bus_message *m, LauncherDone done, void *userdata, LauncherCall **ret) {
        _cleanup_(launcher_call_freep) LauncherCall *c = new0(LauncherCall, 1);
        int r;

        if (!c)
                return -ENOMEM;
        *c = (LauncherCall){ .done = done, .userdata = userdata, .floating = !ret };
        r = sd_bus_call_async(bus, &c->slot, m, on_reply, c, CALL_TIMEOUT_USEC);
        if (r < 0)
                return r;
        if (ret)
                *ret = c;
        (void) TAKE_PTR(c);
        return 0;
}

static int new_call(sd_bus *bus, const char *verb, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(bus, ret, LAUNCHER_NAME, LAUNCHER_PATH, LAUNCHER_NAME, verb);
}

/* A call whose first argument is a unit. */
static int new_unit_call(sd_bus *bus, const char *verb, const char *unit, sd_bus_message **ret) {
        int r = new_call(bus, verb, ret);

        return r < 0 ? r : sd_bus_message_append(*ret, "s", unit);
}

static int append_limits(sd_bus_message *m, const LauncherLimit *limits, size_t n) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{st}");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = sd_bus_message_append(m, "{st}", limits[i].name, limits[i].value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_environment(sd_bus_message *m, char *const *env) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        STRV_FOREACH(s, env) {
                const char *value = strchr(*s, '=');
                _cleanup_free_ char *name = value ? strndup(*s, (size_t) (value - *s)) : strdup(*s);

                if (!name)
                        return -ENOMEM;
                if (r >= 0)
                        r = sd_bus_message_append(m, "{ss}", name, value ? value + 1 : "");
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_call(bus, "Start", &m);
        if (r >= 0)
                r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = sd_bus_message_append(
                        m,
                        "ssus",
                        scope_kind_to_string(start->kind),
                        start->id,
                        start->run,
                        strempty(start->workspace));
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) start->argv);
        if (r >= 0)
                r = append_environment(m, start->env);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", strempty(start->cwd));
        if (r >= 0)
                r = append_limits(m, start->limits, start->n_limits);
        if (r >= 0)
                r = sd_bus_message_append(m, "h", start->dirfd);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "h");
        for (unsigned i = 0; i < start->n_extra && r >= 0; i++)
                r = sd_bus_message_append(m, "h", start->extra[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : send_call(bus, m, done, userdata, ret);
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

        r = new_unit_call(bus, verb, unit, &m);
        return r < 0 ? r : send_call(bus, m, done, userdata, ret);
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

        r = new_unit_call(bus, "SetLimits", unit, &m);
        if (r >= 0)
                r = append_limits(m, limits, n_limits);
        return r < 0 ? r : send_call(bus, m, done, userdata, ret);
}
