/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/terminal.h"

/* The one question that waits; NULL after a message where there is none or more than one. */
static char *only_question(const char *id, int *ret_status) {
        _cleanup_json_ Json *o = NULL;
        Json *questions;
        size_t n;

        *ret_status = describe(id, &o);
        if (*ret_status != EXIT_OK)
                return NULL;
        *ret_status = EXIT_FAILED;
        questions = json_get(o, "questions");
        n = json_object_is_type(questions, json_type_array) ? json_object_array_length(questions) : 0;
        if (n != 1) {
                (void) fprintf(stderr,
                               n == 0 ? "No question waits for an answer.\n" :
                                        "Several questions wait for an answer; name one (northflarectl permissions).\n");
                return NULL;
        }
        return strdup(strempty(json_get_string(json_object_array_get_idx(questions, 0), "requestId")));
}

int verb_answer(char **words) {
        const char *behavior = words[3] ? words[3] : words[2];
        _cleanup_free_ char *request = NULL;
        int status = EXIT_OK;

        if (!streq(behavior, "allow") && !streq(behavior, "deny")) {
                (void) fputs("northflarectl: the answer is allow or deny\n", stderr);
                return EXIT_USAGE;
        }
        request = words[3] ? strdup(words[2]) : only_question(words[1], &status);
        if (!request)
                return status == EXIT_OK ? EXIT_FAILED : status;
        if (arg.message)
                return call_conversation(
                                words[1],
                                "AnswerPermission",
                                NULL,
                                "ssa{sv}",
                                request,
                                behavior,
                                1,
                                "message",
                                "s",
                                arg.message);
        return call_conversation(words[1], "AnswerPermission", NULL, "ssa{sv}", request, behavior, 0);
}
