#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Calls everything that a program shows on a bus, with everything that does not belong there.

Every method of every object with every wrong type, the wrong number of arguments, the right types with hostile values, huge
ones; every property got, and set with every type; paths, interfaces and members that do not exist; bytes that are no message.
Each call must be answered. All of it follows from the seed, which is printed.

usage: fuzz-bus.py --socket PATH --name BUS-NAME [--seed N] [--rounds N] [--xml FILE]... [--path OBJECT]... [--may METHOD]...
                   [--refused] [--no-huge]

--xml, --path   interfaces and objects besides those that introspection shows (to a caller that may not introspect)
--refused       no call may succeed, besides those of --may and the reading of properties
"""

import argparse
import collections
import os
import random
import sys
import xml.etree.ElementTree as ET

from rawbus import ERROR, RETURN, Connection, Gone, body_of, split

PROPERTIES, INTROSPECTABLE = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.Introspectable"
READS = {(PROPERTIES, "Get"), (PROPERTIES, "GetAll"), (INTROSPECTABLE, "Introspect"),
         ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), ("org.freedesktop.DBus.Peer", "Ping"),
         ("org.freedesktop.DBus.Peer", "GetMachineId")}
BATCH = 8
WRONG = ["", "y", "b", "n", "q", "i", "u", "x", "t", "d", "s", "o", "g", "h", "v", "as", "ao", "ay", "av", "a{sv}", "a{ss}", "a{st}",
         "a{sa{sv}}", "(s)", "(sv)", "a(sv)", "aay", "aaaaas", "ss", "su", "sss", "ssa{sv}", "s" * 30, "a{sv}a{sv}"]
WORDS = ["", "a", "shell", "claude", "first", "c-1", ".", "..", "../../etc/passwd", "/", "/etc/passwd", "\n", "%s%n", "' OR 1=1 --", "end",
         "allow", "deny", "{}", "[]", "null", "[" * 500, '{"a":' * 200, '{"agent":1}', "\u202e", "\ufeff", "\U0001f600" * 50, "x" * 65, "-1",
         "18446744073709551616", "northflare-runner.service", "northflare-conversation-c-1-1.scope", "dbus.service"]
KEYS = ["conversationId", "taskId", "workspaceId", "agent", "prompt", "model", "permissionMode", "allowedTools", "mcpServers", "env",
        "directory", "repository", "limits", "timeouts", "budget", "resumeSessionId", "forkSession", "json", "reason", "graceMs", "message",
        "updatedInput", "updatedPermissions", "memoryMax", "tasksMax", "cpuWeight", "", "x" * 300]


class Fuzz:
    def __init__(self, a):
        self.a, self.r = a, random.Random(a.seed)
        self.c, self.made = Connection(a.socket), 0
        self.outcomes, self.faults = collections.Counter(), []
        self.null = os.open("/dev/null", os.O_RDONLY)

    # ---- values ----

    def text(self):
        r = self.r
        k = r.randrange(10)
        if k < 6:
            return r.choice(WORDS)
        if k < 8:
            return r.choice(KEYS)
        return "".join(chr(r.choice([r.randrange(1, 0x80), r.randrange(0xa0, 0xd7ff)])) for _ in range(r.randrange(60)))

    def value(self, t, depth=0):
        r, c = self.r, t[0]
        if c in "nqixtuy":
            bits = {"y": 8, "n": 16, "q": 16, "i": 32, "u": 32, "x": 64, "t": 64}[c]
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if c in "nix" else (0, (1 << bits) - 1)
            return r.choice([low, high, 0, 1, r.randint(low, high)])
        if c == "b":
            return r.randrange(2)
        if c == "d":
            return r.choice([0.0, -0.0, 1e308, float("inf"), float("nan"), -1.5])
        if c == "h":
            return 0
        if c == "s":
            return self.text()
        if c == "o":
            return r.choice(["/", "/org/northflare/Runner1", "/a/b/c", "/" + "x" * 200])
        if c == "g":
            return r.choice(["", "s", "a{sv}", "(ii)", "a" * 30 + "s"])
        if c == "v":
            inner = r.choice(WRONG[1:]) if depth < 6 else "s"
            inner = split(inner)[0]
            return (inner, self.value(inner, depth + 1))
        if c == "a":
            n = r.choice([0, 1, 2, 5]) if depth else r.choice([0, 1, 3, 40])
            if t[1] == "{":
                k, v = split(t[2:-1])
                return [(r.choice(KEYS) if k == "s" else self.value(k, depth + 1), self.value(v, depth + 1)) for _ in range(n)]
            return [self.value(t[1:], depth + 1) for _ in range(n)]
        return [self.value(e, depth + 1) for e in split(t[1:-1])]

    def huge(self, t):
        if t == "s":
            return "x" * (4 << 20)
        if t == "a{sv}":
            return self.r.choice([[("k%d" % i, ("s", "v")) for i in range(20000)], [("agent", ("s", "x" * (2 << 20)))],
                                  [("mcpServers", self.nested(50))]])
        if t == "a{st}":
            return [("limit%d" % i, i) for i in range(20000)]
        if t in ("as", "a{ss}"):
            return [("x" if t == "as" else ("x%d" % i, "y")) for i in range(50000)]
        return self.value(t)

    def nested(self, depth):
        v = ("s", "deep")
        for _ in range(depth):
            v = ("v", v)
        return v

    # ---- calls ----

    def note(self, what, m):
        self.outcomes[m.error or "returned"] += 1
        interface, member = what
        if self.a.refused and m.kind == RETURN and what not in READS and member not in self.a.may:
            self.faults.append("%s.%s was carried out" % (interface, member))

    def batch(self, calls):
        """calls: (path, interface, member, signature, values)."""
        for i in range(0, len(calls), BATCH):
            part, serials = calls[i:i + BATCH], {}
            try:
                for path, interface, member, signature, values in part:
                    fds = [self.null] if "h" in signature else []
                    n = self.c.send(self.a.name, path, interface, member, signature, body_of(signature, values), fds)
                    serials[n] = (interface, member)
                for n, m in self.c.answers(serials).items():
                    self.note(serials[n], m)
            except Gone:
                # The bus throws out who sends too much or wrong: that is an answer too.
                self.outcomes["disconnected"] += 1
                self.c.close()
                self.c = Connection(self.a.socket)
            except TimeoutError:
                self.faults.append("no answer to one of %s" % ", ".join("%s %s.%s(%s)" % c[:4] for c in part))
                self.c.close()
                self.c = Connection(self.a.socket)
            self.made += len(part)

    # ---- what there is ----

    def discover(self):
        objects, found = {}, {}

        def look(text):
            for i in text.iter("interface"):
                found.setdefault(i.get("name"), i)

        def walk(path):
            m = self.c.call(self.a.name, path, INTROSPECTABLE, "Introspect")
            if m.kind == ERROR:
                return
            root = ET.fromstring(m.values()[0])
            look(root)
            objects[path] = [i.get("name") for i in root.findall("interface")]
            for n in root.findall("node"):
                if len(objects) < 60:
                    walk(path.rstrip("/") + "/" + n.get("name"))
        walk("/")
        for f in self.a.xml:
            look(ET.parse(f).getroot())
        for p in self.a.path:
            objects.setdefault(p, list(found))
        return objects, found

    def methods(self, path, names, found):
        for name in names:
            for m in found[name].findall("method"):
                yield name, m.get("name"), "".join(a.get("type") for a in m.findall("arg") if a.get("direction", "in") == "in")

    def fuzz_method(self, path, interface, member, right):
        r, calls = self.r, []
        for signature in WRONG:
            if signature != right:
                calls.append((path, interface, member, signature, [self.value(t) for t in split(signature)]))
        for _ in range(self.a.rounds):
            calls.append((path, interface, member, right, [self.value(t) for t in split(right)]))
        if len(split(right)) > 1:
            calls.append((path, interface, member, split(right)[0], [self.value(split(right)[0])]))
        calls.append((path, interface, member, right + "s", [self.value(t) for t in split(right)] + ["more"]))
        calls.append((path, None, member, right, [self.value(t) for t in split(right)]))
        r.shuffle(calls)
        self.batch(calls)
        if right and not self.a.no_huge:
            self.batch([(path, interface, member, right, [self.huge(t) for t in split(right)])])

    def fuzz_properties(self, path, names, found):
        calls = []
        for name in names + ["no.such.Interface", "", "x" * 255]:
            listed = [p.get("name") for p in found[name].findall("property")] if name in found else []
            calls.append((path, PROPERTIES, "GetAll", "s", [name]))
            for p in listed + ["NoSuch", "", "\n"]:
                calls.append((path, PROPERTIES, "Get", "ss", [name, p]))
            # LogLevel is the one that root may set: to what is no level.
            for p in listed + ["NoSuch"]:
                for t in self.r.sample(WRONG[1:], 4):
                    t = split(t)[0]
                    v = self.value(t)
                    if p == "LogLevel" and v in ("debug", "info"):
                        continue
                    calls.append((path, PROPERTIES, "Set", "ssv", [name, p, (t, v)]))
        self.batch(calls)

    def fuzz_nowhere(self, objects, found):
        r, calls = self.r, []
        odd = ["/", "/org", "/org/northflare/Runner1/conversation/" + "_" * 100, "/org/northflare/Runner1/conversation/_zz", "/" + "a" * 250,
               "/" + "/".join("d%d" % i for i in range(40)), "/org/northflare/Runner1/conversation/_2e_2e_2f_2e_2e",
               "/org/northflare/Runner1/conversation/first/first", "/org/freedesktop/LogControl1/x"]
        members = [m for i in found.values() for m in i.findall("method")]
        for path in odd:
            for m in r.sample(members, min(12, len(members))):
                name = next(n for n, i in found.items() if m in list(i))
                signature = "".join(a.get("type") for a in m.findall("arg") if a.get("direction", "in") == "in")
                calls.append((path, name, m.get("name"), signature, [self.value(t) for t in split(signature)]))
            calls.append((path, INTROSPECTABLE, "Introspect", "", []))
        for path in objects:
            calls.append((path, "no.such.Interface", "NoSuch", "", []))
            calls.append((path, r.choice(list(found)), "NoSuchMethod", "s", ["x"]))
        self.batch(calls)

    def fuzz_bytes(self):
        """Messages that are none: the bus does not let them through, whatever it does with who sent them."""
        m = ("/org/northflare/Runner1", "org.northflare.Runner1.Manager")
        bodies = [("s", body_of("s", [b"\xff\xfe\xc3\x28"])), ("s", b"\xff\xff\xff\x7fabc\0"), ("s", b"\4\0\0\0a\0bc\0"), ("o", body_of("o", [b"no/path"])),
                  ("a{sv}", b"\xff\xff\xff\xff"), ("v", b"\3(((\0"), ("as", body_of("as", [[b"\xc0\x80"]])), ("b", b"\2\0\0\0"),
                  ("g", b"\1!\0"), ("s", b"")]
        for signature, body in bodies:
            c = Connection(self.a.socket)
            try:
                n = c.send(self.a.name, *m, "GetConversation", signature, body)
                self.note((m[1], "GetConversation"), c.answers([n])[n])
            except Gone:
                self.outcomes["disconnected"] += 1
            c.close()
            self.made += 1
        for _ in range(20):
            c = Connection(self.a.socket)
            try:
                c.s.sendall(bytes(self.r.randrange(256) for _ in range(self.r.randrange(1, 400))))
            except ConnectionError:
                pass
            c.close()
            self.made += 1

    def run(self):
        objects, found = self.discover()
        n = 0
        for path, names in sorted(objects.items()):
            for interface, member, right in self.methods(path, names, found):
                self.fuzz_method(path, interface, member, right)
                n += 1
            self.fuzz_properties(path, names, found)
        self.fuzz_nowhere(objects, found)
        self.fuzz_bytes()
        print("%d calls, %d objects, %d methods" % (self.made, len(objects), n))
        for what, count in self.outcomes.most_common():
            print("%7d  %s" % (count, what))
        if not n:
            self.faults.append("nothing was called")
        for f in collections.Counter(self.faults).most_common(20):
            print("FAULT: %s (%d times)" % f)
        return 1 if self.faults else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--socket", default="/run/dbus/system_bus_socket")
    p.add_argument("--name", required=True)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--xml", action="append", default=[])
    p.add_argument("--path", action="append", default=[])
    p.add_argument("--may", action="append", default=[])
    p.add_argument("--refused", action="store_true")
    p.add_argument("--no-huge", action="store_true")
    a = p.parse_args()
    print("seed %d, as uid %d, at %s" % (a.seed, os.geteuid(), a.name), flush=True)
    return Fuzz(a).run()


if __name__ == "__main__":
    sys.exit(main())
