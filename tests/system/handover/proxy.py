#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Between a runner and its orchestrator: hands everything on, and holds back what a file asks for.

    proxy.py PORT UPSTREAM-PORT DIRECTORY

DIRECTORY/mode holds words: `keep-grants` hands a claim on and keeps the answer to itself, `keep-answers` swallows every
body that has a response or an event in it. DIRECTORY/kept gets a line for each thing that was kept back.
"""
import http.client
import http.server
import json
import sys
import threading

port, upstream, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def mode():
    try:
        with open(f"{directory}/mode") as f:
            return f.read().split()
    except FileNotFoundError:
        return []


def kept(what):
    with open(f"{directory}/kept", "a") as f:
        f.write(what + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def hold(self, what):
        """Says nothing more; the other side may wait as long as it likes."""
        kept(what)
        threading.Event().wait()

    def forward(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, headers)
        return connection.getresponse()

    def reply(self, answer, body):
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type") or "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        what = json.loads(body)
        if isinstance(what, list) and "keep-answers" in mode():
            self.hold("answers")
        answer = self.forward(body)
        text = answer.read()
        if isinstance(what, dict) and what.get("method") == "runner.claim" and "keep-grants" in mode():
            self.hold("grant " + text.decode())
        self.reply(answer, text)

    def do_GET(self):
        answer = self.forward(None)
        if "event-stream" not in (answer.getheader("Content-Type") or ""):
            self.reply(answer, answer.read())
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            piece = answer.read1(65536)
            if not piece:
                return
            self.wfile.write(piece)
            self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", port), Handler)
print("listening", flush=True)
server.serve_forever()
