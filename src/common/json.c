/* SPDX-License-Identifier: MIT */
#include <limits.h>

#include "common/buffer.h"
#include "common/json-scan.h"
#include "common/json.h"

#define KIB ((size_t) 1024)
#define MIB (KIB * KIB)

/* The store repeats what the orchestrator sent, with members of ours beside it, and strings that are escaped once more. */
static const JsonBound bounds[_JSON_SOURCE_MAX] = {
        [JSON_OF_AGENT] = { JSON_AGENT_BYTES_MAX, JSON_AGENT_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_ORCHESTRATOR] = { 513 * MIB, JSON_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_CALLER] = { 16 * MIB, JSON_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_REPOSITORY] = { 64 * KIB, 4096, JSON_DEPTH_MAX },
        [JSON_OF_STORE] = { 1026 * MIB, 2 * JSON_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_ADMINISTRATOR] = { 16 * MIB, JSON_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_PRODUCT] = { 256 * MIB, 16 * JSON_VALUES_MAX, JSON_DEPTH_MAX },
        [JSON_OF_REQUEST] = { 16 * MIB, 4096, JSON_DEPTH_MAX },
        [JSON_OF_EVENT] = { 256 * MIB, JSON_VALUES_MAX, JSON_DEPTH_MAX },
};

const JsonBound *json_bound(JsonSource source) {
        return &bounds[source];
}

/* Whether text is JSON decides the scanner, json-c only builds the tree: its own strict mode takes control characters
 * before version 0.17, and from 0.18 on refuses everything that is not ASCII. */
int json_parse_from(JsonSource source, const char *text, size_t size, Json **ret, char **ret_error) {
        const JsonBound *bound = json_bound(source);
        struct json_tokener *t;
        const char *wrong;
        size_t at = 0;
        Json *o;

        if (ret_error)
                *ret_error = NULL;
        static_assert(1026 * MIB <= INT_MAX, "json-c takes an int");
        wrong = size > bound->bytes ? "longer than may be read" :
                                      json_scan_check_bounded(text, size, bound->values, bound->depth, &at);
        if (!wrong) {
                t = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
                if (!t)
                        return -ENOMEM;
                o = json_tokener_parse_ex(t, text, (int) size);
                if (json_tokener_get_error(t) == json_tokener_continue)
                        /* A bare number or word ends only at what follows it. */
                        o = json_tokener_parse_ex(t, "", 1);
                enum json_tokener_error e = json_tokener_get_error(t);
                json_tokener_free(t);
                if (e == json_tokener_success) {
                        *ret = o;
                        return 0;
                }
                wrong = json_tokener_error_desc(e);
        }
        if (ret_error)
                *ret_error = xasprintf("not valid JSON at byte %zu: %s", at, wrong);
        return -EBADMSG;
}

size_t json_count(Json *o) {
        size_t n = 1;

        if (json_object_is_type(o, json_type_array))
                for (size_t i = 0; i < json_object_array_length(o); i++)
                        n += json_count(json_object_array_get_idx(o, i));
        else if (json_object_is_type(o, json_type_object)) {
                json_object_object_foreach(o, name, value) {
                        (void) name;
                        n += json_count(value);
                }
        }
        return n;
}

Json *json_get(Json *o, const char *name) {
        Json *v;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v))
                return NULL;
        return v;
}

const char *json_get_string(Json *o, const char *name) {
        Json *v = json_get(o, name);

        if (!json_object_is_type(v, json_type_string))
                return NULL;
        const char *s = json_object_get_string(v);
        return strlen(s) == (size_t) json_object_get_string_len(v) ? s : NULL;
}

int json_get_u64(Json *o, const char *name, uint64_t *ret) {
        Json *v = json_get(o, name);

        if (!v)
                return 0;
        if (!json_object_is_type(v, json_type_int) || (json_object_get_int64(v) < 0))
                return -EINVAL;
        *ret = json_object_get_uint64(v);
        return 1;
}

uint64_t json_u64(Json *o, const char *name) {
        uint64_t u = 0;

        (void) json_get_u64(o, name, &u);
        return u;
}

double json_real(Json *o, const char *name) {
        Json *v = json_get(o, name);

        return json_object_is_type(v, json_type_double) ? json_object_get_double(v) : 0;
}

size_t json_length(Json *list) {
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

int json_get_bool(Json *o, const char *name, bool *ret) {
        Json *v = json_get(o, name);

        if (!v)
                return 0;
        if (!json_object_is_type(v, json_type_boolean))
                return -EINVAL;
        *ret = json_object_get_boolean(v);
        return 1;
}

int json_get_strv(Json *o, const char *name, char ***ret) {
        _cleanup_strv_free_ char **list = NULL;
        Json *v = json_get(o, name);

        if (!v)
                return 0;
        if (!json_object_is_type(v, json_type_array))
                return -EINVAL;
        list = new0(char *, 1);
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < json_object_array_length(v); i++) {
                Json *e = json_object_array_get_idx(v, i);

                if (!json_object_is_type(e, json_type_string) ||
                    strlen(json_object_get_string(e)) != (size_t) json_object_get_string_len(e))
                        return -EINVAL;
                if (strv_extend(&list, json_object_get_string(e)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 1;
}

const char *json_text(Json *o) {
        return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

int json_set(Json *o, const char *name, Json *value_consume) {
        if (!value_consume)
                return -ENOMEM;
        if (json_object_object_add(o, name, value_consume) < 0) {
                json_object_put(value_consume);
                return -ENOMEM;
        }
        return 0;
}

int json_set_string(Json *o, const char *name, const char *value) {
        return value ? json_set(o, name, json_object_new_string(value)) : 0;
}

int json_set_text(Json *o, const char *name, const char *text) {
        _cleanup_buffer_ Buffer b = {};

        if (!text || utf8_is_valid(text, strlen(text)))
                return json_set_string(o, name, text);
        for (size_t left = strlen(text); left > 0;) {
                size_t n = utf8_sequence(text, left);

                if (n > 0)
                        (void) buffer_append(&b, text, n);
                else
                        (void) buffer_append_str(&b, "\xef\xbf\xbd");
                text += MAX(n, (size_t) 1);
                left -= MAX(n, (size_t) 1);
        }
        return b.failed ? -ENOMEM : json_set_string(o, name, b.data);
}

int json_set_u64(Json *o, const char *name, uint64_t value) {
        return json_set(o, name, json_object_new_uint64(value));
}

int json_set_bool(Json *o, const char *name, bool value) {
        return json_set(o, name, json_object_new_boolean(value));
}
