/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "runner/run/position.h"

int position_save(Driver *d, uint64_t lines, char **ret) {
        _cleanup_json_ Json *state = NULL;
        int r;

        r = d->ops->save(d, &state);
        if (r < 0)
                return r;
        *ret = xasprintf("{\"lines\":%llu,\"driver\":%s}", (unsigned long long) lines, json_text(state));
        return *ret ? 0 : -ENOMEM;
}

int position_load(const DriverOps *ops, Json *spec, const char *text, Driver **ret, uint64_t *ret_lines) {
        _cleanup_json_ Json *o = NULL;
        int r;

        *ret_lines = 0;
        if (!text)
                return ops->new (spec, ret);
        r = json_parse_from(JSON_OF_STORE, text, strlen(text), &o, NULL);
        if (r < 0)
                return r;
        if (json_get_u64(o, "lines", ret_lines) <= 0 || !json_get(o, "driver"))
                return -EBADMSG;
        return ops->load(spec, json_get(o, "driver"), ret);
}

uint64_t position_lines(const char *text) {
        uint64_t lines = 0;
        Slice value;

        if (text && json_scan_member((Slice){ text, strlen(text) }, "lines", &value))
                (void) json_scan_u64(value, &lines);
        return lines;
}
