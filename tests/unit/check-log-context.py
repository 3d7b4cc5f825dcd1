#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/lib/log-context, over a small source that is right, and over the same with one thing wrong after the other: it reports
each, and nothing else.

usage: check-log-context.py TOOL
"""
import subprocess
import sys
import tempfile
from pathlib import Path

tool = sys.argv[1]

RIGHT = {
    "run/run.c": """
/* log_warning("in a comment"); */
static const char *const text = "log_warning(";
static void step(Run *r);
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        step(r);
        return 0;
}
static void step(Run *r) {
        log_warning("%s", text);
}
int run_begin(Run *r) {
        return sd_event_add_time(r->event, on_timer, r);
}
void run_poke(Run *r) {
        step(r);
}
""",
    "conversation/conversation.c": """
static const Ops ops = { .ended = conversation_on_ended };
void conversation_on_ended(void *userdata) {
        LOG_ABOUT_CONVERSATION(userdata);
        log_info("It is over.");
}
""",
    "runner-drain.c": """
static int on_drain(sd_event_source *source, void *userdata) {
        log_info("Draining.");
        for (Conversation *c = first(); c; c = next(c)) {
                LOG_ABOUT_CONVERSATION(c);
                run_poke(c->run);
                log_info("Conversation %s is ended.", c->row.id);
        }
        return 0;
}
int drain_begin(void) {
        return sd_event_add_defer(on_drain);
}
""",
}

# (file, what is replaced, by what, what is reported)
WRONG = [
    ("run/run.c", "        LOG_ABOUT_RUN(r);\n\n", "", "run.c:11: a line about a conversation without its id: on_timer() → step()"),
    ("run/run.c", "        LOG_ABOUT_RUN(r);\n\n        step(r);", "        step(r);\n        LOG_ABOUT_RUN(r);",
     "run.c:12: a line about a conversation without its id: on_timer() → step()"),
    ("run/run.c", "        LOG_ABOUT_RUN(r);\n", "        if (r) {\n                LOG_ABOUT_RUN(r);\n        }\n",
     "run.c:15: a line about a conversation without its id: on_timer() → step()"),
    ("conversation/conversation.c", "        LOG_ABOUT_CONVERSATION(userdata);\n", "",
     "conversation.c:4: a line about a conversation without its id: conversation_on_ended()"),
    ("runner-drain.c", "                LOG_ABOUT_CONVERSATION(c);\n                run_poke(c->run);",
     "                run_poke(c->run);\n                LOG_ABOUT_CONVERSATION(c);",
     "run/run.c:13: a line about a conversation without its id: on_drain() → run_poke() → step()"),
    ("runner-drain.c", "LOG_ABOUT_CONVERSATION(c);\n                run_poke(c->run);\n",
     "{\n                        LOG_ABOUT_CONVERSATION(c);\n                        run_poke(c->run);\n                }\n",
     "runner-drain.c:9: a line about a conversation without its id: on_drain()"),
    ("runner-drain.c", "\"Draining.\"", "\"Draining %s.\", \"NORTHFLARE_UNIT\"",
     "runner-drain.c:3: NORTHFLARE_UNIT is pushed by log_context_push_subject() alone"),
]


def report(files):
    with tempfile.TemporaryDirectory() as top:
        for name, text in files.items():
            path = Path(top, "src/runner", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        ran = subprocess.run([tool], cwd=top, capture_output=True, text=True)
        assert not ran.stderr, ran.stderr
        lines = ran.stdout.splitlines()
        assert ran.returncode == (1 if lines else 0), ran
        return lines


failed = 0
if found := report(RIGHT):
    print("what is right is reported:", *found, sep="\n  ")
    failed = 1
for name, old, new, expected in WRONG:
    assert RIGHT[name].count(old) == 1, (name, old)
    found = report(RIGHT | {name: RIGHT[name].replace(old, new)})
    if len(found) != 1 or not found[0].endswith(expected):
        print(f"expected of {name}: {expected}", *found, sep="\n  ")
        failed = 1
sys.exit(failed)
