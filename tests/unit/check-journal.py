#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Message ids and fields of the journal: the header, the code that logs, the catalog and the manual page agree.

usage: check-journal.py SOURCE-FOLDER
"""
import re
import sys
from pathlib import Path

top = Path(sys.argv[1])
header = (top / "src/common/log-ids.h").read_text()
catalog = (top / "catalog/northflare.catalog").read_text()
page = (top / "man/northflare-journal-fields.7").read_text()
code = {p: p.read_text() for p in sorted((top / "src").rglob("*.c"))}
problems = []


def compare(what, there, known):
    for name in sorted(set(there) - set(known)):
        problems.append(f"{what}: {name} should not be there")
    for name in sorted(set(known) - set(there)):
        problems.append(f"{what}: {name} is missing")


ids = dict(re.findall(r'^#define (NF_MESSAGE_\w+) "([0-9a-f]{32})"$', header, re.M))
fields = set()
used = set()
for text in code.values():
    fields |= set(re.findall(r'log_context_push\(\s*&?\w+,\s*"(\w+)"', text))
    # Those of a conversation, which are pushed from a table.
    subject = re.search(r"^void log_context_push_subject\(.*?^}", text, re.M | re.S)
    fields |= set(re.findall(r'\{\s*"(NORTHFLARE_\w+)"', subject[0] if subject else ""))
    used |= set(re.findall(r"\bNF_MESSAGE_\w+", text))

if len(set(ids.values())) != len(ids):
    problems.append("log-ids.h: two messages have one id")
compare("code", used, ids)
compare("catalog", re.findall(r"^-- (\S+)$", catalog, re.M), ids.values())
messages = re.search(r"^\.Sh MESSAGES\n(.*?)^\.Sh ", page, re.M | re.S)[1]
compare("northflare-journal-fields(7), MESSAGES", re.findall(r"^\.It Li (\S+)$", messages, re.M), ids.values())
listed = re.search(r"^\.Sh FIELDS\n(.*?)^\.Sh ", page, re.M | re.S)[1]
compare("northflare-journal-fields(7), FIELDS",
        [f for line in re.findall(r"^\.It (Li .*)$", listed, re.M) for f in re.findall(r"Li (\w+)=", line)], fields)

# The catalog's entries are whole, and what they substitute is logged.
for entry in re.split(r"^-- ", catalog, flags=re.M)[1:]:
    name = entry.split("\n", 1)[0]
    for line in ("Subject: ", "Defined-By: Northflare Runner", "Documentation: man:"):
        if f"\n{line}" not in entry:
            problems.append(f"catalog: {name} has no line \"{line}\"")
    if len(entry.split("\n\n", 1)[1].strip()) < 80:
        problems.append(f"catalog: {name} explains nothing")
    for field in re.findall(r"@(\w+)@", entry):
        if field not in fields:
            problems.append(f"catalog: {name} names the field {field}, which nobody logs")

# Any id in the manual pages and documents is one of ours.
for p in [*(top / "man").iterdir(), *(top / "docs").glob("*.md")]:
    for found in re.findall(r"\b[0-9a-f]{32}\b", p.read_text()):
        if found not in ids.values():
            problems.append(f"{p.name}: {found} is no message id")

for problem in problems:
    print(problem)
if not ids or not fields:
    sys.exit("nothing was compared")
sys.exit(1 if problems else 0)
