# SPDX-License-Identifier: MIT
"""The runner's D-Bus objects: what they say about themselves, every method, signals, and who may call."""

import json
import os
import re
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree as ET

from buslib import *
from rawbus import Connection, body_of

FAKE, DBUS_DIR = sys.argv[1], sys.argv[2]
FIRST = path_of("first")


def shape(interface):
    """An interface without its comments and the order of its members."""
    members = []
    for e in interface:
        if e.tag not in ("method", "signal", "property"):
            continue
        arguments = tuple(
            (a.get("name"), a.get("type"), a.get("direction") or ("out" if e.tag == "signal" else "in"))
            for a in e.findall("arg"))
        # The bus library marks each method that checks for itself; that is no matter of the interface.
        annotations = tuple(sorted(
            (a.get("name"), a.get("value")) for a in e.findall("annotation")
            if "Property" in a.get("name") or "Deprecated" in a.get("name")))
        members.append((e.tag, e.get("name"), e.get("type"), e.get("access"), arguments, annotations))
    return sorted(members, key=str)


class OneBus(unittest.TestCase):
    maxDiff = None
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(FAKE, **cls.options)

    @classmethod
    def tearDownClass(cls):
        try:
            if not cls.bus.alive():
                raise AssertionError("the fake runner died")
        finally:
            cls.bus.close()

    def refused(self, pattern, call, *args, **kwargs):
        with self.assertRaisesRegex(CallError, pattern):
            call(*args, **kwargs)


