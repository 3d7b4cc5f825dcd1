#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/lib/words, over a small source that is right, and over the same with one mistake after the other: it reports each,
and nothing else.

usage: check-words.py TOOL
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

tool = sys.argv[1]

# Right, though much in it looks like what is wrong.
RIGHT = {
    "src/ctl/a.h": """#pragma once
#include "ctl/folder.h"
/* A lookup, a look-up, it looks up a name and looks
 * like one. It is amended, a toll, a figurehead. It goes on
 * stderr, and 900 bytes taken in all. */
int db_lookup(int white, int heartbeat); // foretold
""",
    "src/ctl/a.c": """#include "ctl/a.h"
static const char text[] = "a /* look-up */ \\"of\\" manifolders", c = '"';
int db_lookup(int white, int heartbeat) { return white + heartbeat + (c == '\\"'); }
""",
    "src/orchestrator/hub.h": "/* The hub. */\nstruct Hub *hub_new(void);\n",
    "docs/a.md": "A report: `hits`, `run-folder.c`, and\nstart-limit-hit, run-folder.\n\n<!-- rooms -->\n\n    http → hub\n\n"
                 "<!-- end of rooms -->\n",
    "man/a.5": "Ends as start-limit-hit.\n",
    "README.md": "To look up.\n",
}
A_H, A_C = RIGHT["src/ctl/a.h"], RIGHT["src/ctl/a.c"]

# What is wrong: {file: text}, and the lines that report it.
WRONG = {
    "nothing": ({}, []),
    "a word in a string": (
        {"src/ctl/a.c": A_C + 'int f(void) { return puts("The\\nFolder"); }\n'},
        ['src/ctl/a.c:4: "Folder": directory'],
    ),
    "two words in adjacent strings": (
        {"src/ctl/a.c": A_C + 'int f(void) { return puts("x"), puts("all "\n"what is "\n"left"); }\n'},
        ['src/ctl/a.c:5: "what is left": remaining processes, remainder'],
    ),
    "a word after a comment in a string": (
        {"src/ctl/a.c": A_C + 'const char *t = "/*"; /* looks at it */ const char *u = "*/";\n'},
        ['src/ctl/a.c:4: "looks": check, inspect, search'],
    ),
    "words in a comment, over the end of a line": (
        {"src/ctl/a.h": A_H + "/* It has\n * heard\n * of nobody. */\n// anew\n"},
        ['src/ctl/a.h:8: "heard of": receive, be notified', 'src/ctl/a.h:9: "nobody": name the party',
         'src/ctl/a.h:10: "anew": again'],
    ),
    "words in identifiers, once for each file": (
        {"src/ctl/a.h": A_H + "int run_look_at(int hit);\nint run_look_at(int hit);\nstruct RunFigures *goOn(void);\n"},
        ['src/ctl/a.h:7: "hit": limit event, match, reach', 'src/ctl/a.h:7: "run_look_at": check, inspect, search',
         'src/ctl/a.h:9: "RunFigures": statistics, usage', 'src/ctl/a.h:9: "goOn": continue, resume'],
    ),
    "a word in a file's name": (
        {"src/ctl/run-folder.c": ""},
        ['src/ctl/run-folder.c:0: "run-folder": directory'],
    ),
    "the word of another program": (
        {"src/ctl/a.h": A_H + "/* The hub. */\n", "docs/a.md": "The hub, in src/orchestrator/hub.\n",
         "src/orchestrator/hub.c": '/* The hub. */\nint hub_wake(void) { return puts("hub"); }\n'},
        ['src/ctl/a.h:7: "hub": runner', 'docs/a.md:1: "hub": runner', 'src/orchestrator/hub.c:2: "hub": runner'],
    ),
    "words beside names in text": (
        {"docs/a.md": "A hit, `a hit`, ``hit`` -hit- `hits` (hits)\n<!-- rooms -->\nhub\n\n<!-- end of rooms -->\nhub\n",
         "docs/b.md": "hub\n<!-- end of rooms -->\n`hit\nhits`\n", "man/a.5": "`hits`\n"},
        ['docs/a.md:1: "hit": limit event, match, reach'] * 4 + ['docs/a.md:1: "hits": limit event, match, reach',
         'docs/a.md:6: "hub": runner', 'docs/b.md:1: "hub": runner', 'docs/b.md:3: "hit": limit event, match, reach',
         'docs/b.md:4: "hits": limit event, match, reach', 'man/a.5:1: "hits": limit event, match, reach'],
    ),
    "words everywhere else": (
        {"man/a.8": "It goes\non. By the kernel's word.\n", "docs/a.md": "no\none, Taken in\n", "README.md": "To mend\n", "NEWS": "told",
         "catalog/c": "-\nsomeone\n", "completions/bash/b": "figures", "units/u.in": "# whoever\n", "dbus/d.xml": "hits",
         "tools/lib/t": "tells\n"},
        ['man/a.8:1: "goes on": continue, resume', 'docs/a.md:1: "no one": name the party', 'docs/a.md:2: "Taken in": accept',
         'README.md:1: "mend": fix', 'NEWS:1: "told": report, inform, distinguish',
         'catalog/c:2: "someone": name the party', 'completions/bash/b:1: "figures": statistics, usage',
         'units/u.in:1: "whoever": name the party', 'dbus/d.xml:1: "hits": limit event, match, reach',
         'tools/lib/t:1: "tells": report, inform, distinguish'],
    ),
}
EXCEPTIONS = """EXCEPTIONS = (
    ('src/ctl/e.c', 'hits', 'a key'),
    ('src/ctl/e.c', 'told_it', 'a name'),
    ('docs/e.md', '"go on"', 'a quotation'),
    ('docs/e.md', 'unused', 'none'),
)
"""


