/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/runner.h"

/* The two doors to the methods, behind which they are the same: the wire and the local caller. Whatever a person or an
 * orchestrator asks for goes through one table, so that D-Bus and the wire cannot disagree. */
typedef struct Methods Methods;

/* Hangs itself in as the runner's methods. The runner is borrowed and outlives it. */
int methods_new(Runner *r, Methods **ret);
/* Calls under way lose their reply, not their effect. */
Methods *methods_free(Methods *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(Methods *, methods_free);

/* The answer to a call: result or error, both JSON, borrowed; exactly one of them is set. */
typedef void (*MethodReply)(Json *result, Json *error, void *userdata);
/* Calls a protocol method ("conversation.start", "message.user", "runner.drain", …) on behalf of a local caller. It is
 * accepted into the store like a message of the orchestrator; reply runs once, maybe from inside this call, maybe much
 * later (conversation.stop answers when the cgroup was seen empty). ret_call (may be NULL) lets the caller drop the
 * reply; the effect stays. Negative errno: nothing has happened, and reply does not run. */
typedef struct LocalCall LocalCall;
int methods_call(
        Methods *m,
        const char *method,
        Json *params,
        const RunnerCaller *caller,
        MethodReply reply,
        void *userdata,
        LocalCall **ret_call);
/* Of a call that was returned, before its reply and after. */
LocalCall *local_call_free(LocalCall *c);
