/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "runner/link/link-state.h"

static const char *const state_names[_LINK_STATE_MAX] = {
        [LINK_REGISTERING] = "registering", [LINK_OFFLINE] = "offline", [LINK_ACTIVE] = "active",
        [LINK_STANDBY] = "standby",         [LINK_REFUSED] = "refused",
};

const char *link_state_to_string(LinkState s) {
        return (unsigned) s < _LINK_STATE_MAX ? state_names[s] : NULL;
}
