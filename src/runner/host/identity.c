/* SPDX-License-Identifier: MIT */
#include <systemd/sd-id128.h>

#include "runner/host/identity.h"

/* For an id of this machine that says nothing about it elsewhere (sd_id128_get_machine_app_specific(3)). */
#define APPLICATION_ID SD_ID128_MAKE(6d, 1f, 0b, 8a, 5e, 0c, 4b, 73, 9a, f2, 41, c7, 3e, 88, d5, 20)

void host_identity_read(HostIdentity *ret) {
        sd_id128_t id;

        *ret = (HostIdentity){};
        if (gethostname(ret->hostname, sizeof(ret->hostname) - 1) < 0)
                ret->hostname[0] = 0;
        if (sd_id128_get_machine_app_specific(APPLICATION_ID, &id) >= 0)
                (void) sd_id128_to_string(id, ret->id);
}
