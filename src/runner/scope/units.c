/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "common/log.h"
#include "common/oneshot.h"
#include "common/scope-name.h"
#include "runner/scope/units.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define RETRY_USEC (200 * USEC_PER_MSEC)
#define LIST_RETRY_USEC (10 * USEC_PER_SEC)

struct Units {
        sd_bus *bus;
        sd_bus_slot *removed, *changed, *subscribe;
        sd_event_source *again;
        UnitsCallback callback;
        void *userdata;
};

typedef struct ResultCall {
        UnitsResult callback;
        void *userdata;
} ResultCall;

static int on_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        const char *unit;

        if (sd_bus_message_read(m, "so", &unit, NULL) >= 0 && scope_name_parse(unit, NULL))
                u->callback(unit, u->userdata);
        return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *unit = NULL;
        Units *u = userdata;

        if (sd_bus_path_decode(sd_bus_message_get_path(m), UNIT_PATH, &unit) > 0 &&
            scope_name_parse(unit, NULL))
                u->callback(unit, u->userdata);
        return 0;
}

static int subscribe(Units *u);

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) subscribe(userdata);
        return 0;
}

/* Without a subscriber PID 1 announces only the jobs that we requested ourselves. */
static int on_subscribed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        sd_event *event;
        Units *u = userdata;

        if (!e || sd_bus_error_has_name(e, "org.freedesktop.systemd1.AlreadySubscribed"))
                return 0;
        log_warning(
                "Failed to subscribe to changes of systemd's units, trying again: %s", strempty(e->message));
        event = sd_bus_get_event(u->bus);
        if (event)
                (void) oneshot_start(&u->again, event, RETRY_USEC, on_again, u);
        return 0;
}

static int subscribe(Units *u) {
        u->subscribe = sd_bus_slot_unref(u->subscribe);
        return sd_bus_call_method_async(
                u->bus,
                &u->subscribe,
                MANAGER,
                MANAGER_PATH,
                MANAGER_INTERFACE,
                "Subscribe",
                on_subscribed,
                u,
                NULL);
}

int units_new(sd_bus *bus, UnitsCallback callback, void *userdata, Units **ret) {
        _cleanup_(units_freep) Units *u = new0(Units, 1);
        int r;

        if (!u)
                return -ENOMEM;
        *u = (Units){ .bus = sd_bus_ref(bus), .callback = callback, .userdata = userdata };
        r = sd_bus_match_signal_async(
                bus,
                &u->removed,
                MANAGER,
                MANAGER_PATH,
                MANAGER_INTERFACE,
                "UnitRemoved",
                on_removed,
                NULL,
                u);
        if (r < 0)
                return r;
        /* One match for all scopes: a bus connection may have no more than 512 of them. */
        r = sd_bus_add_match_async(
                bus,
                &u->changed,
                "type='signal',sender='" MANAGER "',interface='org.freedesktop.DBus.Properties',"
                "member='PropertiesChanged',path_namespace='" UNIT_PATH "',arg0='" MANAGER ".Scope'",
                on_changed,
                NULL,
                u);
        if (r < 0)
                return r;
        r = subscribe(u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

Units *units_free(Units *u) {
        if (!u)
                return NULL;
        sd_bus_slot_unref(u->removed);
        sd_bus_slot_unref(u->changed);
        sd_bus_slot_unref(u->subscribe);
        sd_event_source_disable_unref(u->again);
        sd_bus_unref(u->bus);
        free(u);
        return NULL;
}

int units_list(Units *u, char ***ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_strv_free_ char **list = new0(char *, 1);
        const char *name;
        int r;

        if (!list)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(
                u->bus, &m, MANAGER, MANAGER_PATH, MANAGER_INTERFACE, "ListUnitsByPatterns");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "asas", 0, 1, SCOPE_NAME_PATTERN);
        if (r < 0)
                return r;
        for (uint64_t begun = now_usec(CLOCK_MONOTONIC);;) {
                r = sd_bus_call(u->bus, m, 30 * USEC_PER_SEC, &error, &reply);
                if (r >= 0)
                        break;
                /* systemd leaves the bus for a moment while it re-executes itself. */
                if (sd_bus_is_open(u->bus) <= 0 || now_usec(CLOCK_MONOTONIC) - begun > LIST_RETRY_USEC)
                        return r;
                log_debug("Failed to list systemd's scopes, trying again: %s", strempty(error.message));
                sd_bus_error_free(&error);
                (void) nanosleep(&(struct timespec){ .tv_nsec = (long) (RETRY_USEC * NSEC_PER_USEC) }, NULL);
        }
        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(
                        reply,
                        "(ssssssouso)",
                        &name,
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL)) > 0) {
                r = strv_extend(&list, name);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

/* The two properties that count, of all there are; NULL where one is not among them. Both are borrowed from m. */
static int read_state(sd_bus_message *m, const char **ret_load, const char **ret_result) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char **value;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                value = streq(name, "LoadState") ? ret_load : streq(name, "Result") ? ret_result : NULL;
                r = value ? sd_bus_message_read(m, "v", "s", value) : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int on_result(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ResultCall *c = userdata;
        const char *load = NULL, *result = NULL;

        /* A unit that is not there is loaded by the question, as "not-found", and its Result is that of one that has never
         * run: "success". */
        if (sd_bus_message_is_method_error(m, NULL) || read_state(m, &load, &result) < 0 ||
            !streq_ptr(load, "loaded"))
                result = NULL;
        c->callback(result, c->userdata);
        return 0;
}

int units_get_result(Units *u, const char *unit, UnitsResult callback, void *userdata, sd_bus_slot **ret) {
        _cleanup_free_ char *path = NULL;
        ResultCall *c;
        int r;

        r = sd_bus_path_encode(UNIT_PATH, unit, &path);
        if (r < 0)
                return r;
        c = new0(ResultCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (ResultCall){ callback, userdata };
        r = sd_bus_call_method_async(
                u->bus,
                ret,
                MANAGER,
                path,
                "org.freedesktop.DBus.Properties",
                "GetAll",
                on_result,
                c,
                "s",
                "");
        if (r < 0) {
                free(c);
                return r;
        }
        (void) sd_bus_slot_set_destroy_callback(*ret, free);
        return 0;
}
