#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Brings the runner to as many of its bounds as can be reached at one time, measures it, and lets go again: a line for each step,
with what the runner has resident in MiB, and in the end the peak and what came of it.

usage: load.py CONVERSATIONS
"""
import http.client
import json
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, "/src/tests/bus")
from rawbus import ERROR, Connection, body_of  # noqa: E402

MIB = 1 << 20
NAME, MANAGER = "org.northflare.Runner1", "/org/northflare/Runner1"
I_CONVERSATION = NAME + ".Conversation"
STREAMS, LINE_MAX, ENDED = 64, 8 * MIB, 64
conversations = int(sys.argv[1])


class Bus(Connection):
    """Keeps the descriptors that come."""

    def __init__(self):
        self.fds = []
        super().__init__("/run/dbus/system_bus_socket", timeout=120)

    def receive(self):
        data, fds, _, _ = socket.recv_fds(self.s, 1 << 20, 16)
        self.fds += fds
        self.buffer += data


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


def pid_of(unit):
    return int(subprocess.run(["systemctl", "show", "-P", "MainPID", unit], capture_output=True, text=True, check=True).stdout)


runner = pid_of("northflare-runner")


def memory(key):
    for text in open("/proc/%d/status" % runner):
        if text.startswith(key + ":"):
            return int(text.split()[1]) // 1024
    sys.exit("the runner has no " + key)


def step(what):
    print("%s: %d" % (what, memory("VmRSS")), flush=True)


def until(what, function, seconds=120):
    end = time.monotonic() + seconds
    while not function():
        if time.monotonic() > end:
            sys.exit("not within %d s: %s" % (seconds, what))
        time.sleep(0.2)


def path_of(n):
    return MANAGER + "/conversation/s_2d%d" % n


def get(n, name):
    return bus.call(NAME, path_of(n), "org.freedesktop.DBus.Properties", "Get", "ss", [I_CONVERSATION, name]).values()[0]


def describe(n):
    m = bus.call(NAME, path_of(n), I_CONVERSATION, "Describe")
    return {} if m.kind == ERROR else json.loads(m.values()[0])


def start(n):
    """With as many values as there may be, nearly as many bytes beside the prompt, and the longest prompt."""
    params = {"agent": "long", "mcpServers": {"a": {"list": [{}] * 4000}}, "more": "m" * 900_000,
              "model": "model of %d" % n, "prompt": "p" * (14 * MIB)}
    status, text = administer("POST", "/v1/conversations", {"conversationId": "s-%d" % n, "params": params})
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
    n = bus.send(NAME, path_of(0), I_CONVERSATION, "SendMessage", "s", body_of("s", ["s" * (15 * MIB)]))
    print("sent", flush=True)
    print(bus.answers([n])[n].error or "done", flush=True)


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


def call_start(text):
    return bus.call(NAME, MANAGER, NAME + ".Manager", "StartConversation", "a{sv}", [[("json", ("s", text))]])


def refusal(values, size, prompt):
    """Of a start with so many values in its parameters, and so many bytes beside the prompt, which no agent is there for."""
    p = {"conversationId": "none", "agent": "none", "prompt": prompt, "allowedTools": ["t"] * (values - 6), "model": ""}
    p["model"] = "m" * (size + len(prompt) + 2 - len(json.dumps(p, separators=(",", ":"))))
    m = call_start(json.dumps(p, separators=(",", ":")))
    return m.error.rsplit(".", 1)[1] + " " + m.values()[0]


def written(n):
    return os.stat("/var/lib/northflare/conversations/s-%d/1/out.log" % n).st_size


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
            m = again.call(NAME, path_of(n % conversations), I_CONVERSATION, "OpenEvents", "s", [cursors[n % conversations]])
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
orchestrator, polkit = pid_of("northflare-orchestrator"), pid_of("polkit")
os.kill(orchestrator, signal.SIGSTOP)
os.kill(polkit, signal.SIGSTOP)
open("/srv/go", "w").close()
until("all lines are there", lambda: all(written(n) > 2 * LINE_MAX for n in range(conversations)))
# Whoever is answered behind those lines sees them read.
until("the lines were read", lambda: memory("VmRSS") > 0 and not bus.call(NAME, path_of(0), I_CONVERSATION, "Describe").error)
step("lines without an end, and those under way to the orchestrator")
# Behind its beginning and its questions, so that the line at the bound is the first that a stream has.
cursors = [""] * conversations
for n in range(conversations):
    for _ in range(8):
        events, behind = bus.call(NAME, path_of(n), I_CONVERSATION, "ReadEvents", "su", [cursors[n], 1]).values()
        if not events or '"type":"message"' in events[0][:1000]:
            break
        cursors[n] = behind
step("a reader of each conversation")
for n in range(STREAMS):
    m = bus.call(NAME, path_of(n % conversations), I_CONVERSATION, "OpenEvents", "s", [cursors[n % conversations]])
    if m.kind == ERROR:
        sys.exit("stream %d: %s" % (n, m.error))
step("%d streams that nobody reads" % STREAMS)
refused = bus.call(NAME, path_of(0), I_CONVERSATION, "OpenEvents", "s", [""])
pid, visitor = as_visitor(stranger)
until("that call has come", lambda: not bus.call(NAME, path_of(0), I_CONVERSATION, "Describe").error)
step("a call that waits for polkit")
# Large, and full of values: it is parsed, looked at and refused.
large = '{"conversationId":"large","agent":"long","allowedTools":[%s],"prompt":"%s"}' % (",".join(["{}"] * 65000), "l" * (15 * MIB))
m = call_start(large)
step("a call at the bounds of a call")
print("peak: %d" % memory("VmHWM"))
print("one stream more:", refused.error)
print("a call with too many values:", m.error, m.values()[0][:80])

# Now all is let go.
os.kill(polkit, signal.SIGCONT)
os.kill(orchestrator, signal.SIGCONT)
print("the call that waited:", *[text.strip() for text in visitor])
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
