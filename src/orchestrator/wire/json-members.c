/* SPDX-License-Identifier: MIT */
#include "orchestrator/wire/json-members.h"

/* The longest spelling of a character that is no pair of two: a \uXXXX. */
#define ESCAPE_MAX 6

static bool name_is(Slice key, const char *name) {
        size_t n = strlen(name);
        _cleanup_free_ char *decoded = NULL;

        if (!memchr(key.data, '\\', key.size))
                return json_scan_string_is(key, name);
        if (key.size > ESCAPE_MAX * n + 2 || json_scan_string(key, &decoded, NULL) < 0)
                return false;
        return streq(decoded, name);
}

const char *json_members(Slice object, const JsonMember *members, size_t n) {
        bool found[64] = {};
        Slice key, value;
        size_t iter = 0;

        assert(n <= ELEMENTSOF(found));
        while (json_scan_next_member(object, &iter, &key, &value))
                for (size_t i = 0; i < n; i++) {
                        if (!name_is(key, members[i].name))
                                continue;
                        if (found[i])
                                return members[i].name;
                        found[i] = true;
                        *members[i].value = value;
                }
        return NULL;
}

bool json_is_there(Slice v) {
        return v.size > 0 && json_scan_type(v) != SCAN_NULL;
}

int json_string_into(Slice v, char *buf, size_t size) {
        _cleanup_free_ char *decoded = NULL;
        int r;

        buf[0] = 0;
        if (json_scan_type(v) != SCAN_STRING)
                return -EINVAL;
        if (v.size > ESCAPE_MAX * size + 2)
                return -EOVERFLOW;
        r = json_scan_string(v, &decoded, NULL);
        if (r < 0)
                return r;
        size_t n = strlen(decoded);
        if (n >= size)
                return -EOVERFLOW;
        memcpy(buf, decoded, n + 1);
        return 0;
}

int json_string_cut(Slice v, size_t max, char **ret) {
        _cleanup_free_ char *decoded = NULL;
        int r;

        *ret = NULL;
        if (json_scan_type(v) != SCAN_STRING)
                return 0;
        r = json_scan_string(v, &decoded, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        *ret = strndup(decoded, (size_t) utf8_cut(decoded, max));
        return *ret ? 0 : -ENOMEM;
}

char *json_member_string(Slice object, const char *name) {
        char *decoded;
        Slice v = {};

        (void) json_members(object, &(JsonMember){ name, &v }, 1);
        if (json_scan_type(v) != SCAN_STRING || json_scan_string(v, &decoded, NULL) < 0)
                return NULL;
        return decoded;
}

int json_append_line(Buffer *b, Slice v) {
        size_t from = b->size;
        int r = buffer_append(b, v.data, v.size);

        if (r < 0)
                return r;
        /* Inside strings there are none. */
        for (size_t i = from; i < b->size; i++)
                if (b->data[i] == '\n' || b->data[i] == '\r')
                        b->data[i] = ' ';
        return 0;
}

Json *json_raw(Slice v) {
        _cleanup_json_ Json *o = json_object_new_int(0);
        char *text = o ? strndup(v.data, v.size) : NULL;

        if (!text)
                return NULL;
        json_object_set_serializer(o, json_object_userdata_to_json_string, text, json_object_free_userdata);
        return TAKE_PTR(o);
}

int json_parse_small(const char *text, size_t size, Json **ret, char **ret_error) {
        const char *wrong;
        size_t at;

        if (ret_error)
                *ret_error = NULL;
        wrong = json_scan_check(text, size, &at);
        if (wrong) {
                if (ret_error)
                        *ret_error = xasprintf("not valid JSON at byte %zu: %s", at, wrong);
                return -EBADMSG;
        }
        if (json_scan_check_bounded(text, size, JSON_TREE_VALUES_MAX, JSON_DEPTH_MAX, NULL)) {
                if (ret_error)
                        *ret_error = xasprintf("more than %d values", JSON_TREE_VALUES_MAX);
                return -E2BIG;
        }
        return json_parse_from(JSON_OF_REQUEST, text, size, ret, ret_error);
}
