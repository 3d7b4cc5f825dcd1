/* SPDX-License-Identifier: MIT */
#include "runner/run/run-context.h"

bool run_context_report_controller(RunContext *c, const char *controller) {
        return !strv_contains(c->controllers_reported, controller) &&
                strv_extend(&c->controllers_reported, controller) >= 0;
}

void run_context_done(RunContext *c) {
        strv_free(c->controllers_reported);
        c->controllers_reported = NULL;
}
