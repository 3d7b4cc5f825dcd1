# SPDX-License-Identifier: MIT
"""How large the replies of the runner's D-Bus objects may be."""

import json
import re
import sys
import unittest
import xml.etree.ElementTree as ET

import rawbus
from buslib import *

FAKE, TOP = sys.argv[1:3]
FIRST = path_of("first")


class Raw(unittest.TestCase):
    """By a connection of its own, which sees how large replies are."""
    LIST, CONTENTS, ERROR_TEXT, INLINE, PIECE, OBJECTS = 16 << 20, 1 << 20, 4096, 64 << 10, 512 << 10, 12000

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(FAKE)
        cls.c = rawbus.Connection(cls.bus.dir + "/bus", timeout=DEADLINE)

    @classmethod
    def tearDownClass(cls):
        cls.c.close()
        try:
            if not cls.bus.alive():
                raise AssertionError("the fake runner died")
        finally:
            cls.bus.close()

    def reply(self, path, interface, method, signature="", *values):
        return self.c.call(NAME, path, interface, method, signature, values)

    def value(self, *args):
        m = self.reply(*args)
        self.assertEqual(m.kind, rawbus.RETURN, m.error)
        return m.values()

    def tell(self, method, signature, *values):
        m = self.c.call("org.northflare.Test1", "/test", "org.northflare.Test1", method, signature, values)
        self.assertEqual(m.kind, rawbus.RETURN, m.error)

    def same_runner(self):
        self.assertTrue(self.bus.alive())
        self.assertEqual(self.value(FIRST, PROPERTIES, "Get", "ss", I_CONVERSATION, "Id"), ["first"])


