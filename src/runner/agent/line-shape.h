/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"

/* Which members of a line are read, so that those may not be doubled. each: the shape is that of each element of the array,
 * or of each member's value of the object. */
typedef struct LineShape LineShape;
typedef struct LineShapeMember {
        const char *name;
        const LineShape *shape;
        bool each;
} LineShapeMember;
struct LineShape {
        const char *const *names; /* up to 64, and NULL */
        const LineShapeMember
                *members; /* that have a shape of their own, and one without a name; may be NULL */
};

/* True where other readers may see another value than we do in a member of a valid line that we read. */
bool line_is_ambiguous(Slice line, const LineShape *shape);
