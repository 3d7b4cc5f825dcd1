#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Between a runner and its orchestrator: says 400 to what a file names, and hands everything else on.

    proxy.py PORT UPSTREAM-PORT DIRECTORY

DIRECTORY/refuse holds a text: a body that contains it gets 400, or what DIRECTORY/status holds. `*` is every request that
comes from then on, a stream that stands goes on. DIRECTORY/refused gets a line for each of them.
"""
import http.client
import http.server
import sys

port, upstream, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def is_refused(body):
    try:
        with open(f"{directory}/refuse") as f:
            text = f.read().strip()
    except FileNotFoundError:
        return False
    return text == "*" or (text != "" and text.encode() in body)


def refusal():
    try:
        with open(f"{directory}/status") as f:
            return int(f.read())
    except FileNotFoundError:
        return 400


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def forward(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body or None, headers)
        return connection.getresponse()

    def reply(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, body):
        if is_refused(body):
            with open(f"{directory}/refused", "a") as f:
                f.write(f"{self.command} {len(body)} bytes\n")
            self.reply(refusal(), "text/plain", b"not this one\n")
            return
        answer = self.forward(body)
        if "event-stream" not in (answer.getheader("Content-Type") or ""):
            self.reply(answer.status, answer.getheader("Content-Type") or "application/json", answer.read())
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_GET(self):
        self.answer(b"")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", port), Handler)
print("listening", flush=True)
server.serve_forever()
