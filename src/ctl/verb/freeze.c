/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int verb_freeze(char **words) {
        return call_conversations(words + 1, "Freeze");
}
