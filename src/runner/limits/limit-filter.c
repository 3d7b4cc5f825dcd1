/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>

#include "runner/limits/limit-filter.h"

#define MANAGER "org.freedesktop.systemd1"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"

struct LimitFilterQuery {
        sd_bus *bus;
        sd_bus_slot *slot;
        char **units;
        size_t at;
        Json *deny, *allow;
        int accounting;
        uint64_t ingress; /* UINT64_MAX: nothing counts it */
        LimitFilterDone done;
        void *userdata;
};

int limit_filter_units(const char *unit, const char *cgroup, char ***ret) {
        _cleanup_strv_free_ char **units = NULL;
        const char *end = strrchr(cgroup, '/');
        int r;

        r = strv_extend(&units, unit);
        while (r >= 0 && end && end > cgroup) {
                const char *name = end;

                while (name > cgroup && name[-1] != '/')
                        name--;
                _cleanup_free_ char *slice = strndup(name, (size_t) (end - name));
                if (!slice)
                        return -ENOMEM;
                /* Above user@UID.service begins another manager. */
                if (!endswith(slice, ".slice"))
                        break;
                r = strv_extend(&units, slice);
                end = name > cgroup ? name - 1 : NULL;
        }
        if (r >= 0)
                r = strv_extend(&units, "-.slice");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(units);
        return 0;
}

/* a(iayu), as texts. */
static int read_addresses(sd_bus_message *m, Json *list) {
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(iayu)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(iayu)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "iayu")) > 0) {
                char text[INET6_ADDRSTRLEN];
                const void *address;
                int32_t family;
                uint32_t prefix;
                size_t size;

                if ((r = sd_bus_message_read(m, "i", &family)) < 0 ||
                    (r = sd_bus_message_read_array(m, 'y', &address, &size)) < 0 ||
                    (r = sd_bus_message_read(m, "u", &prefix)) < 0 ||
                    (r = sd_bus_message_exit_container(m)) < 0)
                        return r;
                if (!((family == AF_INET && size == 4) || (family == AF_INET6 && size == 16)) ||
                    !inet_ntop(family, address, text, sizeof(text)))
                        continue;
                _cleanup_free_ char *s = xasprintf("%s/%u", text, prefix);
                if (!s || json_object_array_add(list, json_object_new_string(s)) < 0)
                        return -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_properties(LimitFilterQuery *q, sd_bus_message *m) {
        bool scope = q->at == 0;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                if (streq(name, "IPAddressDeny"))
                        r = read_addresses(m, q->deny);
                else if (streq(name, "IPAddressAllow"))
                        r = read_addresses(m, q->allow);
                else if (scope && streq(name, "IPAccounting"))
                        r = sd_bus_message_read(m, "v", "b", &q->accounting);
                else if (scope && streq(name, "IPIngressBytes"))
                        r = sd_bus_message_read(m, "v", "t", &q->ingress);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int query_next(LimitFilterQuery *q);

static int compare_texts(const void *a, const void *b) {
        return strcmp(
                json_object_get_string(*(Json *const *) a), json_object_get_string(*(Json *const *) b));
}

static void finish(LimitFilterQuery *q) {
        bool counted = q->accounting && q->ingress != UINT64_MAX;
        _cleanup_json_ Json *o = NULL;

        if (json_object_array_length(q->deny) > 0) {
                o = json_object_new_object();
                if (!o) {
                        q->done(-ENOMEM, NULL, false, q->userdata);
                        return;
                }
                /* Sets, which systemd 252 gives in another order after a daemon-reload. */
                json_object_array_sort(q->deny, compare_texts);
                json_object_array_sort(q->allow, compare_texts);
                (void) json_set(o, "deny", json_object_get(q->deny));
                (void) json_set(o, "allow", json_object_get(q->allow));
                /* Counting and filtering are done by the same means, in one go. */
                if (q->accounting)
                        (void) json_set_bool(o, "enforced", counted);
                else
                        (void) json_object_object_add(o, "enforced", NULL);
        }
        q->done(0, o, counted, q->userdata);
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        LimitFilterQuery *q = userdata;
        int r = -sd_bus_message_get_errno(m);

        if (r >= 0)
                r = read_properties(q, m);
        if (r >= 0) {
                q->at++;
                if (!q->units[q->at]) {
                        finish(q);
                        return 0;
                }
                r = query_next(q);
        }
        if (r < 0)
                q->done(r, NULL, false, q->userdata);
        return 0;
}

static int query_next(LimitFilterQuery *q) {
        _cleanup_free_ char *path = NULL;
        int r;

        q->slot = sd_bus_slot_unref(q->slot);
        r = sd_bus_path_encode(UNIT_PATH, q->units[q->at], &path);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(
                q->bus,
                &q->slot,
                MANAGER,
                path,
                "org.freedesktop.DBus.Properties",
                "GetAll",
                on_properties,
                q,
                "s",
                q->at == 0 ? MANAGER ".Scope" : MANAGER ".Slice");
}

int limit_filter_query(
        sd_bus *bus,
        const char *unit,
        const char *cgroup,
        LimitFilterDone done,
        void *userdata,
        LimitFilterQuery **ret) {
        _cleanup_(limit_filter_query_freep) LimitFilterQuery *q = new0(LimitFilterQuery, 1);
        int r;

        if (!q)
                return -ENOMEM;
        *q = (LimitFilterQuery){
                .bus = sd_bus_ref(bus),
                .deny = json_object_new_array(),
                .allow = json_object_new_array(),
                .ingress = UINT64_MAX,
                .done = done,
                .userdata = userdata,
        };
        if (!q->deny || !q->allow)
                return -ENOMEM;
        r = limit_filter_units(unit, cgroup, &q->units);
        if (r >= 0)
                r = query_next(q);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

LimitFilterQuery *limit_filter_query_free(LimitFilterQuery *q) {
        if (!q)
                return NULL;
        sd_bus_slot_unref(q->slot);
        sd_bus_unref(q->bus);
        strv_free(q->units);
        json_putp(&q->deny);
        json_putp(&q->allow);
        free(q);
        return NULL;
}
