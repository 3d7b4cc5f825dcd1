/* SPDX-License-Identifier: MIT */
#include "runner/link/http-status.h"

bool http_status_is_identity(long status) {
        return status == 401 || status == 403 || status == 409 || status == 410;
}

bool http_status_is_transient(long status) {
        return status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600);
}
