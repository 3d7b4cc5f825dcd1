/* SPDX-License-Identifier: MIT */
#include "runner/run/run-context.h"

bool run_context_tell_controller(RunContext *c, const char *controller) {
        return !strv_contains(c->controllers_told, controller) &&
                        strv_extend(&c->controllers_told, controller) >= 0;
}

void run_context_done(RunContext *c) {
        strv_free(c->controllers_told);
        c->controllers_told = NULL;
}
