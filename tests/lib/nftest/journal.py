# SPDX-License-Identifier: MIT
"""Entries of the journal, as `journalctl -o json` writes them on standard input."""
import json
import re
import sys


def carry_ids(*ids):
    """carry-ids ID...: true where each entry whose text names one of these conversations has that id in its field, and each of them
    is named in some text. Prints the entries that have another id, or none."""
    named, wrong = set(), 0
    for entry in map(json.loads, sys.stdin):
        message = entry.get("MESSAGE")
        for id in ids:
            if not isinstance(message, str) or not re.search(rf"(?<![\w.-]){re.escape(id)}(?![\w-]|\.\w)", message):
                continue
            named.add(id)
            if entry.get("NORTHFLARE_CONVERSATION_ID") != id:
                print(entry.get("CODE_FILE"), entry.get("CODE_LINE"), entry.get("NORTHFLARE_CONVERSATION_ID"), message)
                wrong += 1
    for id in sorted(set(ids) - named):
        print("no entry names", id)
    return wrong > 0 or named != set(ids)
