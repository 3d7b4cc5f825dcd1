#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lay-store.py SQL DATABASE USEC: carries out the file of SQL in a database that is made, and moves the times in it."""
import sqlite3
import sys

source, target, shift = sys.argv[1], sys.argv[2], int(sys.argv[3])
c = sqlite3.connect(target)
c.executescript(open(source).read())
tables = [t for t, in c.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
for table in tables:
    for column in [r[1] for r in c.execute(f"PRAGMA table_info({table})")]:
        # What lies between 2020 and 2090 in microseconds is a time.
        c.execute(f"UPDATE {table} SET {column} = {column} + ? WHERE typeof({column}) = 'integer'"
                  f" AND {column} BETWEEN 1577836800000000 AND 3786912000000000", (shift,))
c.commit()
c.execute("PRAGMA journal_mode = WAL")
c.close()
