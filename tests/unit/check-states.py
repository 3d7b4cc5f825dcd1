#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""States and reasons of conversations and runs change in state-step.c alone, and are text in the store alone.

Usage: check-states.py SOURCE-DIR"""
import re
import sys
from pathlib import Path

top = Path(sys.argv[1]) / 'src/runner'
MEMBER = r'row(?:\.|->)(?:state|reason)\b'
WRITTEN = re.compile(MEMBER + r'\s*=[^=]')
COMPARED = re.compile(r'streq(?:_ptr)?\([^;]*' + MEMBER + r'[^;]*"')
# Reads rows, and takes steps.
OWNERS = {'store/state-step.c', 'store/store-conversation.c'}

problems = []
for path in sorted(top.rglob('*.[ch]')):
    if str(path.relative_to(top)) in OWNERS:
        continue
    for n, line in enumerate(path.read_text().splitlines(), 1):
        for pattern, what in ((WRITTEN, 'changes a state past its setter'), (COMPARED, 'compares a state as text')):
            if pattern.search(line):
                problems.append(f'{path}:{n}: {what}: {line.strip()}')
print('\n'.join(problems))
sys.exit(bool(problems))
