#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""peak-memory.py FILE COMMAND…: runs COMMAND, writes the largest resident set of it into FILE, in KiB, and ends with its status."""
import resource
import subprocess
import sys

status = subprocess.run(sys.argv[2:], check=False).returncode
with open(sys.argv[1], "w", encoding="ascii") as f:
    f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
