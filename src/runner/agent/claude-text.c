/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runner/agent/claude-text.h"
#include "runner/agent/driver-util.h"

int claude_set_text(char **p, Slice value) {
        char *copy = NULL;

        if (slice_is_set(value)) {
                copy = strndup(value.data, value.size);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

bool claude_text_equal(const char *text, Slice value) {
        if (value.size == 0)
                return !text;
        return text && strlen(text) == value.size && memcmp(text, value.data, value.size) == 0;
}
