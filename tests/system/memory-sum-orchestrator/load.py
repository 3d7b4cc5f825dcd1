#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Brings northflare-orchestrator to as many of its bounds as can be there at one time, measures it, and lets go again. A line for
each thing that was brought to its bound: what it grew by, in MiB. Then the peak, and what came of what was beyond a bound.

usage: load.py URL TOKEN ADMIN-SOCKET PID CONVERSATION
TOKEN is that of the name load. CONVERSATION is one of a real runner, whose shell agent waits for instructions.
"""
import fcntl
import http.client
import json
import os
import resource
import select
import socket
import struct
import sys
import termios
import time

KIB, MIB = 1 << 10, 1 << 20
# The program's bounds.
BODIES, ANSWERS, ANSWER_FREE, CONNECTIONS = 128 * MIB, 64 * MIB, 64 * KIB, 512
RUNNER_BODY, ADMIN_BODY, VALUES = 24 * MIB, 15 * MIB, 4096
RUNNERS, LISTED, QUESTIONS, IDS = 64, 1000, 256, 1000
# Left in each: of connections for those who ask meanwhile, of bodies for what they say.
SPARE, ROOM = 12, MIB // 2
# Where nothing moves for 75 s, the server closes a connection.
TEND_SEC = 20
# A control character has six bytes in JSON, and one in the store.
WORST = "\x01"

url, token, admin, pid, conversation = sys.argv[1:]
host, port = url.removeprefix("http://").split(":")
address = (host, int(port))
held, tended, peak = [], time.monotonic(), 0


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(admin)
        self.sock.settimeout(self.timeout)


def ask(c, method, path, body=None, headers={}):
    c.request(method, path, body if body is None or isinstance(body, (str, bytes)) else json.dumps(body), headers)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text) if text else {}, r.getheader("Retry-After")


def ask_admin(method, path, body=None):
    return ask(Unix("localhost", timeout=300), method, "/v1/" + path, body)


def ask_port(method, path, headers, body=None):
    return ask(http.client.HTTPConnection(*address, timeout=300), method, "/api/runner/" + path, body, headers)


def administer(method, path, body=None):
    status, answer, _ = ask_admin(method, path, body)
    if status != 200:
        sys.exit("%s %s: %d %s" % (method, path, status, answer))
    return answer


def said(answered):
    """A refusal: its status, its text, and when to come back."""
    status, answer, after = answered
    return "%d %s%s" % (status, answer.get("error", {}).get("message", ""), ", again after %s s" % after if after else "")


class Runner:
    """One of the token's, such as nobody would make."""
    made = 0

    def __init__(self, **more):
        Runner.made += 1
        self.n = 0
        self.headers = {"Authorization": "Bearer " + token}
        answer = self.take({"jsonrpc": "2.0", "id": 1, "method": "runner.register",
                            "params": {"protocol": 1, "storeId": "load-%d" % Runner.made, "generation": 1, **more}}, 200)
        self.uid = answer["result"]["runnerUid"]
        self.headers["X-Northflare-Runner-Id"] = answer["result"]["runnerId"]

    def post(self, body):
        return ask_port("POST", "messages", self.headers, body)

    def take(self, body, good=204):
        status, answer, _ = self.post(body)
        if status != good:
            sys.exit("a body: %d %s" % (status, answer))
        return answer

    def event(self, method, c, **params):
        self.n += 1
        return {"jsonrpc": "2.0", "method": method, "params": {"messageId": "m:%d" % self.n, "conversationId": c, **params}}

    def says(self, c, size):
        return [self.event("message.agent", c, event={"type": "raw", "line": "x" * size})]

    def message(self, size):
        """One that waits for this runner, of so many bytes."""
        return administer("POST", "runners/%s/messages" % self.uid,
                          {"method": "message.user", "params": {"content": "x" * size}})["messageId"]


class Held:
    """A connection that has sent this, and from now on does no more than is needed to be kept."""

    def __init__(self, family, method, path, headers={}, body=b"", length=None, times=1, answer=None):
        text = "%s %s HTTP/1.1\r\nHost: x\r\n" % (method, path) + "".join("%s: %s\r\n" % h for h in headers.items())
        self.sends = length is not None and length > len(body)
        self.s = socket.socket(family)
        if family == socket.AF_INET:
            # What is not taken shall be in the program and not in the kernel.
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        # Without a time limit: where the queue is full, a connection to a unix socket waits then, and does not fail.
        self.s.connect(admin if family == socket.AF_UNIX else address)
        self.s.settimeout(300)
        self.s.sendall((text + ("" if length is None else "Content-Length: %d\r\n" % length) + "\r\n").encode() * times + body)
        status = self.s.recv(12).decode() if answer else None
        if status != answer:
            sys.exit("%s %s: %s, not %s" % (method, path, status, answer))
        held.append(self)
        tend()

    def move(self):
        if self.sends:
            self.s.sendall(b" ")
            return
        self.s.setblocking(False)
        try:
            for _ in range(16):
                if not self.s.recv(16 * KIB):
                    sys.exit("a connection that was held is closed")
        except BlockingIOError:
            pass
        self.s.settimeout(300)


