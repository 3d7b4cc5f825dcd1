/* SPDX-License-Identifier: MIT */
#include <sys/prctl.h>

#include "git/checkout.h"
#include "git/fetch.h"
#include "git/output.h"
#include "git/process.h"
#include "git/status.h"
#include "git/workspace.h"

/* northflare-git [VERB]: one request on stdin, JSON lines on stdout. */

int main(int argc, char *argv[]) {
        static int (*const verbs[])(const Request *, Json **) = {
                verb_fetch, verb_checkout, verb_status, verb_measure, verb_remove
        };
        _cleanup_(request_done) Request request = {};
        _cleanup_json_ Json *result = NULL;

        process_set_up();
        if (request_read(STDIN_FILENO, argc > 1 ? argv[1] : NULL, &request) < 0)
                return output_finish(NULL);
        /* No other process of this uid can read a credential out of memory. */
        if (request.verb == VERB_FETCH)
                (void) prctl(PR_SET_DUMPABLE, 0);
        if (verbs[request.verb](&request, &result) < 0)
                json_putp(&result), result = NULL;
        return output_finish(result);
}