def run(text, source, arguments):
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        Path("words").write_text(text)
        for name, content in source.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
        done = subprocess.run([sys.executable, "words", *arguments], stdout=subprocess.PIPE, text=True)
        os.chdir("/")
        return done.returncode, done.stdout.splitlines()


failed = False


def expect(what, got, lines, status):
    global failed
    code, found = got
    if sorted(found) != sorted(lines) or code != status:
        failed = True
        print(f"{what}: exit status {code}")
        for line in sorted(set(found) - set(lines)):
            print(f"        not expected: {line}")
        for line in sorted(set(lines) - set(found)):
            print(f"        expected: {line}")


program = Path(tool).read_text()
places = ["src/ctl", "src/orchestrator", "man", "docs", "README.md", "NEWS", "catalog", "completions", "units", "dbus",
          "tools"]
for what, (changes, lines) in WRONG.items():
    expect(what, run(program, RIGHT | changes, places), lines, 1 if lines else 0)

excepting = re.sub(r"^EXCEPTIONS = \(.*?^\)\n", lambda m: EXCEPTIONS, program, flags=re.M | re.S)
source = RIGHT | {
    "src/ctl/e.c": 'int told_it = sizeof "hits"; /* hits */ int x = sizeof "hits!";\n',
    "src/ctl-other/e.c": "int folder;\n",
    "docs/e.md": 'Say "go on", and go on.\n',
}
in_source = ['src/ctl/e.c:1: "hits": limit event, match, reach'] * 2
in_docs = ['docs/e.md:0: "unused": an exception without a use', 'docs/e.md:1: "go on": continue, resume']
expect("exceptions", run(excepting, source, ["src/ctl", "docs"]), in_source + in_docs, 1)
in_other = ['src/ctl-other/e.c:1: "folder": directory']
expect("all without arguments", run(excepting, source, []), in_source + in_other + in_docs, 1)
expect("numbers", run(excepting, source, ["--count"]),
       ["README.md: 0", "docs: 2", "man: 0", "src/ctl: 2", "src/ctl-other: 1", "src/orchestrator: 0"], 0)
sys.exit(1 if failed else 0)