class Introspection(OneBus):
    def xml(self, path):
        text = self.bus.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0]
        return {i.get("name"): i for i in ET.fromstring(text).findall("interface")}, text

    def test_interfaces_equal_the_file(self):
        documented = {i.get("name"): i for i in ET.parse(os.path.join(DBUS_DIR, NAME + ".xml")).getroot().iter("interface")}
        self.assertEqual(sorted(documented), [I_CONVERSATION, I_MANAGER])
        for name, path in ((I_MANAGER, MANAGER), (I_CONVERSATION, FIRST)):
            running, _ = self.xml(path)
            self.assertEqual(shape(running[name]), shape(documented[name]))

    def test_every_member_is_documented(self):
        with open(os.path.join(DBUS_DIR, NAME + ".xml")) as f:
            text = f.read()
        for m in re.finditer(r"\n\s*<method name=\"(\w+)\"", text):
            before = text[:m.start()].rstrip()
            self.assertTrue(before.endswith("-->") or before.endswith('"Freeze"/>') or "Undrain" == m.group(1), m.group(1))

    def test_tree(self):
        self.bus.test("Add", "s", "tree.1")
        _, text = self.xml(CONVERSATION[:-1])
        self.assertIn('<node name="tree_2e1"/>', text)
        self.assertIn("org.freedesktop.DBus.ObjectManager", self.xml(MANAGER)[0])
        self.bus.test("Remove", "s", "tree.1")
        self.assertNotIn("tree_2e1", self.xml(CONVERSATION[:-1])[1])

    def test_object_manager(self):
        objects = self.bus.call(MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        self.assertIn(FIRST, objects)
        p = objects[FIRST][I_CONVERSATION]
        self.assertEqual(p["Id"]["data"], "first")
        self.assertEqual(p["Scope"]["data"], "northflare-conversation-first-1.scope")
        self.assertEqual(set(p), {
            "Id", "TaskId", "Agent", "State", "Scope", "StartedAt", "LastEventAt", "Turns", "InputTokens",
            "OutputTokens", "CostUsd"})

    def test_log_control(self):
        path, interface = "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1"
        self.assertEqual(self.bus.get(path, interface, "SyslogIdentifier"), "northflare-runner")
        self.assertEqual(self.bus.get(path, interface, "LogTarget"), "console")
        self.bus.busctl("set-property", NAME, path, interface, "LogLevel", "s", "debug")
        self.assertEqual(self.bus.get(path, interface, "LogLevel"), "debug")
        self.refused("Unknown log level", self.bus.busctl, "set-property", NAME, path, interface, "LogLevel", "s", "loud")
        self.bus.busctl("set-property", NAME, path, interface, "LogLevel", "s", "info")
        self.refused("", self.bus.busctl, "set-property", NAME, path, interface, "LogTarget", "s", "kmsg")


class Properties(OneBus):
    def test_manager(self):
        expected = {
            "Version": "0.0-test", "RunnerId": "r-1", "RunnerUid": "ru-1", "State": "local", "OrchestratorUrl": "",
            "Connected": False, "Active": True, "Draining": False, "Refusing": "", "Conversations": 1, "Capacity": 16,
            "QueuedEvents": 3, "QueuedBytes": 300, "OldestQueuedUSec": 0, "LastAckUSec": 0, "Reconnects": 0,
            "Duplicates": 0, "SetAside": 0, "StartedUSec": 1700000000000000}
        got = self.bus.call(MANAGER, PROPERTIES, "GetAll", "s", I_MANAGER)[0]
        self.assertEqual({k: v["data"] for k, v in got.items()}, expected)

    def test_conversation(self):
        got = self.bus.call(FIRST, PROPERTIES, "GetAll", "s", I_CONVERSATION)[0]
        self.assertEqual(got["StartedAt"]["data"], 1700000000000000)
        self.assertEqual(got["Agent"]["data"], "shell")

    def test_nothing_can_be_written(self):
        self.refused("read-only|not writable|denied", self.bus.busctl, "set-property", NAME, MANAGER, I_MANAGER, "State", "s", "x")

    def test_no_such_object(self):
        self.refused("Unknown object", self.bus.get, path_of("none"), I_CONVERSATION, "State")


class Methods(OneBus):
    def test_wrong_types_are_refused(self):
        wrong = {
            MANAGER: [("GetConversation", "u", "1"), ("StartConversation", "s", "x"), ("Drain", "s", "x"),
                      ("DrainWithin", "t", "1"), ("Undrain", "b", "1"), ("Reload", "s", ""), ("Flush", "s", ""), ("ListSetAside", "s", ""), ("ListAudit", "ss", "", ""), ("ResendSetAside", "s", ""), ("ListConversations", "s", ""), ("ListResources", "s", ""), ("ListTotals", "u", "1")],
            FIRST: [("Describe", "s", ""), ("SendMessage", "u", "1"), ("Interrupt", "s", ""), ("Stop", "s", "x"),
                    ("Freeze", "s", ""), ("Thaw", "s", ""), ("AnswerPermission", "ss", "a", "b"),
                    ("SetLimits", "a{ss}", "0"), ("OpenEvents", "u", "0"), ("ReadEvents", "ss", "", ""), ("ReadEvent", "su", "", "0")]}
        for path, calls in wrong.items():
            for method, *args in calls:
                with self.subTest(method=method):
                    interface = I_MANAGER if path == MANAGER else I_CONVERSATION
                    self.refused("Invalid arguments", self.bus.call, path, interface, method, *args)
                    self.assertIsNone(self.bus.last_call())
        self.refused("Unknown method", self.bus.call, FIRST, I_CONVERSATION, "Explode")

    def test_list(self):
        rows = self.bus.call(MANAGER, I_MANAGER, "ListConversations")[0]
        self.assertIn(["first", "starting", "shell", "", 1700000000000000], [r[:5] for r in rows])
        self.assertIn(FIRST, [r[6] for r in rows])

    def test_get(self):
        self.assertEqual(self.bus.call(MANAGER, I_MANAGER, "GetConversation", "s", "first")[0], FIRST)
        self.refused('no conversation "gone"', self.bus.call, MANAGER, I_MANAGER, "GetConversation", "s", "gone")

    def start(self, *args):
        return self.bus.call(MANAGER, I_MANAGER, "StartConversation", "a{sv}", *args)[0]

    def test_start(self):
        given = self.start("2", "agent", "s", "shell", "conversationId", "s", "c-1")
        self.assertEqual(given, "c-1")
        self.assertEqual(self.bus.last_call(), (
            "conversation.start", "uid %d" % os.geteuid(), {"agent": "shell", "conversationId": "c-1"}))
        made = self.start("1", "agent", "s", "shell")
        self.assertRegex(made, r"^c-[0-9a-f]{12}$")
        self.assertNotEqual(made, self.start("1", "agent", "s", "shell"))

    def test_start_takes_all_kinds(self):
        self.start(
            "8", "agent", "s", "claude", "prompt", "s", "hi", "forkSession", "b", "true",
            "allowedTools", "as", "2", "Read", "Bash", "env", "a{ss}", "1", "A", "b",
            "limits", "a{st}", "1", "memoryMax", "18446744073709551615",
            "repository", "a{sv}", "1", "url", "s", "https://example.org/x", "conversationId", "s", "kinds")
        self.assertEqual(self.bus.last_call()[2], {
            "agent": "claude", "prompt": "hi", "forkSession": True, "allowedTools": ["Read", "Bash"], "env": {"A": "b"},
            "limits": {"memoryMax": 18446744073709551615}, "repository": {"url": "https://example.org/x"},
            "conversationId": "kinds"})

    def test_start_with_json(self):
        text = json.dumps({"agent": "claude", "conversationId": "json", "mcpServers": {"a": {"args": [1, None]}}})
        self.start("2", "json", "s", text, "agent", "s", "shell")
        self.assertEqual(self.bus.last_call()[2], {
            "agent": "shell", "conversationId": "json", "mcpServers": {"a": {"args": [1, None]}}})

    def test_start_refuses(self):
        self.bus.last_call()
        for pattern, *args in (
                ("colour: unknown parameter", "1", "colour", "s", "red"),
                ("agent: must be a string", "1", "agent", "u", "1"),
                ("forkSession: must be a boolean", "1", "forkSession", "s", "yes"),
                ("agent: given twice", "2", "agent", "s", "a", "agent", "s", "b"),
                ("env: values of this type", "1", "env", "(s)", "x"),
                ("env: values of this type", "1", "env", "a{us}", "1", "1", "x"),
                ("json: not valid JSON", "1", "json", "s", "{"),
                ("json: must be an object", "1", "json", "s", "[]"),
                ("json: must be a string", "1", "json", "u", "1"),
                ("takeover: unknown parameter", "1", "json", "s", '{"takeover":true}')):
            with self.subTest(pattern=pattern):
                self.refused(pattern, self.start, *args)
                self.assertIsNone(self.bus.last_call())
        deep = ["v"] * 40
        self.refused("values of this type|too deep|Invalid|Failed", self.start, "1", "env", *deep, "s", "x")

    def test_errors_of_the_core(self):
        for code, text in ((-32602, "agent: unknown"), (-32003, "full"), (-1, "odd"), (-32008, "draining"), (-32012, "busy")):
            self.bus.set("error", json.dumps({"code": code, "message": text, "data": {"detail": "more"}}))
            self.refused(text + ": more", self.start, "1", "agent", "s", "x")
        # No string on the bus can say this one as it is.
        self.bus.set("error", json.dumps({"code": -32602, "message": "no \ufffe, no \U0001ffff."}))
        self.refused("no \ufffd, no \ufffd\\.", self.start, "1", "agent", "s", "x")

    def test_manager_verbs(self):
        for method, wire in (("Drain", "runner.drain"), ("Undrain", "runner.undrain")):
            self.bus.call(MANAGER, I_MANAGER, method)
            self.assertEqual(self.bus.last_call()[::2], (wire, {}))
        self.bus.call(MANAGER, I_MANAGER, "DrainWithin", "u", "90")
        self.assertEqual(self.bus.last_call()[::2], ("runner.drain", {"deadlineSecs": 90}))
        self.assertEqual(self.bus.call(MANAGER, I_MANAGER, "Reload")[0], ["dataDir"])
        self.bus.set("error", "runner.json:3: nonsense")
        self.refused("runner.json:3: nonsense", self.bus.call, MANAGER, I_MANAGER, "Reload")
        self.bus.call(MANAGER, I_MANAGER, "Flush")
        self.assertEqual(self.bus.test("LastCall")[0], "flush")

    def conversation(self, name, *args, **kwargs):
        return self.bus.call(path_of("verbs"), I_CONVERSATION, name, *args, **kwargs)

    def test_conversation_verbs(self):
        self.bus.test("Add", "s", "verbs")
        me = {"conversationId": "verbs"}
        for method, args, wire, params in (
                ("SendMessage", ("s", "hi"), "message.user", {"content": "hi"}),
                ("Interrupt", (), "conversation.interrupt", {}),
                ("Freeze", (), "conversation.freeze", {}),
                ("Thaw", (), "conversation.thaw", {}),
                ("SetLimits", ("a{st}", "1", "tasksMax", "9"), "conversation.config", {"limits": {"tasksMax": 9}}),
                ("AnswerPermission", ("ssa{sv}", "r:1.0", "deny", "1", "message", "s", "no"), "permission.respond",
                 {"requestId": "r:1.0", "behavior": "deny", "message": "no"}),
                ("AnswerPermission", ("ssa{sv}", "r:1.0", "allow", "1", "json", "s", '{"updatedInput":{"a":1}}'),
                 "permission.respond", {"requestId": "r:1.0", "behavior": "allow", "updatedInput": {"a": 1}}),
                ("Stop", ("a{sv}", "2", "reason", "s", "enough", "graceMs", "u", "100"), "conversation.stop",
                 {"reason": "enough", "graceMs": 100})):
            with self.subTest(method=method):
                self.conversation(method, *args)
                self.assertEqual(self.bus.last_call()[::2], (wire, {**me, **params}))
        self.assertEqual(json.loads(self.conversation("Describe")[0])["id"], "verbs")
        for pattern, *args in (
                ("text: must not be empty", "SendMessage", "s", ""),
                ("behavior: must be", "AnswerPermission", "ssa{sv}", "r", "maybe", "0"),
                ("limits: must not be empty", "SetLimits", "a{st}", "0"),
                ("now: unknown parameter", "Stop", "a{sv}", "1", "now", "b", "true"),
                ("graceMs: must be a number", "Stop", "a{sv}", "1", "graceMs", "s", "9")):
            self.refused(pattern, self.conversation, *args)
            self.assertIsNone(self.bus.last_call())

    def test_reply_comes_when_the_core_replies(self):
        self.bus.test("Add", "s", "held")
        self.bus.set("hold", "yes")
        p = subprocess.Popen(
            ["busctl", "--address=" + self.bus.address, "call", NAME, path_of("held"), I_CONVERSATION, "Stop", "a{sv}", "0"],
            env=self.bus.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not self.bus.last_call():
            pass
        self.assertIsNone(p.poll())
        self.bus.set("hold", "no")
        self.bus.test("Release")
        self.assertEqual(p.wait(DEADLINE), 0)
        p.stderr.close()

    def test_read_events(self):
        self.bus.test("Add", "s", "events")
        path = path_of("events")
        for i in range(5):
            self.bus.test("Event", "ss", "events", '{"n":%d}' % i)

        def read(cursor, n):
            return self.bus.call(path, I_CONVERSATION, "ReadEvents", "su", cursor, str(n))
        got, cursor = read("", 2)
        self.assertEqual(got, ['{"n":0}', '{"n":1}'])
        got, cursor = read(cursor, 1024)
        self.assertEqual(len(got), 3)
        self.assertEqual(read(cursor, 10), [[], cursor])
        self.assertEqual(read("end", 10), [[], cursor])
        self.refused("cursor: not one", read, "nonsense", 1)
        self.refused("max: must be", read, "", 0)
        self.refused("max: must be", read, "", 1025)

    def test_read_events_with_what_the_bus_does_not_carry(self):
        """sd-bus refuses noncharacters, which JSON and its agents may hold: they are read as escapes, the rest as it is."""
        self.bus.test("Add", "s", "odd")
        events = [{"t": "a\ufffe\ufdd0b\U0001fffe\U0010ffffc\ufffd\u00e4"}, {"t": "\ufffe"}, {"t": "\U0001f600 plain"}]
        for e in events:
            raw = json.dumps(e, ensure_ascii=False).encode()
            self.bus.test("EventBytes", "say", "odd", str(len(raw)), *(str(b) for b in raw))
        got, _ = self.bus.call(path_of("odd"), I_CONVERSATION, "ReadEvents", "su", "", "10")
        self.assertEqual([json.loads(t) for t in got], events)
        self.assertIn("a\\ufffe\\ufdd0b\\ud83f\\udffe\\udbff\\udfffc\ufffd\u00e4", got[0])
        self.assertEqual(got[2], '{"t": "\U0001f600 plain"}')

    def test_read_events_bounds_the_reply(self):
        self.bus.test("Add", "s", "large")
        text = json.dumps({"t": "x" * 100000})
        for _ in range(20):
            self.bus.test("Event", "ss", "large", text)
        got, cursor = self.bus.call(path_of("large"), I_CONVERSATION, "ReadEvents", "su", "", "1024")
        self.assertTrue(0 < len(got) <= 10, len(got))
        self.assertEqual(cursor, "n%d" % len(got))

    def test_open_events(self):
        # busctl cannot show a descriptor's contents; northflarectl's tests read one.
        self.bus.test("Add", "s", "stream")
        self.refused("cursor: not one", self.bus.call, path_of("stream"), I_CONVERSATION, "OpenEvents", "s", "bad")


class Workspaces(OneBus):
    def call(self, method, *args):
        return self.bus.call(MANAGER, I_MANAGER, method, *args)

    def error(self, *args):
        return self.bus.error_text(MANAGER, I_MANAGER, *args)

    def test_list_and_describe(self):
        self.assertEqual([o["id"] for o in json.loads(self.call("ListWorkspaces")[0])], ["w-1", "w-2"])
        o = json.loads(self.call("DescribeWorkspace", "s", "w-2")[0])
        self.assertEqual((o["id"], o["bytes"]), ("w-2", 1572864))
        self.assertIn("Error.NoSuchWorkspace", self.error("DescribeWorkspace", "string:x"))
        self.assertIn("LimitsExceeded", self.error("DescribeWorkspace", "string:w-many"))

    def test_remove(self):
        self.bus.last_call()
        self.refused("uncommitted", self.call, "RemoveWorkspace", "sa{sv}", "w-1", "0")
        self.refused("uncommitted", self.call, "RemoveWorkspace", "sa{sv}", "w-1", "1", "force", "b", "false")
        self.assertIsNone(self.bus.last_call())
        self.call("RemoveWorkspace", "sa{sv}", "w-1", "1", "force", "b", "true")
        self.assertEqual(self.bus.last_call()[0], "remove")
        self.refused("in use by a conversation", self.call, "RemoveWorkspace", "sa{sv}", "w-used", "0")
        self.refused("force", self.call, "RemoveWorkspace", "sa{sv}", "w-1", "1", "force", "s", "yes")
        self.refused("fors", self.call, "RemoveWorkspace", "sa{sv}", "w-1", "1", "fors", "b", "true")


class Statistics(OneBus):
    def test_resources(self):
        self.bus.test("Add", "s", "fig-1")
        rows = dict(self.bus.call(MANAGER, I_MANAGER, "ListResources")[0])
        self.assertEqual(set(rows["fig-1"]), {"sampledUsec", "cpuUsec", "memoryCurrent", "queuedMessages"})
        self.assertEqual(rows["fig-1"]["memoryCurrent"], 3 << 20)
        self.assertEqual(rows["first"], {})
        self.bus.test("End", "s", "fig-1")
        self.assertNotIn("fig-1", dict(self.bus.call(MANAGER, I_MANAGER, "ListResources")[0]))

    def test_totals(self):
        rows = {k: {n: v["data"] for n, v in d.items()} for k, d in self.bus.call(MANAGER, I_MANAGER, "ListTotals")[0]}
        self.assertEqual(set(rows), {"shell", "claude"})
        self.assertEqual((rows["shell"]["started"], rows["shell"]["turns"], rows["shell"]["cpuUsec"]), (7, 9, 1500000))
        self.assertEqual(rows["shell"]["ended"], {
            "completed": 3, "stopped": 1, "timeout": 0, "budget": 0, "failed": 0, "agent-exited": 0, "lost": 0, "oom-killed": 0,
            "shutdown": 0, "other": 0})
        self.assertEqual(rows["shell"]["limitHits"], {"memoryMax": 2, "memoryHigh": 0, "tasksMax": 0})
        self.assertEqual((rows["claude"]["costUsd"], rows["claude"]["inputTokens"]), (0.125, 1000))

    def test_everybody_may_ask(self):
        self.bus.set("polkit", "no")
        self.addCleanup(self.bus.set, "polkit", "yes")
        self.bus.call(MANAGER, I_MANAGER, "ListResources", uid=NOBODY)
        self.bus.call(MANAGER, I_MANAGER, "ListTotals", uid=NOBODY)

    def test_agents_may_not(self):
        self.bus.set("cgroup", "/northflare.slice/x.scope")
        self.addCleanup(self.bus.set, "cgroup", "/user.slice/user-1000.slice/session-1.scope")
        self.bus.set("proc", "/nonexistent")
        self.addCleanup(self.bus.set, "proc", "/proc")
        for method in ("ListResources", "ListTotals"):
            self.refused("Access denied", self.bus.call, MANAGER, I_MANAGER, method, uid=NOBODY)


class Thousand(OneBus):
    """What a thousand conversations cost, counted: questions to conversations, comparisons of objects, names listed, messages."""
    N = 1000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bus.test("AddMany", "su", "many", str(cls.N))

    def setUp(self):
        self.bus.test("Cost")

    def cost(self):
        asked, compared, listed = self.bus.test("Cost")
        return asked, compared, listed

    def test_list(self):
        self.assertEqual(len(self.bus.call(MANAGER, I_MANAGER, "ListConversations")[0]), self.N + 1)
        asked, compared, listed = self.cost()
        self.assertLessEqual(asked, 8 * (self.N + 1))
        self.assertEqual((compared, listed), (0, 0))

    def test_managed_objects(self):
        objects = self.bus.call(MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        self.assertGreaterEqual(len(objects), self.N + 1)
        asked, compared, listed = self.cost()
        # Each of some fifteen properties once; a search of a tree for each, a few times; every name a few times.
        self.assertLessEqual(asked, 30 * (self.N + 1))
        self.assertLessEqual(compared, 30 * (self.N + 1))
        self.assertLessEqual(listed, 4 * (self.N + 1))
        self.assertGreaterEqual(listed, self.N + 1)

    def test_one_is_found(self):
        path, = self.bus.call(MANAGER, I_MANAGER, "GetConversation", "s", "many-%d" % (self.N - 1))
        self.assertLessEqual(self.cost()[1], 30)
        self.bus.call(path, I_CONVERSATION, "Describe")
        asked, compared, listed = self.cost()
        self.assertLessEqual(asked, 60)
        self.assertLessEqual(compared, 200)
        self.assertEqual(listed, 0)

    def test_whoever_looks_at_all_of_them(self):
        """As `busctl tree` does: the list is made for the list, not for each of them again."""
        for i in range(20):
            self.bus.call(path_of("many-%d" % i), "org.freedesktop.DBus.Introspectable", "Introspect")
        self.assertEqual(self.cost()[2], 0)
        self.bus.call(CONVERSATION[:-1], "org.freedesktop.DBus.Introspectable", "Introspect")
        self.assertLessEqual(self.cost()[2], 2 * (self.N + 1))

    def test_changes(self):
        monitor = Monitor(self.bus, "type='signal',path_namespace='" + MANAGER + "'")
        self.addCleanup(monitor.close)
        self.bus.test("Cost")
        # A hundred changes of one, among a thousand.
        self.bus.test("Change", "su", "many-500", "100")
        self.bus.set("state", "one")
        seen = monitor.until(lambda m: m["member"] == "PropertiesChanged" and
                             m["payload"]["data"][1].get("State", {}).get("data") == "one")
        asked, compared, listed = self.cost()
        self.assertLessEqual(len(seen), 8)
        self.assertLessEqual(asked, 500)
        self.assertLessEqual(compared, 100 * 2 * 40 + 500)
        self.assertEqual(listed, 0)
        # Eleven changes of each: one signal about them and one about events for each object, whatever their number.
        self.bus.test("ChangeAll", "u", "11")
        self.bus.set("state", "all")
        seen += monitor.until(lambda m: m["member"] == "PropertiesChanged" and
                              m["payload"]["data"][1].get("State", {}).get("data") == "all")
        asked, compared, listed = self.cost()
        many = [m for m in seen if "/many_2d" in m["path"] and not m["path"].endswith("many_2d500")]
        for member in ("PropertiesChanged", "EventsAvailable"):
            of = [m["path"] for m in many if m["member"] == member]
            self.assertEqual(len(of), len(set(of)), member)
        self.assertLessEqual(asked, 60 * (self.N + 1))
        self.assertLessEqual(compared, (11 * 2 * 40 + 60) * (self.N + 1))

    def test_all_of_them_change_once_told(self):
        """The changes of one go are one signal each: nobody's is lost."""
        monitor = Monitor(self.bus, "type='signal',path_namespace='" + MANAGER + "',member='PropertiesChanged'")
        self.addCleanup(monitor.close)
        self.bus.test("ChangeAll", "u", "3")
        paths = set()

        def all_there(m):
            if "/many_2d" in m["path"]:
                paths.add(m["path"])
            return len(paths) == self.N
        seen = monitor.until(all_there)
        seen = [m for m in seen if "/many_2d" in m["path"]]
        self.assertEqual(len(seen), self.N)
        for m in seen:
            values, invalidated = m["payload"]["data"][1:]
            # Counters are named, not told.
            self.assertNotIn("Turns", values)
            self.assertIn("Turns", invalidated)


class SetAside(OneBus):
    def test_list_and_resend(self):
        def listed():
            return json.loads(self.bus.call(MANAGER, I_MANAGER, "ListSetAside")[0])

        def resend():
            return self.bus.call(MANAGER, I_MANAGER, "ResendSetAside")
        self.assertEqual(listed(), [])
        self.refused("No orchestrator is configured that events could be sent to", resend)
        self.assertIn("org.northflare.Runner1.Error.WrongState", self.bus.error_text(MANAGER, I_MANAGER, "ResendSetAside"))
        self.assertIsNone(self.bus.last_call())
        self.bus.set("orchestrator", "https://orchestrator.example.org")
        self.assertEqual(resend(), [0])
        self.bus.set("set-aside", json.dumps(SET_ASIDE))
        self.assertEqual(listed(), SET_ASIDE)
        self.assertEqual(self.bus.get(MANAGER, I_MANAGER, "SetAside"), 2)
        self.assertEqual(resend(), [2])
        self.assertEqual(listed(), [])

    @unittest.skipUnless(can_change_user(), "needs root and setpriv")
    def test_polkit_learns_the_method(self):
        self.bus.call(MANAGER, I_MANAGER, "ListSetAside", uid=NOBODY)
        self.assertIn("method=ListSetAside", self.bus.test("PolkitLast")[0])


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class Audit(OneBus):
    """What is written down of calls."""

    def setUp(self):
        self.bus.test("Audit")

    def tearDown(self):
        for name, value in (("polkit", "yes"), ("proc", "/proc"), ("agents-gid", "4294967295"),
                            ("cgroup", "/user.slice/user-1000.slice/session-1.scope")):
            self.bus.set(name, value)

    def written(self):
        return json.loads(self.bus.test("Audit")[0])

    def test_every_change_has_a_line(self):
        changes = [(MANAGER, I_MANAGER, "StartConversation", "a{sv}", "2", "agent", "s", "shell", "conversationId", "s", "audit-1"),
                   (MANAGER, I_MANAGER, "Drain"), (MANAGER, I_MANAGER, "DrainWithin", "u", "1"), (MANAGER, I_MANAGER, "Undrain"),
                   (MANAGER, I_MANAGER, "Reload"), (MANAGER, I_MANAGER, "Flush")]
        changes += [(path_of("audit-1"), I_CONVERSATION, *c) for c in (
            ("SendMessage", "s", "x"), ("Interrupt",), ("Freeze",), ("Thaw",), ("AnswerPermission", "ssa{sv}", "a", "allow", "0"),
            ("SetLimits", "a{st}", "1", "x", "1"), ("Stop", "a{sv}", "0"))]
        for c in changes:
            self.bus.call(*c)
        self.bus.set("orchestrator", "https://orchestrator.example.org")
        self.bus.call(MANAGER, I_MANAGER, "ResendSetAside")
        self.bus.set("orchestrator", "")
        self.bus.call(MANAGER, I_MANAGER, "RemoveWorkspace", "sa{sv}", "w-1", "1", "force", "b", "true")
        written = self.written()
        self.assertEqual([w["method"] for w in written], [c[2] for c in changes] + ["ResendSetAside", "RemoveWorkspace"])
        for w in written:
            self.assertEqual((w["verdict"], w["uid"], w["count"], w["minor"]), ("allowed", 0, 1, False))
            self.assertEqual(w["comm"], "busctl")
        self.assertEqual({w.get("conversationId") for w in written[:6]}, {None})
        self.assertEqual({w.get("conversationId") for w in written[6:13]}, {"audit-1"})

    def test_the_table_names_every_method(self):
        """A method that the XML has and the test before does not is one that only looks."""
        xml = ET.parse(os.path.join(DBUS_DIR, NAME + ".xml")).getroot()
        looks = {"ListConversations", "GetConversation", "ListSetAside", "ListAudit", "ListResources", "ListTotals",
                 "ListWorkspaces", "DescribeWorkspace", "Describe", "OpenEvents", "ReadEvents", "ReadEvent"}
        changes = {"StartConversation", "Drain", "DrainWithin", "Undrain", "Reload", "Flush", "SendMessage", "Interrupt", "Freeze", "Thaw",
                   "AnswerPermission", "SetLimits", "Stop", "ResendSetAside", "RemoveWorkspace"}
        self.assertEqual({m.get("name") for m in xml.iter("method")}, looks | changes)

    def test_refusals_say_who_and_why(self):
        self.bus.set("polkit", "no")
        with self.assertRaises(CallError):
            self.bus.call(FIRST, I_CONVERSATION, "Stop", "a{sv}", "0", uid=NOBODY)
        written = self.written()
        self.assertEqual(len(written), 1)
        w = written[0]
        self.assertEqual((w["verdict"], w["uid"], w["method"], w["conversationId"], w["minor"]),
                         ("refused", NOBODY, "Stop", "first", True))
        self.assertIn("Not authorized", w["detail"])

    def test_an_agent_is_written_down_even_where_it_lists(self):
        self.bus.set("agents-gid", "2")
        with self.assertRaises(CallError):
            self.bus.call(MANAGER, I_MANAGER, "ListConversations", uid=2, gid=2)
        self.assertEqual([(w["verdict"], w["uid"], w["detail"]) for w in self.written()],
                         [("refused", 2, "Agents may not call the runner.")])

    def test_unit_and_program_where_proc_is_hidden(self):
        self.bus.set("proc", "/nonexistent")
        for uid in (0, NOBODY):
            self.bus.call(MANAGER, I_MANAGER, "Flush", uid=uid)
        # The program's arguments are nobody's business.
        self.assertEqual([(w["uid"], w["unit"], w["comm"]) for w in self.written()],
                         [(0, "session-1.scope", "a-client"), (NOBODY, "session-1.scope", "a-client")])

    def test_root_is_served_by_a_systemd_that_does_not_know_it(self):
        self.bus.set("proc", "/nonexistent")
        self.bus.set("cgroup", "none")
        self.bus.call(MANAGER, I_MANAGER, "Flush")
        self.assertEqual([(w["uid"], w["unit"], w["comm"]) for w in self.written()], [(0, "", "")])

    def test_list(self):
        self.bus.call(MANAGER, I_MANAGER, "Flush")
        self.bus.call(FIRST, I_CONVERSATION, "Interrupt")

        def methods(conversation, most):
            return [w["method"] for w in json.loads(self.bus.call(MANAGER, I_MANAGER, "ListAudit", "su", conversation, most)[0])]
        self.assertEqual(methods("first", "10"), ["Interrupt"])
        self.assertIn("Flush", methods("", "10"))
        self.refused("max: must be 1 to 20000", self.bus.call, MANAGER, I_MANAGER, "ListAudit", "su", "", "0")
        self.refused("max: must be 1 to 20000", self.bus.call, MANAGER, I_MANAGER, "ListAudit", "su", "", "20001")


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class AuditHeld(OneBus):
    """A flood of refusals is two lines, the second of them when the minute is over or the runner ends."""

    def test_flood(self):
        self.bus.test("Audit")
        self.bus.set("polkit", "no")
        for i in range(20):
            with self.assertRaises(CallError):
                self.bus.call(*((MANAGER, I_MANAGER, "Drain") if i % 2 else (FIRST, I_CONVERSATION, "Interrupt")), uid=NOBODY)
        first = json.loads(self.bus.test("Audit")[0])
        self.assertEqual([(w["method"], w["count"]) for w in first], [("Interrupt", 1)])
        self.bus.test("DropObjects")
        rest = json.loads(self.bus.test("Audit")[0])
        self.assertEqual([(w["verdict"], w["uid"], w["count"]) for w in rest], [("refused", NOBODY, 19)])


class AuditLooks(OneBus):
    def test_looking_is_held_together(self):
        self.bus.test("Add", "s", "looked")
        for _ in range(5):
            self.bus.call(path_of("looked"), I_CONVERSATION, "ReadEvents", "su", "", "1")
            self.bus.call(path_of("looked"), I_CONVERSATION, "Describe")
        self.bus.call(path_of("first"), I_CONVERSATION, "Describe")
        self.bus.call(MANAGER, I_MANAGER, "ListSetAside")
        self.bus.call(MANAGER, I_MANAGER, "ListAudit", "su", "", "10")
        for _ in range(5):
            self.bus.call(MANAGER, I_MANAGER, "ListConversations")
        written = json.loads(self.bus.test("Audit")[0])
        self.assertEqual(
            [(w["method"], w.get("conversationId"), w["count"], w["minor"]) for w in written],
            [("ReadEvents", "looked", 1, True), ("Describe", "looked", 1, True), ("Describe", "first", 1, True),
             ("ListSetAside", None, 1, True), ("ListAudit", None, 1, True)])


class Streams(OneBus):
    def test_streams_are_bounded(self):
        for _ in range(64):
            self.bus.call(FIRST, I_CONVERSATION, "OpenEvents", "s", "")
        self.refused("64 event streams", self.bus.call, FIRST, I_CONVERSATION, "OpenEvents", "s", "")


class Signals(OneBus):
    def setUp(self):
        self.monitor = Monitor(self.bus, "type='signal',path_namespace='" + MANAGER + "'")
        self.addCleanup(self.monitor.close)

    def sentinel(self, state):
        """All signals up to the one that this causes."""
        self.bus.set("state", state)
        return self.monitor.until(
            lambda m: m["path"] == MANAGER and m["member"] == "PropertiesChanged" and
            m["payload"]["data"][1].get("State", {}).get("data") == state)

    def of(self, seen, path, member):
        return [m for m in seen if m["path"] == path and m["member"] == member]

    def test_changes_are_coalesced(self):
        self.sentinel("s0")
        self.bus.test("Change", "su", "first", "500")
        seen = self.monitor.until(lambda m: m["member"] == "EventsAvailable") + self.sentinel("s1")
        changed = self.of(seen, FIRST, "PropertiesChanged")
        self.assertEqual(len(changed), 1)
        interface, values, invalidated = changed[0]["payload"]["data"]
        self.assertEqual(interface, I_CONVERSATION)
        self.assertEqual({k: v["data"] for k, v in values.items()}, {"State": "running"})
        self.assertEqual(sorted(invalidated), ["CostUsd", "InputTokens", "Turns"])
        self.assertEqual(len(self.of(seen, FIRST, "EventsAvailable")), 1)
        self.assertEqual(len(self.of(seen, MANAGER, "PropertiesChanged")), 1)

    def test_a_change_that_changes_nothing_is_silent(self):
        self.sentinel("s2")
        self.bus.set("state", "s2")
        seen = self.sentinel("s3")
        self.assertEqual(len(seen), 1)
        values = seen[0]["payload"]["data"]
        self.assertEqual((list(values[1]), values[2]), (["State"], []))

    def test_objects_come_and_go(self):
        self.bus.test("Add", "s", "new")
        path = path_of("new")
        seen = self.monitor.until(lambda m: m["member"] == "InterfacesAdded")
        added = seen[-1]["payload"]["data"]
        self.assertEqual(added[0], path)
        self.assertEqual(added[1][I_CONVERSATION]["State"]["data"], "idle")
        self.bus.test("Remove", "s", "new")
        seen = self.monitor.until(lambda m: m["member"] == "InterfacesRemoved")
        self.assertEqual(seen[-1]["payload"]["data"][0], path)
        self.assertIn(I_CONVERSATION, seen[-1]["payload"]["data"][1])

    def test_rate_is_bounded(self):
        """Far more changes than ten a second make ten signals a second at most, however long they took."""
        self.sentinel("s4")
        begun = time.monotonic()
        for i in range(30):
            self.bus.test("Change", "su", "first", "1")
            self.bus.test("Event", "ss", "first", "{}")
        # Of one go the manager's are told first.
        seen = self.sentinel("s5") + self.sentinel("s6")
        signals = len(self.of(seen, FIRST, "EventsAvailable"))
        self.assertLessEqual(signals, 10 * (time.monotonic() - begun) + 2)
        self.assertGreater(signals, 0)


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class Access(OneBus):
    """Another user, and what polkit, systemd and the group say about it."""

    def tearDown(self):
        for name, value in (("polkit", "yes"), ("proc", "/proc"), ("agents-gid", "4294967295"),
                            ("cgroup", "/user.slice/user-1000.slice/session-1.scope")):
            self.bus.set(name, value)
        self.bus.last_call()

    def drain(self, **kwargs):
        return self.bus.call(MANAGER, I_MANAGER, "Drain", uid=NOBODY, **kwargs)

    def denied(self, text, method="Drain", **kwargs):
        self.assertEqual(
            self.bus.error_text(MANAGER, I_MANAGER, method, uid=NOBODY, **kwargs),
            "Error org.freedesktop.DBus.Error.AccessDenied: " + text)
        self.assertIsNone(self.bus.last_call())

    def test_everybody_reads(self):
        self.bus.set("polkit", "no")
        self.assertEqual(self.bus.get(MANAGER, I_MANAGER, "Active", uid=NOBODY), True)
        self.assertEqual(self.bus.get(FIRST, I_CONVERSATION, "Id", uid=NOBODY), "first")
        self.assertTrue(self.bus.call(MANAGER, I_MANAGER, "ListConversations", uid=NOBODY)[0])
        self.bus.call(MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", uid=NOBODY)

    def test_root_needs_no_polkit(self):
        self.bus.set("polkit", "no")
        self.bus.call(MANAGER, I_MANAGER, "Drain")
        self.assertEqual(self.bus.last_call()[1], "uid 0")

    def test_polkit_says_yes(self):
        self.drain()
        self.assertEqual(self.bus.last_call()[:2], ("runner.drain", "uid %d" % NOBODY))
        self.assertEqual(
            self.bus.test("PolkitLast")[0],
            "system-bus-name org.northflare.runner1.manage flags=1 method=Drain =")

    def test_interactive_flag_and_details(self):
        self.bus.call(FIRST, I_CONVERSATION, "Describe", uid=NOBODY, options=("--allow-interactive-authorization=no",))
        self.assertEqual(
            self.bus.test("PolkitLast")[0],
            "system-bus-name org.northflare.runner1.manage flags=0 conversation=first method=Describe")

    def test_polkit_says_no(self):
        methods = ((MANAGER, I_MANAGER, ("StartConversation", "a{sv}", "0"), ("Drain",), ("DrainWithin", "u", "1"), ("Undrain",), ("Reload",), ("Flush",),
                    ("ListSetAside",), ("ListAudit", "su", "", "1"), ("ResendSetAside",), ("ListWorkspaces",), ("DescribeWorkspace", "s", "w-1"),
                    ("RemoveWorkspace", "sa{sv}", "w-1", "0")),
                   (FIRST, I_CONVERSATION, ("Describe",), ("SendMessage", "s", "x"), ("Interrupt",), ("Stop", "a{sv}", "0"),
                    ("Freeze",), ("Thaw",), ("AnswerPermission", "ssa{sv}", "a", "allow", "0"),
                    ("SetLimits", "a{st}", "1", "x", "1"), ("OpenEvents", "s", ""), ("ReadEvents", "su", "", "1")))
        self.bus.set("polkit", "no")
        for path, interface, *calls in methods:
            for c in calls:
                with self.subTest(method=c[0]):
                    self.refused("Access denied", self.bus.call, path, interface, *c, uid=NOBODY)
                    self.assertIsNone(self.bus.last_call())

    def test_challenge(self):
        self.bus.set("polkit", "challenge")
        self.assertEqual(
            self.bus.error_text(MANAGER, I_MANAGER, "Drain", uid=NOBODY),
            "Error org.freedesktop.DBus.Error.InteractiveAuthorizationRequired: Interactive authentication is required.")
        self.refused("Access denied", self.drain)

    def test_polkit_absent(self):
        self.bus.set("polkit", "absent")
        self.denied("polkit is not installed, so only root may do this.")

    def test_agents_are_refused(self):
        self.bus.set("agents-gid", str(NOBODY))
        for method in ("Drain", "ListConversations"):
            self.denied("Agents may not call the runner.", method)
        # By its group, whatever its uid.
        self.assertIn("Agents may not", self.bus.error_text(MANAGER, I_MANAGER, "Drain", uid=1, gid=NOBODY))
        self.bus.call(MANAGER, I_MANAGER, "Drain")

    def hide_proc(self, cgroup):
        self.bus.set("proc", "/nonexistent")
        self.bus.set("cgroup", cgroup)

    def test_systemd_is_asked_where_proc_is_hidden(self):
        self.hide_proc("/user.slice/user-1000.slice/session-1.scope")
        self.drain()
        self.assertEqual(self.bus.last_call()[0], "runner.drain")

    def test_callers_from_the_slice_are_refused(self):
        self.hide_proc("/northflare.slice/northflare-conversation-c-1.scope")
        for method in ("Drain", "ListConversations"):
            self.denied("Processes in northflare.slice may not call the runner.", method)

    def test_unreadable_cgroup_is_refused(self):
        self.hide_proc("none")
        self.denied("Failed to read the control group of the caller, which may therefore be an agent.")
        self.bus.call(MANAGER, I_MANAGER, "Drain")

    def test_caller_may_leave_while_polkit_thinks(self):
        self.bus.set("polkit", "hold")
        p = subprocess.Popen(
            as_user(NOBODY) + ["busctl", "--address=" + self.bus.address, "call", NAME, MANAGER, I_MANAGER, "Drain"],
            env=self.bus.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                self.bus.test("PolkitRelease")
                break
            except CallError:
                pass
        self.assertEqual(p.wait(DEADLINE), 0)
        self.assertEqual(self.bus.last_call()[0], "runner.drain")

    def test_object_may_go_while_polkit_thinks(self):
        self.bus.test("Add", "s", "going")
        self.bus.set("polkit", "hold")
        p = subprocess.Popen(
            as_user(NOBODY) + ["busctl", "--address=" + self.bus.address, "call", NAME, path_of("going"), I_CONVERSATION, "Freeze"],
            env=self.bus.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while "going" not in self.bus.test("PolkitLast")[0]:
            pass
        self.bus.test("Remove", "s", "going")
        self.bus.test("PolkitRelease")
        self.assertIn("Unknown object", p.communicate(timeout=DEADLINE)[1])
        self.assertIsNone(self.bus.last_call())
        self.bus.set("polkit", "yes")
        self.drain()


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class WaitingCalls(OneBus):
    def test_waiting_calls_are_bounded(self):
        self.bus.set("polkit", "hold")
        # One connection can wait 16 times; busctl makes one call each, so the bound over all is what it meets. Started a few
        # at a time: the bus daemon turns connections away when too many of them begin at once.
        argv = as_user(NOBODY) + ["busctl", "--address=" + self.bus.address, "--timeout=55", "call", NAME, MANAGER, I_MANAGER, "Drain"]
        waiting = []
        try:
            for _ in range(2 * 64):
                waiting = [p for p in waiting if p.poll() is None] + [
                    subprocess.Popen(argv, env=self.bus.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    for _ in range(4)]
                try:
                    self.bus.call(MANAGER, I_MANAGER, "ListConversations")
                except CallError as e:
                    self.assertIn("Too many calls wait", str(e))
                    self.assertGreaterEqual(len(waiting), 64)
                    return
            self.fail("128 calls wait and more are taken")
        finally:
            for p in waiting:
                p.kill()
                p.wait()

    def test_waiting_calls_hold_no_more_than_32_mib(self):
        self.bus.set("polkit", "hold")
        # A text counts 1 KiB besides itself: these two fill the room to the last byte, and two calls without one need none.
        code = """
import sys
sys.path.insert(0, sys.argv[1])
from rawbus import *
c, MIB = Connection(sys.argv[2]), 1 << 20
def send(size):
    return c.send(*sys.argv[3:6], *(("SendMessage", "s", body_of("s", ("x" * size,))) if size else ("Freeze",)))
for size in (20 * MIB - 1024, 12 * MIB - 1024, 0, 0):
    send(size)
print(c.answers([refused := send(1)])[refused].error)
"""
        p = subprocess.run(
            as_user(NOBODY) + [sys.executable, "-c", code, os.path.dirname(os.path.abspath(__file__)), self.bus.dir + "/bus", NAME, FIRST,
                               I_CONVERSATION], env=self.bus.env, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(p.stderr, "")
        self.assertIn("LimitsExceeded", p.stdout)


class HeldCalls(OneBus):
    """Calls that are replied to when their work is done."""

    def setUp(self):
        super().setUp()
        self.bus.set("hold", "all")
        self.c = Connection(self.bus.dir + "/bus")

    def tearDown(self):
        self.c.close()
        super().tearDown()

    def stop(self, reason):
        return self.c.send(NAME, FIRST, I_CONVERSATION, "Stop", "a{sv}", body_of("a{sv}", [[("reason", ("s", reason))]]))

    def until_called(self):
        while not self.bus.last_call():
            pass

    def refused(self, serial, error, pattern):
        m = self.c.answers([serial])[serial]
        self.assertIn(error, m.error)
        self.assertRegex(m.values()[0], pattern)
        self.assertIsNone(self.bus.last_call())


class HeldArguments(HeldCalls):
    def test_each_has_16_kib_of_arguments(self):
        # Each of the five values counts 1 KiB besides its text.
        size = 16384 - 5 * 1024 - len("reason")
        self.stop("x" * size)
        self.until_called()
        self.refused(self.stop("x" * (size + 1)), "InvalidArgument", "at most 16384 bytes")
        # A text of JSON says the same with any number of blanks.
        blank = [[("json", ("s", '{"force":%strue}' % (" " * (1 << 20))))]]
        self.refused(self.c.send(NAME, MANAGER, I_MANAGER, "RemoveWorkspace", "sa{sv}", body_of("sa{sv}", ["w-1", *blank])),
                     "InvalidArgument", "at most 16384 bytes")


class HeldNumber(HeldCalls):
    def test_no_more_than_256_are_under_way(self):
        # One after the other, since each waits for its authorization first. A bus lets one connection wait for 128 replies.
        connections = [self.c]
        for n in range(256):
            if n % 64 == 63:
                self.c = Connection(self.bus.dir + "/bus")
                connections.append(self.c)
            self.stop("enough")
            self.until_called()
        self.refused(self.stop("enough"), "LimitsExceeded", "Too many calls are in progress")
        for c in connections[:-1]:
            c.close()


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class ShippedPolicy(OneBus):
    """The bus policy as installed, on a bus that denies what a system bus denies."""

    @classmethod
    def setUpClass(cls):
        conf = ET.parse(os.path.join(DBUS_DIR, NAME + ".conf")).getroot()
        policies = [p for p in conf.findall("policy")]
        for p in policies:
            if p.get("user") == "northflare":
                # No such user here; it stands for the owner.
                p.set("user", "root")
        cls.bus = Bus(FAKE, policy=STRICT + "".join(ET.tostring(p, encoding="unicode") for p in policies))

    def test_no_deny(self):
        conf = ET.parse(os.path.join(DBUS_DIR, NAME + ".conf")).getroot()
        self.assertEqual(list(conf.iter("deny")), [])

    def test_owner_hears_replies(self):
        # polkit's and systemd's replies to the owner of the name must pass.
        self.bus.set("proc", "/nonexistent")
        self.bus.call(MANAGER, I_MANAGER, "Drain", uid=NOBODY)
        self.assertEqual(self.bus.last_call()[0], "runner.drain")
        self.bus.set("proc", "/proc")

    def test_others_read_and_call_and_never_set(self):
        self.assertEqual(self.bus.get(MANAGER, I_MANAGER, "Version", uid=NOBODY), "0.0-test")
        self.bus.call(MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", uid=NOBODY)
        self.bus.call(MANAGER, "org.freedesktop.DBus.Introspectable", "Introspect", uid=NOBODY)
        self.bus.call(FIRST, I_CONVERSATION, "Describe", uid=NOBODY)
        self.refused(
            "Access denied|not allowed|Rejected", self.bus.busctl, "set-property", NAME, "/org/freedesktop/LogControl1",
            "org.freedesktop.LogControl1", "LogLevel", "s", "debug", uid=NOBODY)

    def test_others_cannot_take_the_name(self):
        self.refused(
            "Access denied|not allowed", self.bus.call, "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
            "su", NAME + ".x", "4", uid=NOBODY, name="org.freedesktop.DBus")


class UserMode(OneBus):
    options = {"user": True}

    def test_owner_needs_no_polkit(self):
        self.bus.set("polkit", "no")
        self.bus.call(MANAGER, I_MANAGER, "Drain")
        self.assertEqual(self.bus.test("PolkitLast")[0], "")

    @unittest.skipUnless(can_change_user(), "needs root and setpriv")
    def test_others_are_refused(self):
        for method in ("Drain", "ListConversations"):
            self.assertIn(
                "accepts calls of its owner only", self.bus.error_text(MANAGER, I_MANAGER, method, uid=NOBODY))
        self.assertIsNone(self.bus.last_call())


class Teardown(OneBus):
    def test_objects_go_with_calls_under_way(self):
        self.bus.set("hold", "yes")
        p = subprocess.Popen(
            ["busctl", "--address=" + self.bus.address, "call", NAME, FIRST, I_CONVERSATION, "Freeze"],
            env=self.bus.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.bus.last_call():
            pass
        self.bus.test("DropObjects")
        self.refused("Unknown object|No such", self.bus.get, MANAGER, I_MANAGER, "State")
        p.kill()
        p.wait()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
