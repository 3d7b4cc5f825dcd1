#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Goes on with what a shell agent of commit d178ae2 had begun: first writes the bytes that it had written, in the time of
nothing, then does what was left to do, and whatever comes.

    agent.py OUT-LOG IN-BYTES

OUT-LOG is what the fixture has of that agent; IN-BYTES how much it had been given, which comes again on stdin.
"""
import json
import os
import signal
import subprocess
import sys

prefix = open(sys.argv[1], "rb").read()
left = int(sys.argv[2])
os.write(1, prefix)
given = b""
while len(given) < left:
    given += os.read(0, left - len(given))


def say(**line):
    data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    while data:
        data = data[os.write(1, data):]


running = None


def terminated(*_):
    if running:
        running.kill()
    os._exit(128 + signal.SIGTERM)


signal.signal(signal.SIGTERM, terminated)


def carry_out(message, counted=None):
    """counted: the turn has begun, and so many lines were written of it"""
    global running
    text = message["text"]
    if counted is None:
        say(type="turn_start", id=message["id"])
    else:
        text = text.replace("i=0", f"i={counted}", 1)
    running = subprocess.Popen(["/bin/bash", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in running.stdout:
        say(type="output", stream="stdout", text=line.decode())
    status = running.wait()
    running = None
    end = {"exitCode": status} if status >= 0 else {"signal": -status}
    say(type="turn_end", id=message["id"], **end, interrupted=False, durationMs=1)


messages = [json.loads(line) for line in given.splitlines()]
written = [json.loads(line) for line in prefix.splitlines()]
ended = sum(1 for m in written if m["type"] == "turn_end")
begun = sum(1 for m in written if m["type"] == "turn_start")
for n, message in enumerate(m for m in messages if m["type"] == "user"):
    if n < ended:
        continue
    last = "".join(m["text"] for m in written if m["type"] == "output").splitlines()[-1:] if n < begun else None
    carry_out(message, None if last is None else int(last[0].split()[1]) if last else 0)
buffer = b""
while chunk := os.read(0, 65536):
    buffer += chunk
    while b"\n" in buffer:
        line, buffer = buffer.split(b"\n", 1)
        message = json.loads(line)
        if message["type"] == "user":
            carry_out(message)
        elif message["type"] == "end":
            sys.exit(0)