class Bounds(Raw):
    """Replies at their bound and one byte past it."""

    def past(self, bound, instead, *args):
        m = self.reply(*args)
        self.assertEqual((m.kind, m.error), (rawbus.ERROR, "org.freedesktop.DBus.Error.LimitsExceeded"))
        self.assertIn("%d bytes" % bound, m.values()[0])
        self.assertIn(instead, m.values()[0])
        self.same_runner()

    def test_a_list_at_its_bound_and_one_byte_past_it(self):
        # ["…"] with length and end
        text = self.LIST - 5 - 4
        self.tell("Set", "ss", "set-aside", '["%s"]' % ("x" * text))
        self.assertEqual(len(self.reply(MANAGER, I_MANAGER, "ListSetAside").body), self.LIST)
        self.tell("Set", "ss", "set-aside", '["%s"]' % ("x" * (text + 1)))
        self.past(self.LIST, "ResendSetAside()", MANAGER, I_MANAGER, "ListSetAside")
        self.tell("Set", "ss", "set-aside", "[]")

    def test_a_reply_with_contents_at_its_bound_and_one_byte_past_it(self):
        def describe(n):
            return MANAGER, I_MANAGER, "DescribeWorkspace", "s", "w-" + "x" * n
        n = self.CONTENTS - len(self.reply(*describe(0)).body)
        m = self.reply(*describe(n))
        self.assertEqual((m.kind, len(m.body)), (rawbus.RETURN, self.CONTENTS))
        self.past(self.CONTENTS, "directory", *describe(n + 1))

    def test_the_text_of_an_error_at_its_bound_and_one_byte_past_it(self):
        def refused(key):
            m = self.reply(MANAGER, I_MANAGER, "StartConversation", "a{sv}", [(key, ("s", "x"))])
            self.assertEqual(m.error, NAME + ".Error.InvalidArgument")
            return m.values()[0]
        words = refused("")
        n = self.ERROR_TEXT - len(words)
        self.assertEqual(refused("x" * n), "x" * n + words)
        cut = refused("x" * (n + 1))
        self.assertEqual((len(cut.encode()), cut[-1]), (self.ERROR_TEXT, "…"))
        for odd in ("", "x"):
            cut = refused(odd + "ä" * 100000)
            self.assertLessEqual(len(cut.encode()), self.ERROR_TEXT)
            self.assertEqual(set(cut[len(odd):]), {"ä", "…"})
        self.same_runner()

    def test_a_property_at_its_bound_and_one_byte_past_it(self):
        def got(url):
            self.tell("Set", "ss", "orchestrator", url)
            return self.value(MANAGER, PROPERTIES, "Get", "ss", I_MANAGER, "OrchestratorUrl")[0]
        self.assertEqual(got("u" * 2048), "u" * 2048)
        self.assertEqual(got("u" * 2049), "u" * 2048)
        self.assertEqual(got("u" + "ä" * 2000), "u" + "ä" * 1023)
        self.tell("Set", "ss", "orchestrator", "")

    def test_a_name_that_no_property_has_is_not_quoted_however_long_it_is(self):
        def error_of(m):
            self.assertEqual(m.kind, rawbus.ERROR)
            self.assertLessEqual(len(m.body), self.ERROR_TEXT + 8)
            self.same_runner()
            return m.values()[0]

        def refused(method, *names):
            return error_of(self.reply(MANAGER, PROPERTIES, method, "s" * len(names), *names))

        def set_(*names):
            return error_of(self.reply(MANAGER, PROPERTIES, "Set", "ssv", *names, ("s", "x")))
        for size in (255, 256, 100000, (32 << 20) - 400):
            name = "x" * size
            for text in (refused("GetAll", name), refused("Get", name, "x"), refused("Get", I_MANAGER, name), set_(name, "x"),
                         set_(I_MANAGER, name)):
                self.assertEqual(name in text, size <= 255)
        self.assertEqual(self.value(MANAGER, PROPERTIES, "Get", "ss", I_MANAGER, "OrchestratorUrl"), [""])

    def test_a_path_that_no_object_has_is_not_quoted_however_long_it_is(self):
        # What has a longer path than 64 KiB is no message to the runner's library, which drops it unanswered.
        for size in (65536, (32 << 20) - 400):
            self.c.send(NAME, "/" + "x" * size, PROPERTIES, "GetAll", "s", rawbus.body_of("s", ["x"]))
            self.same_runner()
        for size in (200, 300, 65535):
            path = "/" + "x" * size
            for interface, member in (("org.freedesktop.DBus.Introspectable", "Introspect"), (PROPERTIES, "GetAll"),
                                      ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), (I_MANAGER, "Undrain"),
                                      (None, "Undrain")):
                m = self.reply(path, interface, member, "s", "x") if member == "GetAll" else self.reply(path, interface, member)
                self.assertEqual(m.error, "org.freedesktop.DBus.Error.UnknownObject", (size, interface))
                self.assertLessEqual(len(m.body), self.ERROR_TEXT + 8)
                self.assertEqual(path in m.values()[0], size <= 200)
                self.same_runner()

    def event(self, size):
        """JSON text of so many bytes, with what is easily cut in two."""
        text = '{"method":"message.agent","params":{"event":{"type":"text","delta":"ä€😀'
        return text + "y" * (size - len(text.encode()) - 4) + '"}}}'

    def pieces(self, path, cursor):
        text, size = "", 1
        while len(text.encode()) < size:
            m = self.reply(path, I_CONVERSATION, "ReadEvent", "st", cursor, len(text.encode()))
            self.assertLessEqual(len(m.body), self.PIECE + 32)
            piece, size = m.values()
            self.assertTrue(piece)
            text += piece
        return text

    def test_an_event_at_its_bound_and_one_byte_past_it(self):
        self.bus.test("Add", "s", "bounds")
        path = path_of("bounds")
        fits, long, last = self.event(self.INLINE), self.event(self.INLINE + 1), self.event(100)
        for text in (fits, long, last):
            self.tell("Event", "ss", "bounds", text)
        events, cursor = self.value(path, I_CONVERSATION, "ReadEvents", "su", "", 10)
        self.assertEqual((len(events), events[0]), (2, fits))
        cut = json.loads(events[1])["params"]["cut"]
        self.assertEqual((cut["type"], cut["size"]), ("text", self.INLINE + 1))
        self.assertEqual(cut["begins"], long[:len(cut["begins"])])
        self.assertEqual(len(cut["begins"].encode()), self.INLINE)
        self.assertEqual(self.pieces(path, cut["cursor"]), long)
        self.assertEqual(self.value(path, I_CONVERSATION, "ReadEvents", "su", cursor, 10)[0], [last])

    def test_a_long_event_in_pieces(self):
        self.bus.test("Add", "s", "pieces")
        path = path_of("pieces")
        text = '{"t":"%s"}' % ("ä€😀" * 250000)
        self.tell("Event", "ss", "pieces", text)
        events, _ = self.value(path, I_CONVERSATION, "ReadEvents", "su", "", 10)
        self.assertEqual(self.pieces(path, json.loads(events[0])["params"]["cut"]["cursor"]), text)
        size = len(text.encode())
        self.assertEqual(self.value(path, I_CONVERSATION, "ReadEvent", "st", "", size), ["", size])
        for offset in (size + 1, 7, 1 << 63):
            m = self.reply(path, I_CONVERSATION, "ReadEvent", "st", "", offset)
            self.assertEqual(m.error, NAME + ".Error.InvalidArgument")
            self.assertIn("offset: the event has %d bytes" % size, m.values()[0])
        m = self.reply(path, I_CONVERSATION, "ReadEvent", "st", "n1", 0)
        self.assertIn("there is no event", m.values()[0])
        self.assertIn("cursor: not one", self.reply(path, I_CONVERSATION, "ReadEvent", "st", "nonsense", 0).values()[0])


