#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lay-store.py SQL DATABASE USEC: carries out the file of SQL in a database that is made, and moves the times in it."""
import json
import sqlite3
import sys
import time

source, target, shift = sys.argv[1], sys.argv[2], int(sys.argv[3])
c = sqlite3.connect(target)
c.executescript(open(source).read())
tables = [t for t, in c.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
for table in tables:
    for column in [r[1] for r in c.execute(f"PRAGMA table_info({table})")]:
        # What lies between 2020 and 2090 in microseconds is a time.
        c.execute(f"UPDATE {table} SET {column} = {column} + ? WHERE typeof({column}) = 'integer'"
                  f" AND {column} BETWEEN 1577836800000000 AND 3786912000000000", (shift,))
# The clocks of runtimeMaxSec are CLOCK_MONOTONIC, of the machine that the store was captured on: here they began just now, or
# what has time there has none left on a machine that runs for longer.
for key, value in c.execute("SELECT key, value FROM meta WHERE key LIKE 'runtime:%'").fetchall() if "meta" in tables else []:
    clock = json.loads(value) | {"startedUsec": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}
    c.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(clock, separators=(",", ":")), key))
c.commit()
c.execute("PRAGMA journal_mode = WAL")
c.close()
