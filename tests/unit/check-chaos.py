#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chaos suite runs the installed programs, which log a forbidden step of a state and go on: it fails on that line.

Usage: check-chaos.py SOURCE-DIR"""
import json
import os
import re
import sys

source = sys.argv[1]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(source, 'tests/chaos'))
import verify  # noqa: E402

with open(os.path.join(source, 'src/runner/store/state-step.h')) as f:
    wording = re.search(r'#define STATE_STEP_FORBIDDEN "([^"]+)"', f.read())
with open(os.path.join(source, 'tests/chaos/driver.py')) as f:
    driver = f.read()


def journal(*messages):
    return ''.join(json.dumps({'MESSAGE': m}) + '\n' for m in messages)


step = 'state of conversation c-1 from ended to live.'
assert wording, 'state-step.h names no wording of the line'
assert verify.steps(journal('Conversation c-1 ended: stopped.', wording[1] + step)) == [wording[1] + step], \
    'the line of a forbidden step is no problem'
assert verify.steps(journal('Conversation c-1 ended: stopped.', 'It said: ' + wording[1] + step)) == [], \
    'a line that quotes one is a problem'
assert verify.steps('no JSON\n' + json.dumps({'MESSAGE': [70, 111]}) + '\n') == []
assert re.search(r"problems \+= verify\.steps\(run\('journalctl'", driver), 'the driver does not ask for it'
