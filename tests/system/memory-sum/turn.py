#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what the runner, which has just started, makes and drops in one turn of its loop of the largest of a kind, in MiB. After
a page the proxy gives it nothing but pages.

usage: turn.py call|message|page
"""
import sys

from kit import MANAGER, MESSAGE_MAX, NAME, Bus, call_start, envelope, event, inject, large_call, peak_of, proxy, until

bus = Bus()


def a_call():
    call_start(bus, large_call(), ("appendSystemPrompt", ("s", "a" * (MESSAGE_MAX - 16384))))


def a_message():
    inject(event(envelope("turn-1", "message.user", 65000, MESSAGE_MAX - 4096)))
    # Whoever is answered behind it sees it read.
    until("the message has come", lambda: not bus.call(NAME, MANAGER, "org.freedesktop.DBus.Peer", "Ping").error)


def a_page():
    with open("/run/nf-page", "w") as f:
        f.write('{"messages":[%s],"cursor":"page","more":false}' % envelope("turn-2", "message.user", 65000, MESSAGE_MAX - 4096))
    proxy("page", "/run/nf-page")
    until("the page was taken, and the next one asked for", lambda: proxy("pages") > 1)


print(peak_of({"call": a_call, "message": a_message, "page": a_page}[sys.argv[1]]))
