/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-control.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-orders.h"

void conversation_control_done(Conversation *c, LauncherVerb verb, int error, const char *text) {
        if (error < 0) {
                _cleanup_free_ char *what = xasprintf(
                        "%s failed: %s",
                        launcher_verb_to_string(verb),
                        text                        ? text :
                                error == -ECANCELED ? "the conversation is ended" :
                                                      strerrordesc_np(-error));
                (void) conversation_report(c, "control-failed", strempty(what), NULL);
                conversation_announce(c);
        } else if (verb == LAUNCHER_FREEZE || verb == LAUNCHER_THAW)
                conversation_set_frozen(c, verb == LAUNCHER_FREEZE);
        else if (verb == LAUNCHER_SET_LIMITS && c->run)
                run_limits_set(c->run);
}

void conversation_order(Conversation *c, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits) {
        int r;
        LOG_ABOUT_CONVERSATION(c);

        r = c->run ? run_order(c->run, verb, limits, n_limits) : -ENOTCONN;
        if (r < 0)
                conversation_control_done(c, verb, r, NULL);
}
