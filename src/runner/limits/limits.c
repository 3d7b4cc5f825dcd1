/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "runner/limits/limits.h"

typedef struct LimitName {
        const char *key, *property;
        uint64_t factor; /* from the protocol's unit to the property's */
        uint64_t minimum, maximum;
        size_t offset; /* of the default */
} LimitName;

static const LimitName names[] = {
        { "memoryHigh", "MemoryHigh", 1, 1, UINT64_MAX / 2, offsetof(ConfigLimits, memory_high) },
        { "memoryMax", "MemoryMax", 1, 1, UINT64_MAX / 2, offsetof(ConfigLimits, memory_max) },
        { "memorySwapMax", "MemorySwapMax", 1, 0, UINT64_MAX / 2, offsetof(ConfigLimits, memory_swap_max) },
        { "tasksMax", "TasksMax", 1, 1, UINT32_MAX, offsetof(ConfigLimits, tasks_max) },
        /* systemd.resource-control(5): 100 % is one second of CPU in a second. */
        { "cpuQuotaPercent",
          "CPUQuotaPerSecUSec",
          10000,
          1,
          1000000,
          offsetof(ConfigLimits, cpu_quota_percent) },
        { "cpuWeight", "CPUWeight", 1, 1, 10000, offsetof(ConfigLimits, cpu_weight) },
        { "ioWeight", "IOWeight", 1, 1, 10000, offsetof(ConfigLimits, io_weight) },
        { "runtimeMaxSec",
          "RuntimeMaxUSec",
          USEC_PER_SEC,
          1,
          UINT32_MAX,
          offsetof(ConfigLimits, runtime_max_sec) },
};

static LauncherLimit *find(Limits *l, const char *property) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->list[i].name, property))
                        return &l->list[i];
        return NULL;
}

void limits_clip(ConfigLimits *defaults, const Limits *ceilings) {
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                for (size_t k = 0; k < ceilings->n; k++) {
                        uint64_t *value = (uint64_t *) ((char *) defaults + names[i].offset);

                        if (!streq(names[i].property, ceilings->list[k].name))
                                continue;
                        /* The launcher sets a limit that is not requested to its ceiling. The runner enforces
                         * this limit itself. */
                        if (*value == 0 && streq(names[i].key, "runtimeMaxSec"))
                                *value = UINT64_MAX;
                        *value = MIN(*value, ceilings->list[k].value / names[i].factor);
                }
}

static int unknown_limit(Json *limits, char **ret_error) {
        json_object_object_foreach(limits, key, value) {
                bool known = false;

                (void) value;
                for (size_t i = 0; i < ELEMENTSOF(names); i++)
                        known = known || streq(names[i].key, key);
                if (!known) {
                        *ret_error = xasprintf(
                                "limits.%.*s is not a limit that this runner supports",
                                utf8_cut(key, 64),
                                key);
                        return -EOPNOTSUPP;
                }
        }
        return 0;
}

int limits_parse(Json *limits, const ConfigLimits *defaults, Limits *ret, char **ret_error) {
        Limits l = {};
        int r;

        *ret_error = NULL;
        if (limits && !json_object_is_type(limits, json_type_object)) {
                *ret_error = strdup("limits is not an object");
                return -EINVAL;
        }
        if (limits) {
                r = unknown_limit(limits, ret_error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const LimitName *n = &names[i];
                uint64_t value = 0;
                bool given = false;

                if (defaults) {
                        value = *(const uint64_t *) ((const char *) defaults + n->offset);
                        given = value > 0 || (n->minimum == 0 && defaults->memory_swap_max_set);
                }
                r = limits ? json_get_u64(limits, n->key, &value) : 0;
                if (r < 0 || (r > 0 && (value < n->minimum || value > n->maximum))) {
                        *ret_error = xasprintf(
                                "limits.%s is not a whole number from %llu to %llu",
                                n->key,
                                (unsigned long long) n->minimum,
                                (unsigned long long) n->maximum);
                        return -EINVAL;
                }
                if (given || r > 0)
                        l.list[l.n++] = (LauncherLimit){ n->property, value * n->factor };
        }
        LauncherLimit *high = find(&l, "MemoryHigh"), *max = find(&l, "MemoryMax");
        if (high && max && high->value > max->value && !json_get(limits, "memoryHigh"))
                high->value = max->value;
        *ret = l;
        return 0;
}

Json *limits_to_json(const Limits *l) {
        _cleanup_json_ Json *o = json_object_new_object();

        for (size_t i = 0; o && i < ELEMENTSOF(names); i++)
                for (size_t k = 0; k < l->n; k++)
                        if (streq(names[i].property, l->list[k].name) &&
                            json_set_u64(o, names[i].key, l->list[k].value / names[i].factor) < 0)
                                return NULL;
        return TAKE_PTR(o);
}
