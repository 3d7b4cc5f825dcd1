#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An orchestrator of the simplest kind: no claims, no streams. Every runner reads the same list of messages, and the
rule about the active runner alone decides whose work a message is.

    orchestrator.py PORT

For the test: POST /send with an envelope (without an id: one is made), POST /activate/UID, GET /runners, GET /events (a line each).
"""
import http.server
import json
import sys
import threading

lock = threading.Lock()
messages = []  # a cursor is how many of these came before
runners = {}  # storeId → {"uid", "generation", "id"}
events = []
seen = set()
state = {"active": None, "n": 0}
BODY_MAX = 262144


def send(envelope):
    state["n"] += 1
    envelope.setdefault("id", f"m-{state['n']}")
    messages.append(envelope)
    return envelope["id"]


def activate(uid):
    state["active"] = uid
    send({"payload": {"jsonrpc": "2.0", "method": "runner.uid.changed", "params": {"runnerUid": uid}}})


def register(params):
    r = runners.setdefault(params["storeId"], {"uid": f"ru-{len(runners) + 1}", "generation": 0})
    if params["generation"] <= r["generation"]:
        return {"error": {"code": -32011, "message": "stale"}}
    r["generation"], r["id"] = params["generation"], f"rn-{r['uid']}-{params['generation']}"
    cursor = str(len(messages))
    activate(r["uid"])
    return {"result": {"runnerId": r["id"], "runnerUid": r["uid"], "isActiveRunner": True, "cursor": cursor, "capabilities": [],
                       "maxBodyBytes": BODY_MAX}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, *values):
        body = "\n".join(map(json.dumps, values)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or "null")
        if size > BODY_MAX:
            self.reply(413)
            return
        with lock:
            if self.path == "/send":
                self.reply(200, {"id": send(body)})
            elif self.path.startswith("/activate/"):
                activate(self.path.rsplit("/", 1)[1])
                self.reply(200, {})
            elif isinstance(body, list):
                for e in body:
                    key = e.get("messageId") or e["params"]["messageId"]
                    if key not in seen:
                        seen.add(key)
                        events.append({"runner": self.headers.get("X-Northflare-Runner-Id"), "event": e})
                self.reply(204)
            elif body.get("method") == "runner.register":
                self.reply(200, {"jsonrpc": "2.0", "id": body["id"], **register(body["params"])})
            elif body.get("method") == "runner.claim":
                events.append({"runner": "?", "event": {"method": "claimed", "params": {}}})
                self.reply(200, {"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32601, "message": "no such method"}})
            elif body.get("id") is not None:
                self.reply(200, {"jsonrpc": "2.0", "id": body["id"], "result": {}})
            else:
                self.reply(204)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        with lock:
            if path == "/events":
                self.reply(200, *events)
            elif path == "/runners":
                self.reply(200, {"runners": list(runners.values()), **state})
            elif path == "/api/runner/messages":
                args = dict(a.split("=", 1) for a in query.split("&") if "=" in a)
                since, limit = int(args.get("since") or 0), int(args.get("limit") or 100)
                page = messages[since : since + limit]
                end = since + len(page)
                self.reply(200, {"messages": page, "cursor": str(end), "more": end < len(messages)})
            else:
                self.reply(404, {"error": "no streams here"})


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