def on_port(runner, method, path, **how):
    return Held(socket.AF_INET, method, "/api/runner/" + path, runner.headers, **how)


def on_admin(method, path, **how):
    return Held(socket.AF_UNIX, method, "/v1/" + path, **how)


def count(family):
    return sum(h.s.family == family for h in held)


def tend():
    global tended
    if time.monotonic() > tended + TEND_SEC:
        for h in held:
            h.move()
        tended = time.monotonic()


def memory(key):
    for text in open("/proc/%s/status" % pid):
        if text.startswith(key + ":"):
            return int(text.split()[1]) / KIB
    sys.exit("the orchestrator has no " + key)


def files():
    return len(os.listdir("/proc/%s/fd" % pid))


def until(what, function, seconds=200):
    end = time.monotonic() + seconds
    while not function():
        if time.monotonic() > end:
            sys.exit("not within %d s: %s (VmRSS is %d MiB)" % (seconds, what, memory("VmRSS")))
        tend()
        time.sleep(0.05)


def unread():
    """What was sent to the server and is in the kernel still, in bytes."""
    n = 0
    for text in open("/proc/net/tcp"):
        part = text.split()
        if part[1].endswith(":%04X" % int(port)) or part[2].endswith(":%04X" % int(port)):
            n += sum(int(queue, 16) for queue in part[4].split(":"))
    for h in held:
        if h.s.family == socket.AF_UNIX:
            n += struct.unpack("i", fcntl.ioctl(h.s, termios.TIOCOUTQ, b"\0" * 4))[0]
    return n


def let_go():
    for h in held:
        h.s.close()
    held.clear()
    until("the server has seen that they are closed", lambda: files() < open_at_first + SPARE)


def look(what, mib):
    print("%s: %d" % (what, mib), flush=True)
    print("%6.1f s, VmRSS %.1f, RssAnon %.1f" % (time.monotonic() - begin, memory("VmRSS"), memory("RssAnon")), file=sys.stderr, flush=True)


def stays(what, least, function):
    """What is there until it is let go: least is what makes sure that it has come."""
    before, grown = memory("VmRSS"), 0

    def has_come():
        nonlocal grown
        administer("GET", "status")  # the turn is over, and what it made and dropped is gone
        grown = memory("VmRSS") - before
        return grown >= least

    function()
    until("%s, %d MiB" % (what, least), has_come)
    look(what, grown)


def passes(what, function, body=0):
    """What is made and dropped in one turn, beside the body that is read for it."""
    global peak
    peak = max(peak, memory("VmHWM"))
    open("/proc/%s/clear_refs" % pid, "w").write("5")
    before = memory("VmRSS")
    result = function()
    look(what, memory("VmHWM") - before - body / MIB)
    # SQLite keeps its cache.
    until("%s is given back" % what, lambda: memory("VmRSS") - before < 10)
    return result


class Asker:
    """A connection that is kept, and small requests on it: when one is answered the server has gone round."""

    def __init__(self, family):
        self.s = socket.socket(family)
        self.s.connect(admin if family == socket.AF_UNIX else address)
        self.s.settimeout(300)

    def send(self):
        self.s.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")

    def answer(self):
        head, _, rest = self.s.recv(4096).partition(b"\r\n\r\n")
        return head.decode().split()[1]


def too_many_connections(family):
    """Opens connections until one is not served. Returns how many the server has then, of ours, and its answer when there is room."""
    asker, more = Asker(family), []

    def go_round():
        for _ in range(3):
            asker.send()
            asker.answer()

    go_round()
    for _ in range(SPARE + 1):
        a = Asker(family)
        a.send()
        go_round()
        if not select.select([a.s], [], [], 0)[0]:
            break
        a.answer()
        more.append(a)
    else:
        sys.exit("more connections are served than there may be")
    n = count(family) + 1 + len(more)
    more.pop().s.close()
    answer = a.answer()
    for c in (asker, a, *more):
        c.s.close()
    return n, answer


resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
begin = time.monotonic()

# ---- what there is to be read ----

named = ["%04d" % n + "c" * 60 for n in range(LISTED)]
runners = [Runner(x="r" * (63 * KIB)) for _ in range(RUNNERS - 1)]
runners.append(Runner(conversations=[{"conversationId": id} for id in named]))
for r in runners:
    r.take({"jsonrpc": "2.0", "method": "runner.heartbeat", "params": {"x": "h" * (63 * KIB)}})
first, page, streaming, waiting, small, answering = runners[:6]
runners[-1].take([r.event("conversation.ended", id, reason=WORST * 1024) for id in named])
first.take([r.event("permission.request", "asks", tool=WORST * 256, title=WORST * 1024) for r in [first] * QUESTIONS])
first.take(first.says("largest", RUNNER_BODY - KIB))
first.take(first.says("large", ANSWERS // 4 - MIB // 4))
administer("POST", "conversations", {"conversationId": "small", "token": "load", "params": {"agent": "none", "x": "x" * (ANSWER_FREE - KIB)}})
# Each a line of ANSWER_FREE: the most that a stream takes at once and that does not count as an answer.
first.take(first.says("lines", 1))
c = Unix("localhost", timeout=300)
c.request("GET", "/v1/conversations/lines/events")
line = c.getresponse().read()
c.close()
first.take([first.says("lines", 1 + ANSWER_FREE - len(line))[0] for _ in range(60)])
for r, size in ((first, ADMIN_BODY - KIB), (page, 3 * MIB), (streaming, ADMIN_BODY - KIB), (waiting, KIB), (small, ANSWER_FREE - KIB)):
    r.message(size)
answered = answering.message(1)
answering.take({"jsonrpc": "2.0", "id": answered, "result": "x" * (RUNNER_BODY - KIB)})
# With as many values and bytes as there may be, beside those around it.
most = {"x": "x" * (ADMIN_BODY - 24 * KIB), "list": [{}] * (VALUES - 8)}
for name in ("resumed", "taken"):
    administer("POST", "conversations", {"conversationId": name, "token": "load", "params": {"agent": "none", **most}})
first.take([first.event("conversation.ended", "resumed", reason="done")])

idle, open_at_first = memory("VmRSS"), files()
peak = 0
look("at the beginning", idle)

# ---- what is made and dropped in one turn, one after the other ----

body = json.dumps(first.says("stored", RUNNER_BODY - KIB)).replace('"params": ', '"params":\n')
passes("a body that is stored", lambda: first.take(body), len(body))
passes("an answer that is made", lambda: administer("GET", "messages/" + answered))
message = json.dumps({"method": "message.user", "params": most})
passes("an administrator's body of the most values", lambda: administer("POST", "conversations/small/messages", message), len(message))
more = json.dumps({"method": "conversation.resume", "params": {name + " too": v for name, v in most.items()}})
print("a resumption with more than its start leaves room for:",
      said(passes("a resumption", lambda: ask_admin("POST", "conversations/resumed/messages", more), len(more))))
passes("a takeover", lambda: administer("POST", "conversations/taken/takeover", {"force": True}))
listed = passes("the runners of a token", lambda: administer("GET", "runners"))["runners"]
print("runners that were listed: %d" % sum(r["registration"]["storeId"].startswith("load-") for r in listed))
n = len(passes("the list of conversations", lambda: administer("GET", "conversations?all=1"))["conversations"])
print("conversations that were listed: %d" % n)
n = len(passes("questions", lambda: administer("GET", "conversations/asks"))["questions"])
print("questions that were listed: %d" % n)
claim = {"jsonrpc": "2.0", "id": 1, "method": "runner.claim", "params": {"ids": ["%04d" % n + WORST * 252 for n in range(IDS)]}}
n = len(passes("a claim", lambda: first.take(claim, 200))["result"]["refused"])
print("ids that were refused: %d" % n)

# ---- requests that wait, each of which had a body of the most values ----

awaited = small.message(1)
tree = json.dumps([{}] * (VALUES - 1)).encode()


def wait_with_bodies():
    for _ in range(100):
        on_admin("GET", "messages/%s?wait=600" % awaited, body=tree, length=len(tree))


stays("requests that wait, with a body of the most values", 0, wait_with_bodies)
small.take({"jsonrpc": "2.0", "id": awaited, "result": "done"})
print("requests that waited and were answered: %d" % sum(h.s.recv(12) == b"HTTP/1.1 200" for h in held))
let_go()

# ---- streams on all connections of the admin socket ----


def streams():
    while count(socket.AF_UNIX) < CONNECTIONS - SPARE:
        on_admin("GET", "conversations/lines/events")


stays("streams on all connections of the admin socket", 40, streams)
let_go()
until("streams are given back", lambda: memory("VmRSS") - idle < 16)

# ---- and now all at one time: bodies that are never whole ----


def bodies():
    for size in [ADMIN_BODY - KIB] * 8 + [BODIES - 8 * ADMIN_BODY - ROOM]:
        on_admin("POST", "conversations", body=b" " * size, length=size + KIB)
    for size in [RUNNER_BODY - KIB] * 5 + [BODIES - 5 * RUNNER_BODY - ROOM]:
        on_port(first, "POST", "messages", body=b" " * size, length=size + KIB)


stays("bodies that are read", 253, bodies)
# What comes now must not take the room of what was sent before.
until("all of that is read", lambda: unread() == 0)
print("a body too many on the port:", said(first.post(b" " * MIB)))
print("a body too many on the admin socket:", said(ask_admin("POST", "conversations", b" " * MIB)))

# ---- answers that nobody takes ----


def answers():
    for r in [first] * 4 + [page]:
        on_port(r, "GET", "messages", answer="HTTP/1.1 200")
    for name in ["large"] * 4 + ["largest"]:
        on_admin("GET", "conversations/%s/events" % name, answer="HTTP/1.1 200")


stays("answers that were not read yet", 148, answers)
print("a page too many:", said(ask_port("GET", "messages", first.headers)))
print("an answer too many:", said(ask_admin("GET", "messages/" + answered)))

# ---- a conversation of a real runner meanwhile, and then also the stream that begins below the bound ----


def instruct(text):
    return administer("POST", "conversations/%s/messages" % conversation,
                      {"method": "message.user", "params": {"content": text}})["messageId"]


def is_answered(id):
    return administer("GET", "messages/" + id)["state"] == "answered"


def state():
    return administer("GET", "conversations/" + conversation)["state"]


if conversation:
    begun = instruct("echo first; while ! [ -e /srv/go ]; do sleep 0.1; done; echo second")
    until("an instruction meanwhile arrives", lambda: is_answered(begun))
    until("it is obeyed", lambda: state() == "running")
    print("an instruction meanwhile: done")
stays("a stream that began below the bound", 14, lambda: on_port(streaming, "GET", "events", answer="HTTP/1.1 200"))
late = on_port(waiting, "GET", "events", answer="HTTP/1.1 200")

# ---- connections with full buffers ----



def connections():
    # The first answers are in the kernel, the next in the program, and the rest is there for when they are moved on.
    while count(socket.AF_UNIX) < CONNECTIONS - SPARE:
        on_admin("GET", "conversations/small", times=100)
    while count(socket.AF_INET) < CONNECTIONS - SPARE:
        on_port(small, "GET", "messages", times=100)


stays("small answers and buffers of connections", 72, connections)
look("all that stays", memory("VmRSS") - idle)
print("an answer too many beside all that:", said(passes("an answer that is made then", lambda: ask_admin("GET", "messages/" + answered))))
for name, family in (("the port", socket.AF_INET), ("the admin socket", socket.AF_UNIX)):
    n, status = too_many_connections(family)
    print("connections on %s: %d, and one more waits until there is room, %s" % (name, n, status))
if conversation:
    open("/srv/go", "w").close()
    until("what the agent says arrives meanwhile", lambda: state() == "idle")
    print("an agent's words meanwhile: stored")
    behind = instruct("echo third")
    print("an instruction that its stream waits with:", administer("GET", "messages/" + behind)["state"])
peak = max(peak, memory("VmHWM"))
look("peak", peak)

# ---- all is let go ----

late.s.setblocking(False)
held.remove(late)
text = b""


def is_told():
    global text
    try:
        text += late.s.recv(MIB)
    except BlockingIOError:
        pass
    return b"message.user" in text


print("a stream that waits: %s" % ("nothing" if not is_told() else "all"))
let_go()
until("what the stream waited with", is_told)
print("a stream that waited: all")
late.s.close()
if conversation:
    until("the instruction arrives", lambda: is_answered(behind))
    print("an instruction that waited: done")
until("all is given back", lambda: memory("VmRSS") - idle < 16)
look("afterwards", memory("VmRSS") - idle)
