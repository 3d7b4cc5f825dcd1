#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Brings the runner to as many of its bounds as can be reached at one time, measures it, and lets go again: a line for each step,
with what the runner has resident in MiB, and in the end the peak and what came of it. Between the runner and the orchestrator is
proxy.py.

usage: load.py CONVERSATIONS
"""
import http.client
import json
import os
import pwd
import select
import signal
import socket
import sys
import threading
import time

from kit import (MANAGER, MESSAGE_MAX, MIB, NAME, Bus, call_start, envelope, event, inject, large_call, memory, pid_of, proxy, runner, until)
from rawbus import ERROR, body_of

I_CONVERSATION = NAME + ".Conversation"
STREAMS, LINE_MAX, ENDED, EVENTS_OF_A_LINE = 64, 8 * MIB, 64, 1024
# So many of the streams have the line at the bound before them: they fill what streams have for long lines.
LONG = 8
conversations = int(sys.argv[1])


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
    return r.status, text


def step(what):
    print("%s: %d" % (what, memory("VmRSS")), flush=True)


def id_of(n):
    """As long as an id may be: it is in each event."""
    return ("s-%03d-" % n).ljust(64, "x")


def path_of(n):
    return MANAGER + "/conversation/" + id_of(n).replace("-", "_2d")


def get(n, name):
    return bus.call(NAME, path_of(n), "org.freedesktop.DBus.Properties", "Get", "ss", [I_CONVERSATION, name]).values()[0]


def describe(n):
    m = bus.call(NAME, path_of(n), I_CONVERSATION, "Describe")
    return {} if m.kind == ERROR else json.loads(m.values()[0])


def start(n):
    """With as many values as there may be, nearly as many bytes beside the prompt, and the longest prompt."""
    params = {"agent": "long", "mcpServers": {"a": {"k%d" % k: {} for k in range(4000)}}, "more": "m" * 900_000,
              "model": "model of %d" % n, "prompt": "p" * (14 * MIB)}
    status, text = administer("POST", "/v1/conversations", {"conversationId": id_of(n), "params": params})
    if status != 200:
        sys.exit("conversation %d: %s" % (n, text))


def end_some(count):
    """So many come and go, each with as many bytes beside the prompt as there may be."""
    for first in range(0, count, conversations):
        some = ["e-%d" % n for n in range(first, min(first + conversations, count))]
        for name in some:
            status, text = administer("POST", "/v1/conversations", {"conversationId": name, "params": {"agent": "long", "more": "m" * (MIB - 4096)}})
            if status != 200:
                sys.exit("conversation %s: %s" % (name, text))
        for name in some:
            path = MANAGER + "/conversation/" + name.replace("-", "_2d")
            until(name + " has begun", lambda p=path: state_at(p) in ("idle", "running"))
            bus.call(NAME, path, I_CONVERSATION, "Stop", "a{sv}", [[]])
        for name in some:
            path = MANAGER + "/conversation/" + name.replace("-", "_2d")
            until(name + " has ended", lambda p=path: state_at(p) == "ended")


def state_at(path):
    m = bus.call(NAME, path, "org.freedesktop.DBus.Properties", "Get", "ss", [I_CONVERSATION, "State"])
    return None if m.kind == ERROR else m.values()[0]


def stranger():
    """Somebody whose calls polkit is asked about, and who waits for its answer."""
    bus = Bus()
    calls = [bus.send(NAME, path_of(0), I_CONVERSATION, "SendMessage", "s", body_of("s", ["s" * (MESSAGE_MAX - 1024)])) for _ in range(2)]
    print("sent", flush=True)
    answers = bus.answers(calls)
    print(*[answers[n].error or "done" for n in calls], flush=True)


def as_visitor(function):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(pwd.getpwnam("visitor").pw_gid)
        os.setuid(pwd.getpwnam("visitor").pw_uid)
        os.dup2(w, 1)
        function()
        os._exit(0)
    os.close(w)
    f = os.fdopen(r)
    f.readline()
    return pid, f


def refusal(values, size, prompt):
    """Of a start with so many values in its parameters, and so many bytes beside the prompt, which no agent is there for."""
    p = {"conversationId": "none", "agent": "none", "prompt": prompt, "allowedTools": ["t"] * (values - 6), "model": ""}
    p["model"] = "m" * (size + len(prompt) + 2 - len(json.dumps(p, separators=(",", ":"))))
    m = call_start(bus, json.dumps(p, separators=(",", ":")))
    return m.error.rsplit(".", 1)[1] + " " + m.values()[0]


def written(n):
    return os.stat("/var/lib/northflare/conversations/%s/1/out.log" % id_of(n)).st_size


def answered():
    """Whoever is answered behind what came sees it read."""
    return not bus.call(NAME, path_of(0), "org.freedesktop.DBus.Properties", "Get", "ss", [I_CONVERSATION, "State"]).error


def lines_of(fd, least, found, n):
    """Reads a stream until it has the line at the bound. One that was let go is opened anew."""
    longest = at = 0
    again = Bus()
    end = time.monotonic() + 180
    while longest < least and time.monotonic() < end:
        piece = os.read(fd, 1 << 20) if select.select([fd], [], [], 10)[0] else None
        if piece is None:
            continue
        if not piece:
            m = again.call(NAME, path_of(n % conversations), I_CONVERSATION, "OpenEvents", "s", [cursors[n]])
            if m.kind == ERROR:
                time.sleep(0.5)
            else:
                fd, at = again.fds[-1], 0
            continue
        for part in piece.split(b"\n")[:-1]:
            longest, at = max(longest, at + len(part)), 0
        at += len(piece) - piece.rfind(b"\n") - 1
    found[n] = longest
    for fd in again.fds:
        os.close(fd)
    again.close()


bus = Bus()
open("/proc/%d/clear_refs" % runner, "w").write("5")
step("at the beginning")
end_some(ENDED)
step("%d conversations that have ended" % ENDED)
for n in range(conversations):
    start(n)
until("all have asked", lambda: all(len(describe(n).get("questions", [])) == 2 for n in range(conversations)))
step("parameters and questions of %d conversations" % conversations)
until("that is delivered", lambda: bus.call(NAME, MANAGER, "org.freedesktop.DBus.Properties", "Get", "ss",
                                            [NAME + ".Manager", "QueuedEvents"]).values()[0] == 0)
polkit = pid_of("polkit")
proxy("hold")
os.kill(polkit, signal.SIGSTOP)
open("/srv/go", "w").close()
until("all lines are there", lambda: all(written(n) > 2 * LINE_MAX for n in range(conversations)))
until("the lines were read", answered)
step("lines without an end, and those under way to the orchestrator")
# Before the line of many events, and behind it: there the line at the bound is the first that a stream has.
many, long = [""] * conversations, [""] * conversations
for n in range(conversations):
    seen = 0
    while seen < EVENTS_OF_A_LINE:
        events, behind = bus.call(NAME, path_of(n), I_CONVERSATION, "ReadEvents", "su", [long[n], 1 if seen == 0 else 1024]).values()
        if not events:
            sys.exit("%s has %d messages" % (id_of(n), seen))
        if seen == 0 and '"type":"message"' not in events[0][:1000]:
            many[n] = behind
        else:
            seen += len(events)
        long[n] = behind
    if seen != EVENTS_OF_A_LINE:
        sys.exit("%s has %d messages before the line at the bound" % (id_of(n), seen))
step("a reader of each conversation")
cursors = [(long if n < LONG else many)[n % conversations] for n in range(STREAMS)]
for n in range(STREAMS):
    m = bus.call(NAME, path_of(n % conversations), I_CONVERSATION, "OpenEvents", "s", [cursors[n]])
    if m.kind == ERROR:
        sys.exit("stream %d: %s" % (n, m.error))
step("%d streams that nobody reads" % STREAMS)
# The line at the bound, for whoever fetches it in pieces.
size = bus.call(NAME, path_of(0), I_CONVERSATION, "ReadEvent", "st", [long[0], 0]).values()[1]
if size < LINE_MAX - 4096:
    sys.exit("an event of %d bytes in place of the line at the bound" % size)
step("an event that is fetched in pieces")
# A claim is asked for, which nobody answers; behind it is the beginning of another message.
inject(event(envelope("claim-1", "conversation.start", 65000, MESSAGE_MAX - 4096)))
until("the message has come", answered)
step("a message that waits for a claim")
behind = event(envelope("claim-2", "message.user", 65000, MESSAGE_MAX - 4096))
inject(behind[:-100])
until("that message has come", answered)
step("a message that is not whole")
refused = bus.call(NAME, path_of(0), I_CONVERSATION, "OpenEvents", "s", [""])
# As large as the bus carries.
m = call_start(bus, large_call(), ("appendSystemPrompt", ("s", "a" * (MESSAGE_MAX - 16384))))
step("a call at the bounds of a call")
# These fill the room of those that wait for polkit: no further one is taken, whoever calls.
pid, visitor = as_visitor(stranger)
until("they have come", lambda: "LimitsExceeded" in str(bus.call(NAME, path_of(0), I_CONVERSATION, "ReadEvents", "su", ["", 1]).error))
step("calls that wait for polkit")
print("peak: %d" % memory("VmHWM"))
print("swap: %d" % memory("VmSwap"))
print("one stream more:", refused.error)
print("a call with too many values:", m.error, m.values()[0][:80])

# Now all is let go.
os.kill(polkit, signal.SIGCONT)
inject(behind[-100:])
proxy("go")
print("the calls that waited:", *[text.strip() for text in visitor])
os.waitpid(pid, 0)
found = [0] * STREAMS
threads = [threading.Thread(target=lines_of, args=(fd, LINE_MAX - 4096, found, n)) for n, fd in enumerate(bus.fds)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("streams that have the line at the bound:", sum(n > LINE_MAX - 4096 for n in found))
for fd in bus.fds:
    os.close(fd)
open("/srv/end", "w").close()
until("all turns have ended", lambda: all(get(n, "Turns") == 1 for n in range(conversations)))
until("all is delivered", lambda: bus.call(NAME, MANAGER, "org.freedesktop.DBus.Properties", "Get", "ss",
                                           [NAME + ".Manager", "QueuedEvents"]).values()[0] == 0)
step("all done")
for n in range(conversations):
    bus.call(NAME, path_of(n), I_CONVERSATION, "Stop", "a{sv}", [[]])
until("all have ended", lambda: all(get(n, "State") == "ended" for n in range(conversations)))
print("described with what they were started with: %d" % sum(describe(n).get("model") == "model of %d" % n for n in range(conversations)))
step("afterwards")
for values, size, prompt in ((4096, MIB, ""), (4097, MIB, ""), (100, MIB + 1, ""), (4096, MIB, "p" * (2 * MIB)),
                             (4096, MIB + 1, "p" * (2 * MIB))):
    print("a start with %d values, %d bytes and a prompt of %d:" % (values, size, len(prompt)), refusal(values, size, prompt).split(":")[0])
