/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>

#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/attach.h"
#include "ctl/verb/audit.h"
#include "ctl/verb/control.h"
#include "ctl/verb/events.h"
#include "ctl/verb/list.h"
#include "ctl/verb/logs.h"
#include "ctl/verb/metrics.h"
#include "ctl/verb/permissions.h"
#include "ctl/verb/run.h"
#include "ctl/verb/runner.h"
#include "ctl/verb/status.h"
#include "ctl/verb/top.h"
#include "ctl/verb/workspace.h"

/* Which verbs there are, and --help, in one table: what is called and what is shown cannot differ. */

/* clang-format off */
const Verb verbs[] = {
        { "status", 0, 0, verb_status, "", "show state, connection and queue", .of_runner = true },
        { "list", 0, 0, verb_list, "", "list conversations (--all: ended ones too)" },
        { "show", 1, UINT_MAX, verb_show, "ID...", "show all properties of conversations" },
        { "run", 1, UINT_MAX, verb_run, "SCRIPT...", "run scripts, show their output" },
        { "attach", 1, 1, verb_attach, "ID", "talk to an agent in this terminal" },
        { "send", 2, UINT_MAX, verb_send, "ID TEXT...", "send a message (- reads it from stdin)" },
        { "interrupt", 1, UINT_MAX, verb_interrupt, "ID...", "interrupt the current turn" },
        { "stop", 1, UINT_MAX, verb_stop, "ID...", "stop conversations and wait for their end" },
        { "freeze", 1, UINT_MAX, verb_freeze, "ID...", "suspend all processes of conversations" },
        { "thaw", 1, UINT_MAX, verb_thaw, "ID...", "resume frozen conversations" },
        { "set-property", 2, UINT_MAX, verb_set_property, "ID NAME=VALUE...", "set limits: MemoryMax=2G, CPUQuota=50%, ..." },
        { "permissions", 0, UINT_MAX, verb_permissions, "[ID...]", "list questions that wait for an answer" },
        { "answer", 2, 3, verb_answer, "ID [REQUEST] allow|deny", "answer a question" },
        { "logs", 0, 1, verb_logs, "[ID]", "show the journal (of one conversation)", .own_bus = true },
        { "events", 1, 1, verb_events, "ID", "show events, one JSON object per line" },
        { "top", 0, 0, verb_top, "", "show resource usage continuously" },
        { "audit", 0, 1, verb_audit, "[ID]", "show who called what, and who was refused", .of_runner = true },
        { "drain", 0, 0, verb_drain, "", "accept no new conversations", .of_runner = true },
        { "undrain", 0, 0, verb_undrain, "", "accept conversations again", .of_runner = true },
        { "workspace", 1, UINT_MAX, verb_workspace, "list|show|remove [ID...]", "manage workspaces on the disk", .of_runner = true },
        { "reload", 0, 0, verb_reload, "", "reload the configuration", .of_runner = true },
        { "metrics", 0, 0, verb_metrics, "", "print all statistics as OpenMetrics text", .of_runner = true, .own_bus = true },
        {},
};
/* clang-format on */

#define LEFT_WIDTH 26

static void print_verbs(bool of_runner) {
        for (const Verb *v = verbs; v->name; v++) {
                char left[64];
                int n;

                if (v->of_runner != of_runner)
                        continue;
                n = snprintf(
                        left,
                        sizeof(left),
                        "%s%s%s",
                        v->name,
                        isempty(v->arguments) ? "" : " ",
                        v->arguments);
                if (n > LEFT_WIDTH)
                        (void) printf("  %s\n  %-*s %s\n", left, LEFT_WIDTH, "", v->help);
                else
                        (void) printf("  %-*s %s\n", LEFT_WIDTH, left, v->help);
        }
}

void arguments_help(void) {
        const char *b = style(stdout, STYLE_BOLD), *n = style(stdout, STYLE_NORMAL);

        (void) printf(
                "%snorthflarectl%s [OPTIONS...] VERB ...\n\n"
                "Inspect and control the coding agents of northflare-runner.\n\n",
                b,
                n);
        (void) printf("%sConversations%s\n", b, n);
        print_verbs(false);
        (void) printf("\n%sThe runner%s\n", b, n);
        print_verbs(true);
        (void) printf("\n%sOptions%s\n", b, n);
        arguments_help_options();
        (void) printf("\nSee northflarectl(1).\n");
}
