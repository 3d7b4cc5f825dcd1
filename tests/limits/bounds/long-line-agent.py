#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Speaks the shell agent's protocol, and never comes to the end of a line."""
import json
import sys
import time

print(json.dumps({"type": "ready", "version": "1"}), flush=True)
sys.stdout.write('{"type":"text","delta":"' + "x" * (7 << 20))
sys.stdout.flush()
time.sleep(1000)
