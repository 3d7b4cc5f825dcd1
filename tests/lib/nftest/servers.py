# SPDX-License-Identifier: MIT
"""Servers on loopback that behave badly."""
import socket


def silent_server(port, file):
    """silent-server PORT FILE: accepts connections and never answers; FILE exists once it listens."""
    listener = socket.create_server(("127.0.0.1", int(port)))
    with open(file, "w", encoding="utf-8"):
        pass
    held = []
    while True:
        held.append(listener.accept())


def status_server(port, status):
    """status-server PORT STATUS: answers every HTTP request with that status and no body."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(int(status))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *arguments):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


def free_port():
    """free-port: prints a port of loopback on which nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        print(s.getsockname()[1])


def black_hole(port, file):
    """black-hole PORT FILE: takes every datagram and answers none; FILE has their number. Prints listening."""
    import os
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", int(port)))
    print("listening", flush=True)
    number = 0
    while True:
        s.recvfrom(4096)
        number += 1
        with open(file + ".new", "w", encoding="ascii") as f:
            f.write(str(number))
        os.replace(file + ".new", file)


def hold_connections(path, number, beginning):
    """hold-connections PATH NUMBER BEGINNING: opens so many connections to a socket, sends BEGINNING on the first, prints held and
    keeps them until standard input ends."""
    import sys
    held = []
    for _ in range(int(number)):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        held.append(s)
    held[0].send(beginning.encode())
    print("held", flush=True)
    sys.stdin.read()


def exchange(path, answer):
    """exchange PATH ANSWER: sends standard input to a socket as it is, and ends with status 0 where the reply begins with ANSWER."""
    import sys
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(sys.stdin.buffer.read())
        s.shutdown(socket.SHUT_WR)
        reply = s.recv(100)
    print(reply)
    return not reply.startswith(answer.encode())
