/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

/* Properties of an object as a table over the struct that has their values. */

typedef struct BusProperty {
        const char *name;
        char type;      /* 's': char *; 't': uint64_t; 'u': uint32_t; 'd': double; 'b': bool */
        size_t offset;  /* of the value */
        size_t max;     /* bytes of a string */
        bool announced; /* its changes are signalled */
} BusProperty;

/* A table ends with a row without a name; "values" are a pointer to such a struct. The announced values of an object are kept in
 * another one, which is zeroed at first, and owns its strings. */

/* Appends the value of a property. Returns 0 or negative errno. */
int bus_property_get(const BusProperty *table, const char *name, const void *values, sd_bus_message *reply);
/* Keeps the announced values without a signal. 0 or -ENOMEM. */
int bus_properties_keep(const BusProperty *table, const void *values, void *kept);
/* PropertiesChanged for the announced values that differ from those that are kept, which then are the same. 0 or negative
 * errno. */
int bus_properties_announce(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const BusProperty *table,
        const void *values,
        void *kept);
/* Frees the strings that are kept. */
void bus_properties_done(const BusProperty *table, void *kept);
