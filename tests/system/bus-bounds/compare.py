#!/usr/bin/python3 -SE
# SPDX-License-Identifier: MIT
"""compare.py events READ STREAMED: the events in the file READ, none of them cut, are those that the file STREAMED begins with.
compare.py questions: the reply of Describe() on standard input has 64 questions, whole or with their size, in less than 1 MiB."""
import json
import sys


def events(*files):
    read, streamed = ([json.loads(line) for line in open(f, encoding="utf-8")] for f in files)
    print(len(read), "events read,", len(streamed), "streamed, the longest of", max(len(json.dumps(e)) for e in read))
    assert len(read) > 3 and not any("cut" in e["params"] for e in read)
    return read != streamed[:len(read)]


def questions():
    text = json.load(sys.stdin)["data"][0]
    q = json.loads(text)["questions"]
    if len(q) < 64:
        return f"{len(q)} questions so far"
    whole = [x for x in q if "input" in x]
    print(len(text.encode()), "bytes,", len(whole), "of", len(q), "questions are whole")
    assert "input" in q[0] and "cut" not in q[0]
    assert q[1]["cut"]["input"]["size"] == 65537 and "input" not in q[1]
    assert 2 < len(whole) < 64 and all(("input" in x) != ("cut" in x) for x in q)
    assert all(x["cut"]["input"]["size"] in (29000, 65537) for x in q if "cut" in x)
    assert len({x["requestId"] for x in q}) == 64 and len(text.encode()) < 1 << 20
    return 0


sys.exit({"events": events, "questions": questions}[sys.argv[1]](*sys.argv[2:]))
