/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "orchestrator/command/verb-conversation.h"
#include "orchestrator/command/verb-events.h"
#include "orchestrator/command/verb-runners.h"
#include "orchestrator/command/verb-token.h"
#include "orchestrator/serve.h"

/* The letters of `options` are the groups of the table in options.c. */
static const Verb verbs[] = {
        { "serve", NULL, "", "Run the orchestrator", 0, 0, "s", verb_serve },
        { "token", "create", "", "Create a token for runners and print it", 0, 0, "cn", verb_token_create },
        { "token", "list", "", "List the tokens", 0, 0, "c", verb_token_list },
        { "token", "revoke", "ID|NAME", "Revoke a token", 1, 1, "c", verb_token_revoke },
        { "runners", NULL, "", "List the runners", 0, 0, "c", verb_runners },
        { "runners", "activate", "UID", "Give new work to this runner", 1, 1, "c", verb_runners_activate },
        { "runners",
          "forget",
          "UID",
          "Remove a runner that will not come back",
          1,
          1,
          "c",
          verb_runners_forget },
        { "runners", "events", "UID", "Show the events of a runner", 1, 1, "cf", verb_runners_events },
        { "conversation",
          "start",
          "",
          "Start a conversation and print its id",
          0,
          0,
          "cbpmtxw",
          verb_conversation_start },
        { "conversation",
          "send",
          "ID TEXT|-",
          "Send a message to the agent",
          1,
          2,
          "cxw",
          verb_conversation_send },
        { "conversation",
          "answer",
          "ID allow|deny",
          "Answer a permission question",
          2,
          2,
          "caxw",
          verb_conversation_answer },
        { "conversation",
          "interrupt",
          "ID",
          "Interrupt the agent's turn",
          1,
          1,
          "cxw",
          verb_conversation_interrupt },
        { "conversation", "stop", "ID", "Stop a conversation", 1, 1, "cqxw", verb_conversation_stop },
        { "conversation",
          "resume",
          "ID",
          "Resume one that has ended",
          1,
          1,
          "cpxw",
          verb_conversation_resume },
        { "conversation",
          "config",
          "ID",
          "Change model, mode or limits",
          1,
          1,
          "cmxw",
          verb_conversation_config },
        { "conversation", "freeze", "ID", "Suspend its processes", 1, 1, "cxw", verb_conversation_freeze },
        { "conversation", "thaw", "ID", "Resume suspended processes", 1, 1, "cxw", verb_conversation_thaw },
        { "conversation",
          "takeover",
          "ID",
          "Assign it to the active runner",
          1,
          1,
          "cow",
          verb_conversation_takeover },
        { "conversation", "list", "", "List the conversations", 0, 0, "cl", verb_conversation_list },
        { "conversation",
          "show",
          "ID",
          "Show a conversation and its open questions",
          1,
          1,
          "c",
          verb_conversation_show },
        { "conversation", "events", "ID", "Show its events", 1, 1, "cf", verb_conversation_events },
        { "raw", NULL, "METHOD [PARAMS]", "Send any message of the protocol", 1, 2, "crtw", verb_raw },
};

int main(int argc, char **argv) {
        _cleanup_(options_done) Options options = {};
        const Verb *verb;
        char **args;
        int r;

        r = options_parse(argc, argv, verbs, ELEMENTSOF(verbs), &options, &verb, &args);
        if (r != 0)
                return r;
        if (options.version) {
                (void) printf("northflare-orchestrator %s\n", PROJECT_VERSION);
                return EXIT_SUCCESS;
        }
        if (options.help) {
                options_help(verbs, ELEMENTSOF(verbs), verb);
                return EXIT_SUCCESS;
        }
        return verb->run(&options, args);
}
