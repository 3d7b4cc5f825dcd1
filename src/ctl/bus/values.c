/* SPDX-License-Identifier: MIT */
#include "ctl/bus/connection.h"
#include "ctl/bus/values.h"

/* What comes over the bus, as JSON. */

static int read_basic(sd_bus_message *m, char type, Json **ret) {
        union {
                const char *s;
                uint64_t t;
                int64_t x;
                uint32_t u;
                int32_t i;
                double d;
                int b;
        } v;
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        switch (type) {
        case 's':
        case 'o':
        case 'g':
                *ret = json_object_new_string(v.s);
                break;
        case 'b':
                *ret = json_object_new_boolean(v.b);
                break;
        case 'u':
                *ret = json_object_new_uint64(v.u);
                break;
        case 't':
                *ret = json_object_new_uint64(v.t);
                break;
        case 'i':
                *ret = json_object_new_int64(v.i);
                break;
        case 'x':
                *ret = json_object_new_int64(v.x);
                break;
        default:
                *ret = json_object_new_double(v.d);
        }
        return *ret ? 1 : -ENOMEM;
}

static int read_entry(sd_bus_message *m, Json *object) {
        Json *value = NULL;
        _cleanup_json_ Json *name = NULL;
        int r = read_value(m, &name);

        if (r >= 0)
                r = read_value(m, &value);
        return r < 0 || !value ? r : json_set(object, json_object_get_string(name), value);
}

static int read_members(sd_bus_message *m, Json *list) {
        Json *value = NULL;
        int r;

        while ((r = read_value(m, &value)) > 0)
                if (value && json_object_array_add(list, value) < 0) {
                        json_object_put(value);
                        return -ENOMEM;
                }
        return r;
}

/* An array or a structure whose contents are these. */
static int read_container(sd_bus_message *m, char type, const char *signature, Json **ret) {
        /* It is the message's, and another once the container was entered. */
        _cleanup_free_ char *contents = strdup(signature);
        /* Object paths are the names of what an ObjectManager lists. */
        bool is_object = contents && type == 'a' &&
                (startswith(contents, "{s") || startswith(contents, "{o"));
        _cleanup_json_ Json *o = is_object ? json_object_new_object() : json_object_new_array();
        _cleanup_free_ char *entry = is_object ? strndup(contents + 1, strlen(contents) - 2) : NULL;
        int r;

        if (!contents || !o || (is_object && !entry))
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, type, contents);
        if (r >= 0 && !is_object)
                r = read_members(m, o);
        while (is_object && r >= 0 && (r = sd_bus_message_enter_container(m, 'e', entry)) > 0) {
                r = read_entry(m, o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 1;
}

int read_value(sd_bus_message *m, Json **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        *ret = NULL;
        if (r <= 0)
                return r;
        switch (type) {
        case 'v':
                r = sd_bus_message_enter_container(m, 'v', contents);
                if (r >= 0)
                        r = read_value(m, ret);
                return r < 0 ? r : (r = sd_bus_message_exit_container(m)) < 0 ? r : 1;
        case 'a':
        case 'r':
                return read_container(m, type, contents, ret);
        case 's':
        case 'o':
        case 'g':
        case 'b':
        case 'u':
        case 't':
        case 'i':
        case 'x':
        case 'd':
                return read_basic(m, type, ret);
        default: /* of a newer runner */
                r = sd_bus_message_skip(m, NULL);
                return r < 0 ? r : 1;
        }
}

int get_properties(const char *path, const char *interface, Json **ret, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(
                bus, BUS_NAME, path, INTERFACE_PROPERTIES, "GetAll", error, &reply, "s", interface);

        if (r >= 0)
                r = read_value(reply, ret);
        return r < 0 ? r : *ret ? 0 : -EBADMSG;
}
