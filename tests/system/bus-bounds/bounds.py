# SPDX-License-Identifier: MIT
"""Calls every method of the runner and reads every property, with arguments that make the longest replies there are, and
holds each reply against the bound that docs/dbus.md gives it. The list of members is the XML's: one that this file or the
document does not know is a fault.

usage: bounds.py XML DOCUMENT CONVERSATION…"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

sys.path.insert(0, "/src/tests/bus")
from rawbus import ERROR, Connection, Gone  # noqa: E402

NAME, MANAGER = "org.northflare.Runner1", "/org/northflare/Runner1"
I_MANAGER, I_CONVERSATION = NAME + ".Manager", NAME + ".Conversation"
PROPERTIES, BUS = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus"
LONG = "x" * 100000

# method: the arguments to call it with. What they change is nothing that the test is about.
CALLS = {
    "Manager": {
        "ListConversations": [("", [])],
        "GetConversation": [("s", ["{id}"]), ("s", [LONG])],
        "StartConversation": [("a{sv}", [[("agent", ("s", LONG))]]), ("a{sv}", [[(LONG, ("s", "x"))]]),
                              ("a{sv}", [[("json", ("s", LONG))]])],
        "Reload": [("", [])],
        "Flush": [("", [])],
        "ListSetAside": [("", [])],
        "ResendSetAside": [("", [])],
        "ListAudit": [("su", ["", 20000]), ("su", [LONG, 1]), ("su", ["", 0])],
        "ListWorkspaces": [("", [])],
        "DescribeWorkspace": [("s", [LONG]), ("s", ["{workspace}"])],
        "RemoveWorkspace": [("sa{sv}", [LONG, []]), ("sa{sv}", ["x", [(LONG, ("b", 1))]])],
        "ListResources": [("", [])],
        "ListTotals": [("", [])],
        "Drain": [("", [])],
        "DrainWithin": [("u", [86400])],
        "Undrain": [("", [])],
    },
    "Conversation": {
        "Describe": [("", [])],
        "OpenEvents": [("s", [""]), ("s", [LONG])],
        "ReadEvents": [("su", ["", 1024]), ("su", [LONG, 1]), ("su", ["", 0])],
        "ReadEvent": [("st", ["", 0]), ("st", [LONG, 0]), ("st", ["", 1 << 63])],
        "Freeze": [("", [])],
        "Thaw": [("", [])],
        "SetLimits": [("a{st}", [[(LONG, 1)]]), ("a{st}", [[("tasksMax", 1000)]])],
        "AnswerPermission": [("ssa{sv}", [LONG, "deny", []]), ("ssa{sv}", ["x", LONG, []])],
        "SendMessage": [("s", ["y" * (1 << 20)])],
        "Interrupt": [("", [])],
        "Stop": [("a{sv}", [[("reason", ("s", LONG))]]), ("a{sv}", [[("graceMs", ("u", 100))]])],
    },
}


def number(text):
    n, unit = re.fullmatch(r"(\d+)(?: (bytes|KiB|MiB))?", text.strip()).groups()
    return int(n) * {"KiB": 1 << 10, "MiB": 1 << 20}.get(unit, 1)


def bounds_of(document):
    """The table of bounds: member to bytes."""
    bounds = {}
    for line in open(document):
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"\d+ (bytes|KiB|MiB)", cells[1]):
            for member in re.findall(r"`([\w.]+)`", cells[0]):
                bounds[member] = number(cells[1])
    return bounds


class Checker:
    def __init__(self, xml, document):
        self.root, self.bounds = ET.parse(xml).getroot(), bounds_of(document)
        self.faults, self.calls = [], 0
        self.c = Connection("/run/dbus/system_bus_socket", timeout=60)
        self.owner, self.pid = self.who(), self.main_pid()

    def who(self):
        return self.c.call(BUS, "/org/freedesktop/DBus", BUS, "GetNameOwner", "s", [NAME]).values()[0]

    @staticmethod
    def main_pid():
        return subprocess.run(["systemctl", "show", "-P", "MainPID", "northflare-runner"], capture_output=True, text=True,
                              check=True).stdout.strip()

    def fault(self, text):
        self.faults.append(text)
        print("FAULT", text)

    def call(self, member, path, interface, method, signature, values):
        m = self.c.call(NAME, path, interface, method, signature, values)
        self.calls += 1
        bound = self.bounds.get("error") if m.kind == ERROR else self.bounds.get(member)
        if bound is None:
            self.fault("%s has no bound in the document" % member)
        # The length of an error's text and what is around it.
        elif len(m.body) > bound + (8 if m.kind == ERROR else 0):
            self.fault("%s: %d bytes, more than %d" % (member, len(m.body), bound))
        if self.who() != self.owner:
            self.fault("%s: the runner has another name on the bus" % member)
        return m

    def members(self, interface, kind):
        return {e.get("name"): e for i in self.root.iter("interface") if i.get("name") == interface for e in i.findall(kind)}

    def methods(self, short, path, first, last, **words):
        table = CALLS[short]
        known = set(self.members(NAME + "." + short, "method"))
        for missing in sorted(known - set(table)):
            self.fault("%s.%s is not in the table of this test" % (short, missing))
        for method in list(table)[first:last]:
            for signature, values in table[method]:
                values = [v.format(**words) if isinstance(v, str) and v.startswith("{") else v for v in values]
                self.call(short + "." + method, path, NAME + "." + short, method, signature, values)

    def properties(self, short, path):
        interface = NAME + "." + short
        for name, e in self.members(interface, "property").items():
            m = self.call("Properties.Get", path, PROPERTIES, "Get", "ss", [interface, name])
            value = m.values()[0]
            bound = self.bounds.get(short + "." + name)
            if e.get("type") != "s":
                continue
            if bound is None:
                self.fault("property %s.%s has no bound in the document" % (short, name))
            elif len(value.encode()) > bound:
                self.fault("property %s.%s: %d bytes, more than %d" % (short, name, len(value.encode()), bound))
        self.call("Properties.GetAll", path, PROPERTIES, "GetAll", "s", [interface])
        self.call("Introspectable.Introspect", path, "org.freedesktop.DBus.Introspectable", "Introspect", "", [])
        # What is not there is not quoted, whatever its length; the bus carries no longer one than the last.
        for name in (LONG, "x" * ((32 << 20) - 200)):
            self.call("Properties.GetAll", path, PROPERTIES, "GetAll", "s", [name])
        self.call("Properties.Get", path, PROPERTIES, "Get", "ss", [interface, LONG])
        self.call("Properties.Get", "/" + LONG[:60000], PROPERTIES, "Get", "ss", [interface, "Id"])

    def read_all(self, path):
        """From the beginning to the end, by cursors."""
        cursor, n, cut = "", 0, []
        while True:
            events, cursor = self.call("Conversation.ReadEvents", path, I_CONVERSATION, "ReadEvents", "su", [cursor, 1024]).values()
            n += len(events)
            cut += re.findall(r'"cut":{[^{}]*?"cursor":"([^"]+)"', "".join(e[:1000] for e in events))
            if not events:
                break
        for at in cut:
            size = offset = 0
            while offset < size or size == 0:
                piece, size = self.call("Conversation.ReadEvent", path, I_CONVERSATION, "ReadEvent", "st", [at, offset]).values()
                if not piece:
                    self.fault("an event ends at %d of %d bytes" % (offset, size))
                    break
                offset += len(piece.encode())
        print("%d events, %d of them cut" % (n, len(cut)))
        return n, len(cut)

    def path_of(self, conversation):
        m = self.call("Manager.GetConversation", MANAGER, I_MANAGER, "GetConversation", "s", [conversation])
        return m.values()[0]

    def run(self, conversations):
        paths = {c: self.path_of(c) for c in conversations}
        self.properties("Manager", MANAGER)
        self.call("ObjectManager.GetManagedObjects", MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", [])
        self.call("Introspectable.Introspect", MANAGER + "/conversation", "org.freedesktop.DBus.Introspectable", "Introspect", "", [])
        all_cut = 0
        for c, path in paths.items():
            self.properties("Conversation", path)
            # What looks, then what changes something, the end of the conversation last.
            self.methods("Conversation", path, 0, 4)
            n, cut = self.read_all(path)
            all_cut += cut
            if n == 0:
                self.fault("%s has no events" % c)
        if all_cut == 0:
            self.fault("no event was cut: the test tests nothing")
        first = next(iter(paths))
        self.methods("Manager", MANAGER, 0, None, id=first, workspace=first)
        for path in paths.values():
            self.methods("Conversation", path, 4, None)
        if self.main_pid() != self.pid:
            self.fault("the runner is another process")
        print("%d calls, %d faults" % (self.calls, len(self.faults)))


checker = Checker(*sys.argv[1:3])
try:
    checker.run(sys.argv[3:])
except (Gone, OSError, IndexError) as e:
    checker.fault("no answer any more: %r" % e)
sys.exit(1 if checker.faults else 0)
