/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "fuzz.h"

/* Every part of a value, down to its scalars. With invalid text only memory safety and the end are asked for. */
static void walk(Slice v, unsigned depth) {
        size_t iter = 0;
        Slice name, child;

        if (depth > 66)
                return;
        switch (json_scan_type(v)) {
        case SCAN_STRING: {
                _cleanup_free_ char *s = NULL;
                size_t n;
                if (json_scan_string(v, &s, &n) >= 0)
                        CHECK(n <= v.size);
                break;
        }
        case SCAN_NUMBER: {
                uint64_t u;
                double d;
                (void) json_scan_u64(v, &u);
                (void) json_scan_double(v, &d);
                break;
        }
        default:
                break;
        }
        while (json_scan_element(v, &iter, &child)) {
                CHECK(child.data >= v.data && child.size > 0 && child.data + child.size <= v.data + v.size);
                walk(child, depth + 1);
        }
        iter = 0;
        while (json_scan_next_member(v, &iter, &name, &child)) {
                CHECK(name.data > v.data && child.data > name.data);
                CHECK(child.size > 0 && child.data + child.size <= v.data + v.size);
                walk(child, depth + 1);
        }
        if (json_scan_member(v, "a", &child) || json_scan_member(v, "", &child))
                CHECK(child.data > v.data && child.data + child.size <= v.data + v.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;

        /* What it lets pass is relayed as it is, so it had better be text; and what it calls JSON makes a tree, which can be
         * written down again. */
        if (json_scan_valid(text, size)) {
                _cleanup_json_ Json *o = NULL;

                CHECK(utf8_is_valid(text, size));
                CHECK(json_parse(text, size, &o, NULL) >= 0);
                if (o)
                        check_json(json_text(o), strlen(json_text(o)));
        }
        walk((Slice){ text, size }, 0);
        return 0;
}
