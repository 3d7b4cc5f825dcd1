/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int verb_interrupt(char **words) {
        return call_conversations(words + 1, "Interrupt");
}
