#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A runner that means harm, at the bundled orchestrator with a token of its own: one line for each body, with the status and the
code of the answer.

usage: post.py URL TOKEN
"""
import http.client
import json
import sys

MIB = 1024 * 1024
url, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}


def post(body):
    c = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    c.request("POST", "/api/runner/messages", body, headers)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text) if text else {}


def event(n, line, more=""):
    return ('{"jsonrpc":"2.0","method":"message.agent","params":{"messageId":"m:%s",%s"conversationId":"hostile-1","run":1,'
            '"event":{"type":"raw","line":%s}}}' % (n, more, line))


def objects(size):
    return "[" + ",".join(["{}"] * (size // 3)) + "]"


status, answer = post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "runner.register",
                                  "params": {"protocol": 1, "storeId": "hostile", "generation": 1}}))
headers["X-Northflare-Runner-Id"] = answer["result"]["runnerId"]
for name, body in (
        ("5 MiB of objects", f"[{event(1, objects(5 * MIB))}]"),
        ("15 MiB of objects", f"[{event(2, objects(15 * MIB))}]"),
        ("15 MiB of lists", f"[{event(3, '[' + ','.join(['[]'] * (5 * MIB)) + ']')}]"),
        ("15 MiB of text", f"[{event(4, json.dumps('x' * (15 * MIB)))}]"),
        ("66 levels", f"[{event(5, '[' * 62 + ']' * 62)}]"),
        ("a member twice", f"[{event(6, 0, more=chr(34) + 'conversationId' + chr(34) + ':1,')}]"),
        ("100,000 messages", "[" + ",".join(event(f"n{n}", 0) for n in range(100_000)) + "]"),
        ("100,000 objects", objects(300_000)),
        ("25 MiB", " " * (25 * MIB)),
        ("a good event", f"[{event(7, 0)}]")):
    status, answer = post(body)
    print(f"{name}: {status} {answer.get('error', {}).get('code', '')}".rstrip(), flush=True)
