# SPDX-License-Identifier: MIT
"""The runner's store."""
import json
import sqlite3

STORE = "/var/lib/northflare/store.db"


def sql(*statements):
    """sql STATEMENT…: carries out each in the runner's store and prints its rows. Besides SQLite's functions there is
    without(TEXT, NAME): the JSON object TEXT without that member."""
    store = sqlite3.connect(STORE)
    store.create_function("without", 2, lambda text, name: json.dumps({k: v for k, v in json.loads(text).items() if k != name}))
    for statement in statements:
        for row in store.execute(statement):
            print(*row)
    store.commit()
