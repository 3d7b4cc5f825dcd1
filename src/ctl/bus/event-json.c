/* SPDX-License-Identifier: MIT */
#include "ctl/bus/event-json.h"

/* A member that is a plain value and longer than this is named with its size, too. */
#define PLAIN_MAX ((size_t) 64 * 1024)

static int name_cut(Json *o, const char *name, size_t size) {
        Json *cut = json_get(o, "cut"), *entry = json_object_new_object();
        int r = json_set_u64(entry, "size", size);

        if (!cut) {
                cut = json_object_new_object();
                if (r >= 0)
                        r = json_set(o, "cut", cut);
        }
        if (r < 0) {
                json_object_put(entry);
                return r;
        }
        return json_set(cut, name, entry);
}

/* The plain members of an object; "event" inside of it likewise. */
static Json *plain_members(Slice object, unsigned depth) {
        _cleanup_json_ Json *o = json_object_new_object();
        Slice quoted, value;
        size_t iter = 0;

        while (o && json_scan_next_member(object, &iter, &quoted, &value)) {
                _cleanup_free_ char *name = NULL;
                ScanType type = json_scan_type(value);
                Json *v = NULL;
                int r;

                if (quoted.size > 64 || json_scan_string(quoted, &name, NULL) < 0)
                        continue;
                if (type == SCAN_OBJECT && depth < 2 && (streq(name, "params") || streq(name, "event"))) {
                        v = plain_members(value, depth + 1);
                        r = json_set(o, name, v);
                } else if (type == SCAN_OBJECT || type == SCAN_ARRAY || value.size > PLAIN_MAX)
                        r = name_cut(o, name, value.size);
                else if (json_parse_from(JSON_OF_EVENT, value.data, value.size, &v, NULL) < 0)
                        continue;
                else
                        r = v ? json_set(o, name, v) : 0;
                if (r < 0)
                        return NULL;
        }
        return TAKE_PTR(o);
}

Json *event_take_apart(Slice event, bool *ret_whole) {
        Json *o = NULL;

        if (!json_scan_valid(event.data, event.size))
                return NULL;
        *ret_whole = json_parse_from(JSON_OF_EVENT, event.data, event.size, &o, NULL) >= 0;
        return *ret_whole ? o : plain_members(event, 0);
}

char *event_cut_cursor(const char *event) {
        char *cursor = NULL;
        Slice value;

        /* The runner's own members stand before all that an agent has said. */
        if (!json_scan_path((Slice){ event, strlen(event) }, &value, "params", "cut", "cursor", NULL) ||
            json_scan_string(value, &cursor, NULL) < 0)
                return NULL;
        return cursor;
}
