#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands between the runner and the real orchestrator and passes on what both say, until it is asked for something else: to stop
passing anything on, to put text of its own into the event stream, or to answer with a page of its own in place of the stream.

usage: proxy.py PORT ORCHESTRATOR-PORT CONTROL-SOCKET

Control, a line and an answer of a line each: hold; go; inject FILE; page FILE; pages (how many were asked for).
"""
import os
import socket
import sys
import threading

port, behind, control = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
passing = threading.Event()
passing.set()
stream = None  # the runner's end of the event stream
page = None
pages = 0


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def answer(client, status, body=b""):
    client.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)


def end(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def forward(client, server):
    """What the runner says."""
    global stream, pages
    try:
        while data := client.recv(65536):
            passing.wait()
            if page is not None and data.startswith(b"GET /api/runner/events"):
                answer(client, b"404 Not Found")
                continue
            if page is not None and data.startswith(b"GET /api/runner/messages"):
                pages += 1
                answer(client, b"200 OK", page if pages == 1 else b'{"messages":[],"cursor":"page","more":false}')
                continue
            if data.startswith(b"GET /api/runner/events"):
                stream = client
            server.sendall(data)
    except OSError:
        pass
    end(client, server)


def back(client, server):
    try:
        while data := server.recv(65536):
            passing.wait()
            client.sendall(data)
    except OSError:
        pass
    end(client, server)


def listen():
    s = socket.create_server(("127.0.0.1", port), backlog=64)
    print("listening", flush=True)
    while True:
        client, _ = s.accept()
        server = socket.create_connection(("127.0.0.1", behind))
        for f in (forward, back):
            threading.Thread(target=f, args=(client, server), daemon=True).start()


def obey(words):
    global page
    if words[0] == "hold":
        passing.clear()
    elif words[0] == "go":
        passing.set()
    elif words[0] == "inject":
        with open(words[1], "rb") as f:
            stream.sendall(chunk(f.read()))
    elif words[0] == "page":
        with open(words[1], "rb") as f:
            page = f.read()
        end(stream)
    return str(pages)


threading.Thread(target=listen, daemon=True).start()
if os.path.exists(control):
    os.unlink(control)
c = socket.socket(socket.AF_UNIX)
c.bind(control)
c.listen()
while True:
    s, _ = c.accept()
    with s, s.makefile("rw") as f:
        for text in f:
            f.write(obey(text.split()) + "\n")
            f.flush()
