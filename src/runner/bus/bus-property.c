/* SPDX-License-Identifier: MIT */
#include "common/util.h"
#include "runner/bus/bus-property.h"
#include "runner/bus/bus-reply.h"

#define PROPERTIES_MAX 32

static size_t size_of(char type) {
        return type == 's'  ? sizeof(char *) :
                type == 'u' ? sizeof(uint32_t) :
                type == 'b' ? sizeof(bool) :
                              8;
}

static char *string_at(const void *values, const BusProperty *p) {
        char *s;

        memcpy(&s, (const char *) values + p->offset, sizeof(s));
        return s;
}

static void set_string(void *values, const BusProperty *p, char *s) {
        memcpy((char *) values + p->offset, &s, sizeof(s));
}

int bus_property_get(const BusProperty *table, const char *name, const void *values, sd_bus_message *reply) {
        const BusProperty *p = table;

        while (p->name && !streq(p->name, name))
                p++;
        if (!p->name)
                return -ENOENT;
        const char *value = (const char *) values + p->offset;
        if (p->type == 's')
                return bus_property_string(reply, string_at(values, p), p->max);
        if (p->type == 'b')
                return bus_property_basic(reply, 'b', &(int){ *(const bool *) value });
        return bus_property_basic(reply, p->type, value);
}

/* 1: it differs from what is kept, and is kept now; 0: it does not; or -ENOMEM. */
static int keep(const BusProperty *p, const void *values, void *kept) {
        char *old = (char *) kept + p->offset;
        const char *new = (const char *) values + p->offset;

        if (p->type == 's') {
                const char *s = strempty(string_at(values, p));
                char *copy, *before = string_at(kept, p);

                if (streq_ptr(before, s))
                        return 0;
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
                free(before);
                set_string(kept, p, copy);
                return 1;
        }
        if (memcmp(old, new, size_of(p->type)) == 0)
                return 0;
        memcpy(old, new, size_of(p->type));
        return 1;
}

int bus_properties_keep(const BusProperty *table, const void *values, void *kept) {
        int r = 0;

        for (const BusProperty *p = table; p->name && r >= 0; p++)
                if (p->announced)
                        r = keep(p, values, kept);
        return MIN(r, 0);
}

int bus_properties_announce(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const BusProperty *table,
        const void *values,
        void *kept) {
        const char *names[PROPERTIES_MAX + 1];
        size_t n = 0;
        int r = 0, q;

        /* Without memory those that were kept before are announced, and the others the next time. */
        for (const BusProperty *p = table; p->name && r >= 0; p++) {
                r = p->announced ? keep(p, values, kept) : 0;
                if (r > 0) {
                        assert(n < PROPERTIES_MAX);
                        names[n++] = p->name;
                }
        }
        if (n == 0)
                return MIN(r, 0);
        names[n] = NULL;
        q = sd_bus_emit_properties_changed_strv(bus, path, interface, (char **) names);
        return MIN(r < 0 ? r : q, 0);
}

void bus_properties_done(const BusProperty *table, void *kept) {
        for (const BusProperty *p = table; p->name; p++)
                if (p->type == 's' && p->announced) {
                        free(string_at(kept, p));
                        set_string(kept, p, NULL);
                }
}
