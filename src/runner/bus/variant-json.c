/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/bus/variant-json.h"

#define DEPTH_MAX 16

static int read_value(sd_bus_message *m, unsigned depth, Json **ret);

static int read_basic(sd_bus_message *m, char type, Json **ret) {
        union {
                uint8_t y;
                int b;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                const char *s;
        } v;
        int r;

        /* No descriptors: they mean nothing in JSON. */
        if (!strchr("ybnqiuxtdsog", type))
                return -EINVAL;
        r = sd_bus_message_read_basic(m, type, &v);
        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                *ret = json_object_new_uint64(v.y);
                break;
        case 'b':
                *ret = json_object_new_boolean(v.b);
                break;
        case 'n':
                *ret = json_object_new_int64(v.n);
                break;
        case 'q':
                *ret = json_object_new_uint64(v.q);
                break;
        case 'i':
                *ret = json_object_new_int64(v.i);
                break;
        case 'u':
                *ret = json_object_new_uint64(v.u);
                break;
        case 'x':
                *ret = json_object_new_int64(v.x);
                break;
        case 't':
                *ret = json_object_new_uint64(v.t);
                break;
        case 'd':
                *ret = json_object_new_double(v.d);
                break;
        default:
                *ret = json_object_new_string(v.s);
        }
        return *ret ? 0 : -ENOMEM;
}

/* The entries of a dictionary with string keys. ret_key: the key at fault, borrowed from the message. */
static int
read_entries(sd_bus_message *m, const char *contents, unsigned depth, Json *o, const char **ret_key) {
        _cleanup_free_ char *entry = strndup(contents + 1, strlen(contents) - 2);
        int r;

        if (!entry)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, 'a', contents);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', entry)) > 0) {
                Json *v = NULL;
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                *ret_key = key;
                if (json_get(o, key))
                        return -EEXIST;
                r = read_value(m, depth, &v);
                if (r >= 0)
                        r = json_set(o, key, v);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        *ret_key = NULL;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_array(sd_bus_message *m, const char *contents, unsigned depth, Json **ret) {
        _cleanup_json_ Json *a = NULL;
        int r;

        if (startswith(contents, "{s")) {
                const char *key;

                a = json_object_new_object();
                if (!a)
                        return -ENOMEM;
                r = read_entries(m, contents, depth, a, &key);
                if (r < 0)
                        return r;
                *ret = TAKE_PTR(a);
                return 0;
        }
        a = json_object_new_array();
        if (!a)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, 'a', contents);
        if (r < 0)
                return r;
        while (sd_bus_message_at_end(m, false) == 0) {
                Json *v = NULL;

                r = read_value(m, depth, &v);
                if (r < 0)
                        return r;
                if (json_object_array_add(a, v) < 0) {
                        json_object_put(v);
                        return -ENOMEM;
                }
        }
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

static int read_value(sd_bus_message *m, unsigned depth, Json **ret) {
        const char *contents;
        char type;
        int r;

        if (depth >= DEPTH_MAX)
                return -EINVAL;
        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -EINVAL;
        if (type == 'v') {
                r = sd_bus_message_enter_container(m, 'v', contents);
                if (r < 0)
                        return r;
                r = read_value(m, depth + 1, ret);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0) {
                        json_object_put(*ret);
                        *ret = NULL;
                }
                return r;
        }
        if (type == 'a')
                return read_array(m, contents, depth + 1, ret);
        return read_basic(m, type, ret);
}

int bus_message_read_json(sd_bus_message *m, const char *contents, Json **ret, sd_bus_error *error) {
        _cleanup_json_ Json *o = json_object_new_object();
        const char *key = NULL;
        int r;

        if (!o)
                return -ENOMEM;
        r = read_entries(m, contents, 0, o, &key);
        if (r == -EEXIST)
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "%s: given twice", strempty(key));
        if (r == -EINVAL)
                return bus_error(
                        error,
                        BUS_ERROR_INVALID_ARGUMENT,
                        "%s: values of this type are not supported",
                        strempty(key));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

static const char *type_name(json_type t) {
        switch (t) {
        case json_type_boolean:
                return "a boolean";
        case json_type_array:
                return "an array";
        case json_type_object:
                return "a dictionary";
        case json_type_string:
                return "a string";
        default:
                return "a number";
        }
}

static int merge_json_member(Json *o, sd_bus_error *error) {
        _cleanup_json_ Json *more = NULL;
        _cleanup_free_ char *why = NULL;
        Json *text = json_get(o, "json");

        if (!text)
                return 0;
        if (!json_object_is_type(text, json_type_string))
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "json: must be a string");
        if (json_parse_from(
                    JSON_OF_CALLER,
                    json_object_get_string(text),
                    (size_t) json_object_get_string_len(text),
                    &more,
                    &why) < 0)
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "json: %s", strempty(why));
        if (!json_object_is_type(more, json_type_object))
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "json: must be an object");
        json_object_object_del(o, "json");
        json_object_object_foreach(more, name, value) {
                if (!json_object_object_get_ex(o, name, NULL) &&
                    json_object_object_add(o, name, json_object_get(value)) < 0) {
                        json_object_put(value);
                        return -ENOMEM;
                }
        }
        return 0;
}

/* Each member of o must be listed (the list ends with a NULL name) and have its type. Takes the member "json", a text, out of o
 * and puts its members in, unless they are there. */
static int check_keys(Json *o, const BusKey *keys, sd_bus_error *error) {
        int r = merge_json_member(o, error);

        if (r < 0)
                return r;
        json_object_object_foreach(o, name, value) {
                const BusKey *k = keys;

                while (k->name && !streq(k->name, name))
                        k++;
                if (!k->name)
                        return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "%s: unknown parameter", name);
                if (k->type != json_type_null && !json_object_is_type(value, k->type))
                        return bus_error(
                                error,
                                BUS_ERROR_INVALID_ARGUMENT,
                                "%s: must be %s",
                                name,
                                type_name(k->type));
        }
        return 0;
}

int bus_message_read_params(sd_bus_message *m, const BusKey *keys, Json *params, sd_bus_error *error) {
        _cleanup_json_ Json *o = NULL;
        int r;

        r = bus_message_read_json(m, "{sv}", &o, error);
        if (r < 0)
                return r;
        r = check_keys(o, keys, error);
        if (r < 0)
                return r;
        json_object_object_foreach(o, name, value) {
                r = json_set(params, name, json_object_get(value));
                if (r < 0)
                        return r;
        }
        return 0;
}
