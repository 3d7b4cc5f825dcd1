/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "orchestrator/hub/hub.h"

/* What the hub does by the clock: work of dead runners is issued again, and what is old is forgotten. */
typedef struct Upkeep Upkeep;

/* h is borrowed. Failures of a round are logged, and the next one tries again. Returns 0 or negative errno. */
int upkeep_new(sd_event *event, Hub *h, Upkeep **ret);
Upkeep *upkeep_free(Upkeep *u);
DEFINE_TRIVIAL_CLEANUP_FUNC(Upkeep *, upkeep_free);
