#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/lib/cases: each mistake in a script is reported with its line, and nothing else is.

usage: check-case-lint.py SOURCE-DIRECTORY
"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1) + "/tools/lib/cases"


def run(*lines, name="tests/system/one/run"):
    """The exit status for a tree with one script of these lines, and the numbers of the lines that are reported."""
    with tempfile.TemporaryDirectory() as top:
        script = Path(top, name)
        script.parent.mkdir(parents=True)
        script.write_text("\n".join(["#!/bin/bash", *lines]), encoding="utf-8")
        p = subprocess.run([PROGRAM, top], capture_output=True, text=True, check=False)
        return p.returncode, [int(line.split(":")[1]) for line in p.stdout.splitlines() if line.startswith(name)]


class Lint(unittest.TestCase):
    def test_programs(self):
        for line in ("python3 -c 'print(1)'", "x=$(python3 - <<'END'", "python3 -SE -c 1", "a | python3 - \"$x\" <<END", "python3 <<END",
                     "echo \"python3 -c 'x = 1'\"", "cat >\"$nf_tmp/x.py\" <<'EOF'"):
            self.assertEqual(run(line), (1, [2]), line)
        for line in ("python3 file.py -c x", "nf-test json 'd'", "# python3 -c 1", "python3 -B /src/x.py", "pgrep -x python3", "cat >x.sh <<END"):
            self.assertEqual(run(line), (0, []), line)
        self.assertEqual(run("python3 -c 1", name="tests/git/run"), (1, [2]))

    def test_names_that_continue(self):
        for line in ('check "… and more" true', 'same "one: … and more" 1 1', "eventually '… it is' 20 true", 'ok "$id: … once"'):
            self.assertEqual(run(line), (1, [2]), line)
        for line in ("# name ID…: \"… x", 'check "a list: a, b, …" true', 'check "a whole name" true'):
            self.assertEqual(run(line), (0, []), line)

    def test_names_twice(self):
        self.assertEqual(run('check "one" true', 'same "two" 1 1', 'eventually "one" 20 true'), (1, [4]))
        self.assertEqual(run("if check 'one' true; then refuse 'one' false; fi"), (1, [2]))
        self.assertEqual(run('check "one" true && ok "two" || not_ok "two"', 'check "$1: one" true'), (0, []))

    def test_no_scripts(self):
        self.assertEqual(run("python3 -c 1", name="tests/unit/run"), (1, []))


unittest.main()
