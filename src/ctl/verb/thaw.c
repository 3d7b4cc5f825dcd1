/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int verb_thaw(char **words) {
        return call_conversations(words + 1, "Thaw");
}