class Document(unittest.TestCase):
    """The table of docs/dbus.md, which the system case bus-bounds holds every reply against."""

    def test_the_table_has_every_member_with_the_bound_that_is_tested_here(self):
        bounds = {}
        with open(TOP + "/docs/dbus.md") as f:
            for line in f:
                row = re.fullmatch(r"\| (.*?) \| (\d+) (bytes|KiB|MiB) \|.*", line.strip())
                for member in re.findall(r"`([\w.]+)`", row[1]) if row else ():
                    bounds[member] = int(row[2]) * {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}[row[3]]
        for i in ET.parse(TOP + "/dbus/" + NAME + ".xml").getroot().iter("interface"):
            short = i.get("name").split(".")[-1]
            for e in i.findall("method") + [e for e in i.findall("property") if e.get("type") == "s"]:
                self.assertIn(short + "." + e.get("name"), bounds)
        for member, bound in {
                "Manager.ListSetAside": Raw.LIST, "Manager.ListConversations": Raw.LIST, "Manager.DescribeWorkspace": Raw.CONTENTS,
                "ObjectManager.GetManagedObjects": Raw.LIST, "Introspectable.Introspect": Raw.LIST, "error": Raw.ERROR_TEXT,
                "Manager.OrchestratorUrl": 2048}.items():
            self.assertEqual(bounds[member], bound, member)


class LargestNumber(Raw):
    """As many conversations as lists show, and some more; each of their fields as long as it can be."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bus.test("AddLongest", "u", str(cls.OBJECTS + 100))

    def lists(self):
        for path, interface, method in (
                (MANAGER, I_MANAGER, "ListConversations"), (MANAGER, I_MANAGER, "ListResources"),
                (MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
                (CONVERSATION[:-1], "org.freedesktop.DBus.Introspectable", "Introspect")):
            yield method, self.reply(path, interface, method)

    def test_lists_stay_within_their_bound(self):
        for method, m in self.lists():
            with self.subTest(method=method):
                self.assertEqual(m.kind, rawbus.RETURN, m.error)
                self.assertLessEqual(len(m.body), self.LIST)
        self.same_runner()

    def test_all_that_live_are_listed_and_the_last_ones_that_ended(self):
        rows = self.value(MANAGER, I_MANAGER, "ListConversations")[0]
        self.assertEqual(len(rows), self.OBJECTS)
        ended = [r[0] for r in rows if r[1] == "ended"]
        self.assertEqual(len(rows) - len(ended), 1 + (self.OBJECTS + 100) // 2)
        self.assertEqual(int(ended[0][-8:]), 202)
        # What is not in the list is there.
        path = self.value(MANAGER, I_MANAGER, "GetConversation", "s", "l" + "-" * 55 + "00000000")[0]
        self.assertEqual(self.value(path, PROPERTIES, "Get", "ss", I_CONVERSATION, "State"), ["ended"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
