/* SPDX-License-Identifier: MIT */
#include "ctl/verb/properties.h"

typedef enum Unit {
        UNIT_BYTES,   /* with K, M, G, T to the base of 1024 */
        UNIT_NUMBER,  /* as it is */
        UNIT_PERCENT, /* with % */
} Unit;

static const struct {
        const char *name, *limit;
        Unit unit;
} properties[] = {
        { "MemoryHigh", "memoryHigh", UNIT_BYTES },       { "MemoryMax", "memoryMax", UNIT_BYTES },
        { "MemorySwapMax", "memorySwapMax", UNIT_BYTES }, { "TasksMax", "tasksMax", UNIT_NUMBER },
        { "CPUQuota", "cpuQuotaPercent", UNIT_PERCENT },  { "CPUWeight", "cpuWeight", UNIT_NUMBER },
        { "IOWeight", "ioWeight", UNIT_NUMBER },
};

static const char *parse_value(const char *text, Unit unit, uint64_t *ret) {
        static const char letters[] = "KMGT";
        size_t n = strlen(text);
        uint64_t value, factor = 1;
        char number[32];

        if (n == 0)
                return "a value is missing";
        if (unit == UNIT_BYTES) {
                const char *letter = strchr(letters, text[n - 1]);

                if (letter) {
                        factor = UINT64_C(1024) << (10 * (letter - letters));
                        n--;
                }
        } else if (unit == UNIT_PERCENT) {
                if (text[n - 1] != '%')
                        return "the value is not a percentage, like 150%";
                n--;
        }
        if (n >= sizeof(number))
                return "the value is too large";
        memcpy(number, text, n);
        number[n] = 0;
        if (safe_atou64(number, &value) < 0)
                return unit == UNIT_BYTES ? "the value is not a number of bytes, like 512M or 2G" :
                                            "the value is not a whole number";
        if (__builtin_mul_overflow(value, factor, ret))
                return "the value is too large";
        return NULL;
}

const char *property_parse(const char *assignment, const char **ret_limit, uint64_t *ret_value) {
        const char *value = strchr(assignment, '=');

        if (!value)
                return "not NAME=VALUE";
        for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
                size_t n = strlen(properties[i].name);

                if ((size_t) (value - assignment) != n || strncmp(assignment, properties[i].name, n) != 0)
                        continue;
                *ret_limit = properties[i].limit;
                return parse_value(value + 1, properties[i].unit, ret_value);
        }
        return "unknown limit, expected MemoryHigh, MemoryMax, MemorySwapMax, TasksMax, CPUQuota, CPUWeight or IOWeight";
}
