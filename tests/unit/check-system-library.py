#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The verbs of tests/lib/nf-test that decide something for the cases of tests/system and tests/limits.

usage: check-system-library.py SOURCE-DIRECTORY
"""
import json
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1) + "/tests/lib/nf-test"


def run(*arguments, stdin=""):
    """The exit status of a verb and what it printed."""
    p = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, text=True, check=False)
    return p.returncode, p.stdout.rstrip("\n")


def line(method, **params):
    return json.dumps({"receivedAt": "2026-01-02T03:04:05.5Z", "event": {"jsonrpc": "2.0", "method": method, "params": params}}) + "\n"


def agent(**event):
    return line("message.agent", conversationId="c-1", event=event)


EVENTS = "".join((
    line("conversation.started", scope="s"), agent(type="text", delta="one\n"), agent(type="turn_end"),
    agent(type="text", delta="tw"), agent(type="text", delta="o\n"), agent(type="turn_end"),
    line("error.report", code="launcher-lost", signal="SEGV"), line("error.report", code="git-lost", signal="KILL"),
    line("conversation.ended", reason="stopped", resources={"memoryPeak": 7})))


class Library(unittest.TestCase):
    def test_verbs(self):
        self.assertEqual(run("no-such-verb"), (2, ""))
        status, text = run("--help")
        self.assertEqual(status, 0)
        for verb in ("json", "event", "numbered", "kill-as-oomd", "same-interface"):
            self.assertIn(f"\n{verb} ", text)

    def test_values(self):
        self.assertEqual(run("json", "d['a']", stdin='{"a": "text"}'), (0, "text"))
        self.assertEqual(run("json", "[x for x in d if x != a[0]]", "1", stdin='["1", 2]'), (0, "[2]"))
        self.assertEqual(run("jsonl", "len(d)", stdin="1\n2\n"), (0, "2"))
        self.assertEqual(run("json", "d", stdin="no JSON")[0], 1)
        self.assertEqual(run("pick", "l['n'] if l['k'] == 'a' else None", stdin='[{"k": "a", "n": 1}, {"k": "a", "n": 0}, {"k": "b"}]'), (0, "0"))
        self.assertEqual(run("pick", "l > 5", stdin="[1]"), (1, ""))
        self.assertEqual(run("limits", "'%s %s' % (l['a'], f)", stdin='[{"limits": {"a": 1}}]'), (0, "1 None"))
        self.assertEqual((run("at-least", "2", "2")[0], run("at-least", "1.9", "2")[0]), (0, 1))

    def test_object(self):
        made = run("object", "prompt=a=\"b\"\n", "limits:={\"x\": 1}", "a.b.c=d", "a.b.e:=null", ':={"prompt": 2}')
        self.assertEqual(json.loads(made[1]), {"prompt": 2, "limits": {"x": 1}, "a": {"b": {"c": "d", "e": None}}})
        self.assertEqual(run("object", "--lines", "a=b"), (0, '{\n  "a": "b"\n}'))
        self.assertNotEqual(run("object", "prompt")[0], 0)
        self.assertNotEqual(run("object", "a:=x")[0], 0)

    def test_events(self):
        self.assertEqual(run("event", "e.get('delta')", stdin=EVENTS), (0, "one"))
        self.assertEqual(run("event", "e.get('delta')", "2", stdin=EVENTS), (0, "tw"))
        self.assertEqual(run("event", "e.get('delta')", "4", stdin=EVENTS), (1, ""))
        self.assertEqual(run("event", "e.get('delta')\n  if e else None", stdin=EVENTS), (0, "one"))
        self.assertEqual(run("event", "m == 'none'", stdin=EVENTS), (1, ""))
        self.assertEqual(run("event", "0 if m == 'conversation.ended' else None", stdin=EVENTS), (0, "0"))
        self.assertEqual(run("each", "p.get('code')", stdin=EVENTS), (0, "launcher-lost\ngit-lost"))
        self.assertEqual(len(run("notifications", stdin=EVENTS)[1].splitlines()), len(EVENTS.splitlines()))
        self.assertEqual(run("end", "reason", stdin=EVENTS), (0, "stopped"))
        self.assertEqual(run("end", "resources.memoryPeak", stdin=EVENTS), (0, "7"))
        self.assertEqual(run("end", "usage.turns", stdin=EVENTS), (0, "null"))
        self.assertEqual(run("end", "reason", stdin=""), (0, ""))
        self.assertEqual(run("reports", "len(l)", stdin=EVENTS), (0, "2"))
        self.assertEqual(run("reports", "git-lost", "l[0]['signal']", stdin=EVENTS), (0, "KILL"))

    def test_text_and_turns(self):
        self.assertEqual(run("text", stdin=EVENTS), (0, "one\ntwo"))
        self.assertEqual(run("text", "1", stdin=EVENTS), (0, "two"))
        self.assertEqual(run("text", "2", stdin=EVENTS), (0, ""))
        self.assertEqual([run("turns", n, stdin=EVENTS)[0] for n in "123"], [0, 0, 1])

    def test_ended_before(self):
        at = 1767323045500000
        self.assertEqual([run("ended-before", str(at + n), stdin=EVENTS)[0] for n in (1, 0)], [0, 1])
        self.assertEqual(run("ended-before", str(at), stdin="")[0], 2)

    def test_numbered(self):
        whole = "up\nline 1\nline 2\nline 3\nlast 3\nafter\n"

        def good(text, *options):
            return run("numbered", *options, stdin=text)[0] == 0

        self.assertTrue(good(whole, "--last"))
        self.assertFalse(good(whole.replace("line 2\n", ""), "--last"))
        self.assertFalse(good(whole.replace("line 2\n", "line 2\nline 2\n"), "--last"))
        self.assertFalse(good(whole.replace("line 1\nline 2", "line 2\nline 1"), "--last"))
        self.assertFalse(good(whole.replace("last 3", "last 4"), "--last"))
        self.assertFalse(good(whole + "last 3\n", "--last"))
        self.assertFalse(good(whole.replace("last 3\n", ""), "--last"))
        self.assertFalse(good(whole.replace("line 2", "line 2x"), "--last"))
        self.assertTrue(good(whole, "--least", "3") and not good(whole, "--least", "4"))
        self.assertTrue(good("line 1\nlast\n", "--end", "last") and not good("line 1\n", "--end", "last"))
        self.assertFalse(good(whole, "--only"))
        self.assertTrue(good("line 1\nline 2\n", "--only"))
        self.assertTrue(good("line 1\nli", "--only", "--torn") and not good("line 1\nli", "--only"))
        self.assertTrue(good("line 1 xxx\n", "--padding", "3"))
        self.assertFalse(good("line 1 xx\n", "--padding", "3") or good("line 1\n", "--padding", "3"))

    def test_metric(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
            f.write('# TYPE a counter\na_total{x="1",y="2"} 5000000\n# TYPE b gauge\nb 0.25\n# EOF\n')
            f.flush()
            self.assertEqual(run("metric", f.name, "a_total", "y=2", "x=1"), (0, "5000000"))
            self.assertEqual(run("metric", f.name, "b"), (0, "0.25"))
            self.assertEqual(run("metric", f.name, "a_total", "x=1", "0"), (0, "0"))
            self.assertEqual(run("metric", f.name, "a_total", "x=1")[0], 1)

    def test_same_interface(self):
        def xml(*members):
            f = tempfile.NamedTemporaryFile("w", suffix=".xml")
            f.write(f'<node><interface name="a.B">{"".join(members)}</interface><interface name="a.Empty"/></node>')
            f.flush()
            return f
        method = '<method name="M"><arg type="s"/><arg type="u" direction="out"/></method>'
        named = '<method name="M"><arg name="x" type="s" direction="in"/><arg type="u" direction="out"/></method>'
        prop = '<property name="P" type="s" access="read"/>'
        with xml(method, prop) as one, xml(prop, named) as same, xml(method) as less, xml(method, prop.replace("read", "readwrite")) as other:
            self.assertEqual(run("same-interface", one.name, same.name, "a.B")[0], 0)
            self.assertEqual(run("same-interface", one.name, less.name, "a.B")[0], 1)
            self.assertEqual(run("same-interface", one.name, other.name, "a.B")[0], 1)
            self.assertEqual(run("same-interface", one.name, same.name, "a.Empty")[0], 1)
            self.assertEqual(run("keeps-interface", one.name, same.name, "a.B")[0], 0)
            self.assertEqual(run("keeps-interface", less.name, one.name, "a.B")[0], 0)
            self.assertEqual(run("keeps-interface", one.name, less.name, "a.B")[0], 1)
            self.assertEqual(run("keeps-interface", one.name, other.name, "a.B")[0], 1)
            self.assertEqual(run("keeps-interface", one.name, same.name, "a.Empty")[0], 1)

    def test_files(self):
        with tempfile.NamedTemporaryFile("w+", suffix=".txt") as f:
            f.write("one two one two")
            f.flush()
            self.assertEqual(run("overwrite", f.name, "one", "a?b")[0], 0)
            f.seek(0)
            self.assertEqual(f.read(), "one two a\0b two")
        self.assertEqual(run("padded", "3", "echo x"), (0, ": yyy\necho x"))
        self.assertEqual(run("list-of-objects", "2"), (0, "[{},{},{}]"))
        self.assertEqual(run("delays", "7", "3", "60"), run("delays", "7", "3", "60"))
        self.assertNotEqual(run("delays", "7", "3", "60"), run("delays", "8", "3", "60"))


unittest.main()
