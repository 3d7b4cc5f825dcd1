/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int verb_undrain(char **words) {
        return call_manager("Undrain", NULL, NULL);
}
