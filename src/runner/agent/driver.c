/* SPDX-License-Identifier: MIT */
#include "runner/agent/driver-claude.h"
#include "runner/agent/driver-shell.h"
#include "runner/agent/driver.h"

static const DriverOps *const drivers[] = {
        &shell_driver_ops,
        &claude_driver_ops,
};

const DriverOps *driver_find(const char *protocol) {
        for (size_t i = 0; protocol && i < ELEMENTSOF(drivers); i++)
                if (streq(drivers[i]->name, protocol))
                        return drivers[i];
        return NULL;
}

const char *driver_phase_to_string(DriverPhase p) {
        static const char *const names[_DRIVER_PHASE_MAX] = {
                [DRIVER_STARTING] = "starting",
                [DRIVER_IDLE] = "idle",
                [DRIVER_RUNNING] = "running",
                [DRIVER_WAITING_PERMISSION] = "waiting-permission",
        };

        return names[p];
}
