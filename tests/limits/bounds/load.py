#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Brings the bundled orchestrator to its bounds, all at once, and prints what came of it: bodies that are never finished, answers
that are never taken, events that are never read, and a body that is stored meanwhile.

usage: load.py URL TOKEN ADMIN-SOCKET
"""
import http.client
import json
import socket
import sys

MIB = 1024 * 1024
url, token, admin = sys.argv[1:]
host, port = url.removeprefix("http://").split(":")
headers = {"Authorization": f"Bearer {token}"}
held = []


def post(body, more=None):
    c = http.client.HTTPConnection(host, int(port), timeout=120)
    c.request("POST", "/api/runner/messages", body, headers)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text) if text else {}


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(admin)


def administer(path, body):
    c = Unix("localhost")
    c.request("POST", path, json.dumps(body))
    r = c.getresponse()
    text = json.loads(r.read())
    c.close()
    assert r.status == 200, text
    return text


def hold(family, address, head, body=b"", answer=0):
    """A connection that stays as it is once it has sent this, and read so much."""
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(120)
    s.connect(address)
    s.sendall(head + b"\r\n\r\n" + body)
    held.append(s)
    return s.recv(answer) if answer else b""


def head(line, *more):
    return "\r\n".join([line + " HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items()), *more]).encode()


_, answer = post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "runner.register",
                             "params": {"protocol": 1, "storeId": "load", "generation": 1}}))
headers["X-Northflare-Runner-Id"] = answer["result"]["runnerId"]


def event(n, line):
    return json.dumps([{"jsonrpc": "2.0", "method": "message.agent",
                        "params": {"messageId": n, "conversationId": "load-1", "event": {"type": "raw", "line": line}}}])


status, _ = post(event("m:1", "x" * (23 * MIB)))
print("an event of 23 MiB:", status)
# 14 MiB, which is read again and again.
administer("/v1/conversations/load-1/messages", {"method": "message.user", "params": {"content": "x" * (14 * MIB)}})
for n in range(8):
    hold(socket.AF_INET, (host, int(port)), head("GET /api/runner/messages"), answer=12)
for n in range(8):
    hold(socket.AF_UNIX, admin, head("GET /v1/conversations/load-1/events"), answer=12)
# What is under way on either socket is below 128 MiB, and never complete.
piece = b" " * (23 * MIB)
for n in range(5):
    hold(socket.AF_INET, (host, int(port)), head("POST /api/runner/messages", f"Content-Length: {len(piece) + 1}"), piece)
piece = b" " * (14 * MIB)
for n in range(8):
    hold(socket.AF_UNIX, admin, head("POST /v1/conversations", f"Content-Length: {len(piece) + 1}"), piece)
status, _ = post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "runner.ping"}))
print("a ping meanwhile:", status)
# A large body more than there is room for.
status, answer = post(b"[" + b" " * (20 * MIB) + b"]")
print("a body beyond the bound:", status, answer["error"]["message"])
for s in held:
    s.close()
status, _ = post(event("m:2", [{}] * (5 * MIB)))
print("a hostile event when they have gone:", status)
