/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <time.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/snapshot.h"
#include "ctl/bus/values.h"
#include "ctl/options.h"

static int call(const char *interface, const char *method, Json **ret, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(bus, BUS_NAME, PATH_MANAGER, interface, method, error, &reply, NULL);

        if (r >= 0)
                r = read_value(reply, ret);
        return r < 0 ? r : *ret ? 0 : -EBADMSG;
}

static int merge(Json *to, Json *from) {
        json_object_object_foreach(from, name, value) {
                _cleanup_free_ char *copy = strdup(name);

                if (!copy)
                        return -ENOMEM;
                /* StartedAt on the bus is startedAt in all JSON of ours. */
                copy[0] = (char) tolower((unsigned char) copy[0]);
                if (json_set(to, copy, json_object_get(value)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int by_start(const void *a, const void *b) {
        Json *x = *(Json *const *) a, *y = *(Json *const *) b;
        uint64_t s = 0, t = 0;

        (void) json_get_u64(x, "startedAt", &s);
        (void) json_get_u64(y, "startedAt", &t);
        return s < t  ? -1 :
                s > t ? 1 :
                        strcmp(strempty(json_get_string(x, "id")), strempty(json_get_string(y, "id")));
}

/* A name and what is said of it: what is read is only as the other side gave it. */
static bool is_row(Json *row) {
        return json_object_is_type(row, json_type_array) && json_object_array_length(row) == 2 &&
                json_object_is_type(json_object_array_get_idx(row, 0), json_type_string) &&
                json_object_is_type(json_object_array_get_idx(row, 1), json_type_object);
}

static int add_resources(Json *conversation, Json *resources) {
        const char *id = strempty(json_get_string(conversation, "id"));

        for (size_t i = 0; i < json_object_array_length(resources); i++) {
                Json *row = json_object_array_get_idx(resources, i), *name, *usage;

                if (!is_row(row))
                        return -EBADMSG;
                name = json_object_array_get_idx(row, 0);
                usage = json_object_array_get_idx(row, 1);
                if (streq(json_object_get_string(name), id))
                        return merge(conversation, usage);
        }
        return 0;
}

static int conversations_of(Json *objects, Json *resources, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();

        if (!list)
                return -ENOMEM;
        if (!json_object_is_type(objects, json_type_object) ||
            !json_object_is_type(resources, json_type_array))
                return -EBADMSG;
        json_object_object_foreach(objects, path, interfaces) {
                Json *properties = json_get(interfaces, INTERFACE_CONVERSATION), *o;
                int r;

                (void) path;
                if (!json_object_is_type(properties, json_type_object) ||
                    streq_ptr(json_get_string(properties, "State"), "ended"))
                        continue;
                o = json_object_new_object();
                r = o ? merge(o, properties) : -ENOMEM;
                if (r >= 0)
                        r = add_resources(o, resources);
                if (r >= 0 && json_object_array_add(list, o) < 0)
                        r = -ENOMEM;
                if (r < 0) {
                        json_object_put(o);
                        return r;
                }
        }
        json_object_array_sort(list, by_start);
        *ret = TAKE_PTR(list);
        return 0;
}

static int totals_of(Json *rows, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();

        if (!list)
                return -ENOMEM;
        if (!json_object_is_type(rows, json_type_array))
                return -EBADMSG;
        for (size_t i = 0; i < json_object_array_length(rows); i++) {
                Json *row = json_object_array_get_idx(rows, i), *o;

                if (!is_row(row))
                        return -EBADMSG;
                o = json_object_get(json_object_array_get_idx(row, 1));
                if (json_set(o, "agent", json_object_get(json_object_array_get_idx(row, 0))) < 0 ||
                    json_object_array_add(list, o) < 0) {
                        json_object_put(o);
                        return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(list);
        return 0;
}

static int take(Json *o, sd_bus_error *error) {
        _cleanup_json_ Json *objects = NULL, *resources = NULL, *totals = NULL;
        Json *value = NULL;
        int r;

        r = json_set_u64(o, "time", now_usec(CLOCK_REALTIME));
        if (r >= 0)
                r = get_properties(PATH_MANAGER, INTERFACE_MANAGER, &value, error);
        if (r >= 0)
                r = json_set(o, "runner", value);
        if (r >= 0)
                r = call(INTERFACE_MANAGER, "ListResources", &resources, error);
        if (r >= 0)
                r = call("org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &objects, error);
        if (r >= 0)
                r = call(INTERFACE_MANAGER, "ListTotals", &totals, error);
        if (r >= 0)
                r = conversations_of(objects, resources, &value);
        if (r >= 0)
                r = json_set(o, "conversations", value);
        if (r >= 0)
                r = totals_of(totals, &value);
        return r < 0 ? r : json_set(o, "totals", value);
}

int snapshot_take(bool quiet, Json **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ Json *o = json_object_new_object();
        int r = o ? take(o, &error) : -ENOMEM;

        if (r < 0)
                return quiet ? EXIT_FAILED : report_error(&error, r, NULL);
        *ret = TAKE_PTR(o);
        return EXIT_OK;
}
