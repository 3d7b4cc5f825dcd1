#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/units.md against the unit files: each directive of each unit has a row, and each row its directives and units.

usage: check-units.py SOURCE-FOLDER
"""
import re
import sys
from pathlib import Path

top = Path(sys.argv[1])
problems, there, told = [], set(), set()
units = set()
for path in sorted((top / "units").iterdir()):
    name = path.name.removesuffix(".in")
    if Path(name).suffix not in (".service", ".socket", ".slice"):
        continue
    name = name.removeprefix("northflare-").removesuffix(".service")
    units.add(name)
    text = path.read_text()
    there |= {(m, name) for m in re.findall(r"^([A-Z]\w+)=", text, re.M)}
    # Put in by the build, by what this systemd knows.
    if "@credential@" in text:
        there |= {("LoadCredential", name), ("ImportCredential", name)}

for row in re.findall(r"^\| (`\w+=`.*) \|$", (top / "docs/units.md").read_text(), re.M):
    names, where, why = row.split(" | ", 2)
    if len(why) < 9:
        problems.append(f"{names}: no reason is given")
    for name in re.findall(r"`(\w+)=`", names):
        for unit in units if where == "all" else re.findall(r"`([^`]+)`", where):
            if (name, unit) in told:
                problems.append(f"{name}= of {unit} is there twice")
            told.add((name, unit))

for name, unit in sorted(there - told):
    problems.append(f"{name}= of {unit} is not explained")
for name, unit in sorted(told - there):
    problems.append(f"{name}= of {unit} is explained, and not in the file")
for problem in problems:
    print(problem)
if not there or not told:
    sys.exit("nothing was compared")
sys.exit(1 if problems else 0)
