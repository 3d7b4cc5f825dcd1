#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tables of docs/performance.md on what the programs may hold: each row against the constants of the code, and the sum
against MemoryMax= of the units.

usage: check-memory.py SOURCE-DIRECTORY
"""
import ast
import math
import re
import sys
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
SIZES = {"K": KIB, "M": MIB, "G": 1024 * MIB}
# Where each program's constants are; the first directory that has a name counts.
PROGRAMS = {
    "northflare-runner": (("src/runner", "src/common"), ("runner", "runner-user")),
    "northflare-orchestrator": (("src/orchestrator", "src/common"), ("orchestrator", "orchestrator-user")),
}

# A size of a MiB or more is in a row of the table, or is nothing that is held from turn to turn.
NOT_HELD = {
    "northflare-runner": {
        "BUS_CONTENTS_MAX": "a reply, made and sent in one turn",
        "BUS_LIST_MAX": "a reply, made and sent in one turn",
        "CHECK_ALWAYS_BYTES": "a size of the store's file, on disk",
        "CLAUDE_ASK_BYTES_MAX": "questions stay in the agent's output, on disk",
        "CLAUDE_ASK_LINE_MAX": "questions stay in the agent's output, on disk",
        "CONFIG_FILE_MAX": "the administrator's file, read once",
        "DRIVE_BYTES_MAX": "how much of lines that are read already is worked on in one turn",
        "HEAP_BLOCK_MAX": "from where on a block is given back to the kernel",
        "LINE_SKIP_BYTES": "how much of a long line is passed over in one turn, in pieces",
        "LONG_BYTES": "how a line's own buffer grows",
        "SPEC_MAX": "a file of ours, read in one turn where a store was lost",
    },
    "northflare-orchestrator": {
        "ANSWER_MAX": "in the commands for an administrator, which are processes of their own",
        "CATCH_UP_BYTES": "an answer, in the row of answers that were not read yet",
        "HUB_PARAMS_MAX": "ADMIN_BODY_MAX by another name",
        "HUB_REGISTRATION_MAX": "a part of a body, in the row of bodies that are read",
    },
}

top = Path(sys.argv[1])
problems = []


def value_of(text, names):
    """An expression of C or of the table: numbers, sums, products, names, and max() of such."""
    text = re.sub(r"\(\(?size_t\)\s*", "(", text) if text.startswith("((size_t)") else text
    text = re.sub(r"\(size_t\)", "", text)
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text)

    def walk(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name):
            return names(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            a, b = walk(node.left), walk(node.right)
            return a + b if isinstance(node.op, ast.Add) else a * b
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "max" and node.args:
            return max(walk(a) for a in node.args)
        raise ValueError(f"not a sum, a product or the largest of some: {text}")

    return walk(ast.parse(text.strip(), mode="eval").body)


def constants(directories):
    found = {}
    for directory in directories:
        for path in sorted((top / directory).rglob("*.[ch]")):
            for name, text in re.findall(r"^#define ([A-Z][A-Z0-9_]*) (.+?)(?:\s*/\*.*)?$", path.read_text(), re.M):
                found.setdefault(name, (directory, set()))
                if found[name][0] == directory:
                    found[name][1].add(text)
    return found


def settings():
    text = (top / "src/runner/config/config-keys.c").read_text()
    return {name: int(n) for name, n in re.findall(r'"(\w+)",\s+CONFIG_\w+,\s+"(\d+)"', text)}


def check(program, section):
    directories, units = PROGRAMS[program]
    code, keys = constants(directories), settings()

    def names(name):
        if name in ("KIB", "MIB"):
            return {"KIB": KIB, "MIB": MIB}[name]
        if name in keys:
            return keys[name]
        texts = code.get(name, (None, set()))[1]
        if len(texts) > 1:
            raise ValueError(f"{name} is defined in several ways: {texts}")
        value = value_of(next(iter(texts)), names) if texts else None
        if value is None:
            raise ValueError(f"there is no constant {name}")
        return value

    used = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", " ".join(re.findall(r"^\| [^|]+ \| `([^`]+)` \|", section, re.M))))
    for name, (where, _) in code.items():
        try:
            size = names(name)
        except (ValueError, SyntaxError):
            continue
        if where == directories[0] and MIB <= size and re.search("_(MAX|BYTES|SIZE)$", name) and name not in used | set(NOT_HELD[program]):
            problems.append(f"{program}: {name} ({size // MIB} MiB) is in no row of the table; is it held?")
    for name in NOT_HELD[program]:
        if name not in code or name in used:
            problems.append(f"{program}: {name} is there no more, or is in the table: it has no exception")
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| (\d+) \|$", section, re.M)
    total = 0
    for what, expression, stated in rows:
        try:
            mib = math.ceil(value_of(expression, names) / MIB)
        except (ValueError, SyntaxError) as e:
            problems.append(f"{program}, {what}: {e}")
            continue
        total += mib
        if mib != int(stated):
            problems.append(f"{program}, {what}: {mib} MiB by the code, {stated} in the table")
    stated = re.search(r"^\| \*\*sum\*\* \| \| \*\*(\d+)\*\* \|$", section, re.M)
    if not rows or not stated or int(stated[1]) != total:
        problems.append(f"{program}: the sum is {total} MiB, and not {stated and stated[1]}")
    for unit in units:
        text = (top / f"units/northflare-{unit}.service.in").read_text()
        limit = re.search(r"^MemoryMax=(\d+)([KMG])$", text, re.M)
        if not limit or int(limit[1]) * SIZES[limit[2]] <= total * MIB:
            problems.append(f"{unit}: MemoryMax={limit and limit[0]} is not above {total} MiB")
        elif int(limit[1]) * SIZES[limit[2]] > total * MIB * 3 // 2:
            problems.append(f"{unit}: {limit[0]} is more than half as much again as {total} MiB, and so no bound")
        if re.search("^MemoryHigh=", text, re.M):
            problems.append(f"{unit}: MemoryHigh= throttles a program that has a watchdog")


# The cases that bring the rows to their bounds name them by their beginnings.
CASES = {"northflare-runner": "memory-sum", "northflare-orchestrator": "memory-sum-orchestrator"}


def check_case(program, section):
    rows = re.findall(r"^\| (\*\*sum|[^|*]+)", section, re.M)
    text = (top / "tests/system" / CASES[program] / "run").read_text()
    for name in re.findall(r"^holds '([^']+)'|\brow(?:_of)? '([^']+)'", text, re.M):
        name = (name[0] or name[1]).replace("\\", "")
        if not any(row.startswith(name) for row in rows):
            problems.append(f"tests/system/{CASES[program]}: no row of the table begins with '{name}'")


page = (top / "docs/performance.md").read_text()
for name in PROGRAMS:
    part = re.search(rf"^### {name}\b.*?$(.*?)(?=^##)", page, re.M | re.S)
    if part:
        check(name, part[1])
        check_case(name, part[1])
    else:
        problems.append(f"docs/performance.md has no table of {name}")
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
