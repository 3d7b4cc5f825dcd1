/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/hub/hub.h"

struct Hub {
        Database *db; /* borrowed */
        HubConfig config;
        char *epoch; /* distinguishes the cursors of one database from those of another */
        uint64_t started;
        HubListener *listeners;
};
