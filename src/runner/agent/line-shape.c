/* SPDX-License-Identifier: MIT */
#include "runner/agent/line-shape.h"

static bool value_is_ambiguous(Slice value, const LineShapeMember *m) {
        Slice name, v;
        size_t iter = 0;

        if (!m->each)
                return line_is_ambiguous(value, m->shape);
        while (json_scan_type(value) == SCAN_ARRAY ? json_scan_element(value, &iter, &v) :
                                                     json_scan_next_member(value, &iter, &name, &v))
                if (line_is_ambiguous(v, m->shape))
                        return true;
        return false;
}

bool line_is_ambiguous(Slice line, const LineShape *shape) {
        Slice v;

        if (json_scan_type(line) != SCAN_OBJECT)
                return false;
        if (json_scan_is_ambiguous(line, shape->names))
                return true;
        for (const LineShapeMember *m = shape->members; m && m->name; m++)
                if (json_scan_member(line, m->name, &v) && value_is_ambiguous(v, m))
                        return true;
        return false;
}
