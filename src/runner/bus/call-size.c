/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "common/util.h"
#include "runner/bus/call-size.h"

/* What a value costs besides its text, where it becomes a node of a tree. */
#define VALUE_BYTES 1024

static int count(sd_bus_message *m, size_t max, size_t *sum);

static int count_container(sd_bus_message *m, char type, const char *contents, size_t max, size_t *sum) {
        const void *data;
        size_t size;
        int r;

        /* Arrays of numbers are skipped as a whole. */
        if (type == SD_BUS_TYPE_ARRAY && strlen(contents) == 1 && strchr("ynqiuxtd", contents[0])) {
                r = sd_bus_message_read_array(m, contents[0], &data, &size);
                if (r >= 0)
                        *sum += size;
                return r;
        }
        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        r = count(m, max, sum);
        return r < 0 || *sum > max ? r : sd_bus_message_exit_container(m);
}

static int count(sd_bus_message *m, size_t max, size_t *sum) {
        const char *contents, *text;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0 && *sum <= max) {
                *sum += VALUE_BYTES;
                if (contents)
                        r = count_container(m, type, contents, max, sum);
                else if (strchr("sog", type)) {
                        r = sd_bus_message_read_basic(m, type, &text);
                        if (r > 0)
                                *sum += strlen(text);
                } else
                        r = sd_bus_message_skip(m, (const char[]){ type, 0 });
                if (r < 0)
                        return r;
        }
        return MIN(r, 0);
}

int call_size(sd_bus_message *m, size_t max, size_t *ret) {
        size_t sum = 0;
        int r, k;

        /* Its handler may have read it already. */
        r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = count(m, max, &sum);
        k = sd_bus_message_rewind(m, true);
        *ret = sum;
        return r < 0 ? r : MIN(k, 0);
}
