#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Conversations that end at once, by the orchestrator.

usage: many.py start FROM TO WIDTH   starts m-FROM … m-TO, so many at a time at the most, and waits until they have ended
       many.py ends FROM TO          how many of them the orchestrator has the end of, and how many ends that are
"""
import http.client
import json
import socket
import sys
import time

SECONDS = 240


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect("/run/northflare-orchestrator/admin.socket")


def administer(method, path, body=None):
    c = Unix("localhost")
    c.request(method, path, json.dumps(body) if body else None)
    r = c.getresponse()
    text = json.loads(r.read())
    c.close()
    if r.status != 200:
        sys.exit("%s %s: %s" % (method, path, text))
    return text


def ended():
    """How many of all that the runner has started."""
    return sum(1 for line in open("/run/nf-ends", errors="replace") if " ended: " in line)


def start(first, last, width):
    before, begun = ended(), 0
    deadline = time.monotonic() + SECONDS
    while begun < last - first + 1 or ended() - before < begun:
        if begun < last - first + 1 and begun - (ended() - before) < width:
            administer("POST", "/v1/conversations", {"conversationId": "m-%d" % (first + begun), "params": {"agent": "brief"}})
            begun += 1
        elif time.monotonic() > deadline:
            sys.exit("%d of %d have ended" % (ended() - before, begun))
        else:
            time.sleep(0.02)


def ends(first, last):
    known = total = 0
    for n in range(first, last + 1):
        c = Unix("localhost")
        c.request("GET", "/v1/conversations/m-%d/events?since=0&follow=0" % n)
        text = c.getresponse().read().decode()
        c.close()
        here = text.count('"conversation.ended"')
        known += here > 0
        total += here
    print(known, total)


{"start": start, "ends": ends}[sys.argv[1]](*map(int, sys.argv[2:]))
