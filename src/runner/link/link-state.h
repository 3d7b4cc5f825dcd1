/* SPDX-License-Identifier: MIT */
#pragma once

typedef enum LinkState {
        LINK_REGISTERING, /* first registration not done yet */
        LINK_OFFLINE,     /* registered once; not reachable now */
        LINK_ACTIVE,
        LINK_STANDBY,
        LINK_REFUSED, /* credentials or everything refused: loud, retried every 60 s */
        _LINK_STATE_MAX,
} LinkState;
/* NULL where there is no such state. */
const char *link_state_to_string(LinkState s);
