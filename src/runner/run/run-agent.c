/* SPDX-License-Identifier: MIT */
#include "runner/agent/driver-none.h"
#include "runner/run/run-agent.h"

const DriverOps *run_agent_driver(const char *agent, Json *agent_config, Json *spec) {
        const char *protocol = json_get_string(spec, "protocol");
        const DriverOps *ops;

        /* An older program left that to the configuration. */
        if (!protocol)
                protocol = json_get_string(agent_config, "protocol");
        ops = driver_find(protocol ? protocol : agent);
        return ops ? ops : &none_driver_ops;
}

char *run_unknown_agent_text(const char *agent) {
        return xasprintf(
                "agent %s is not configured any more: add it to \"agents\" in the runner's configuration again",
                agent);
}

char *run_unread_text(const char *agent) {
        return xasprintf("failed to read the stored run of agent %s", agent);
}
