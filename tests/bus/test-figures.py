# SPDX-License-Identifier: MIT
"""northflarectl top and metrics against the fake runner: what they show, what a scraper gets, what a wrong one gets."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import unittest

from buslib import *

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import openmetrics

FAKE, CTL, DOCS = sys.argv[1], sys.argv[2], sys.argv[3]
OK, FAILED, USAGE, NOT_RUNNING = 0, 1, 2, 3
GOOD = """# TYPE a_seconds counter
# UNIT a_seconds seconds
# HELP a_seconds Some \\\\ text.
a_seconds_total{x="1",y="\\"\\n\\\\"} 1.5
a_seconds_total{x="2",y=""} 0
# TYPE b info
# HELP b Text.
b_info{v="1"} 1
# EOF
"""
WRONG = {
    "no EOF": ("# EOF\n", ""), "more behind EOF": ("# EOF\n", "# EOF\nx 1\n# EOF\n"), "no newline": ("# EOF\n", "# EOF"),
    "blank line": ("# TYPE b", "\n# TYPE b"), "no _total": ("a_seconds_total{x=\"2\"", "a_seconds{x=\"2\""),
    "twice": ('x="2",y=""', 'x="1",y="\\"\\n\\\\"'), "less than nothing": ("} 0\n", "} -1\n"), "NaN": ("} 0\n", "} NaN\n"),
    "no number": ("} 0\n", "} 0x1\n"), "unit": ("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
    "no unit": ("# UNIT a_seconds seconds\n", ""), "type": ("seconds counter", "seconds metre"), "no help": ("# HELP b Text.\n", ""),
    "late help": ('b_info{v="1"} 1\n', 'b_info{v="1"} 1\n# HELP b Text.\n'), "other labels": ('x="2",y=""', 'x="2"'),
    "escape": ('y=""', 'y="\\t"'), "comma": ('x="2",y=""', 'x="2",y="",'), "same label": ('x="2",y=""', 'x="2",x=""'),
    "reserved label": ('v="1"', '__v="1"'), "info": ('b_info{v="1"} 1', 'b_info{v="1"} 2'), "comment": ("# TYPE b", "# hello\n# TYPE b"),
    "apart": ("# EOF", 'a_seconds_total{x="3",y=""} 0\n# EOF'), "carriage return": ("Text.\n", "Text.\r\n"),
    "two blanks": ('b_info{v="1"} 1', 'b_info{v="1"}  1'), "clash": ("# TYPE b info\n# HELP b", "# TYPE a_seconds_total info\n# HELP a_seconds_total"),
}


class Checker(unittest.TestCase):
    def test_good(self):
        self.assertEqual(openmetrics.check(GOOD.encode()), [])

    def test_wrong(self):
        for what, (old, new) in WRONG.items():
            with self.subTest(what=what):
                self.assertIn(old, GOOD)
                self.assertNotEqual(openmetrics.check(GOOD.replace(old, new, 1).encode()), [])
        self.assertNotEqual(openmetrics.check(b"\xff"), [])


class Ctl(unittest.TestCase):
    maxDiff = None
    runner = True

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(FAKE, runner=cls.runner)

    @classmethod
    def tearDownClass(cls):
        cls.bus.close()

    def ctl(self, *args, status=OK):
        p = subprocess.run([CTL, *args], env=self.bus.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
        self.assertEqual(p.returncode, status, (args, p.stdout, p.stderr))
        self.err = p.stderr.decode()
        return p.stdout

    def serve(self, request, shut=True, chunks=None):
        """What `metrics --http` answers on a socket: status line, headers, body."""
        ours, theirs = socket.socketpair()
        ours.settimeout(DEADLINE)
        p = subprocess.Popen([CTL, "metrics", "--http"], env=self.bus.env, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        theirs.close()
        data = b""
        try:
            for part in chunks or [request]:
                ours.sendall(part)
            if shut:
                ours.shutdown(socket.SHUT_WR)
            while part := ours.recv(65536):
                data += part
        except BrokenPipeError:
            # It has answered and gone, with some of this unread.
            try:
                while part := ours.recv(65536):
                    data += part
            except ConnectionResetError:
                pass
        except ConnectionResetError:
            pass
        ours.close()
        self.err = p.communicate(timeout=DEADLINE)[1].decode()
        self.assertEqual(p.returncode, OK, self.err)
        if not data:
            return None, {}, b""
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return lines[0], dict(l.split(": ", 1) for l in lines[1:]), body


class Metrics(Ctl):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bus.test("Add", "s", "m-1")
        cls.bus.test("Change", "su", "m-1", "3")

    def value(self, text, name, **labels):
        return openmetrics.values(text)[name, frozenset(labels.items())]

    def test_rules(self):
        self.assertEqual(openmetrics.check(self.ctl("metrics")), [])

    def test_values(self):
        text = self.ctl("metrics")
        for name, labels, value in (
                ("northflare_runner_info", {"version": "0.0-test", "runner_id": "r-1", "runner_uid": "ru-1"}, 1),
                ("northflare_runner_state", {"northflare_runner_state": "local"}, 1),
                ("northflare_runner_state", {"northflare_runner_state": "active"}, 0),
                ("northflare_runner_queued_events", {}, 3),
                ("northflare_runner_start_time_seconds", {}, 1.7e9),
                ("northflare_runner_conversations", {"agent": "shell", "state": "running"}, 1),
                ("northflare_runner_conversations", {"agent": "claude", "state": "running"}, 0),
                ("northflare_runner_conversations_ended_total", {"agent": "shell", "reason": "completed"}, 3),
                ("northflare_runner_conversations_cpu_seconds_total", {"agent": "shell"}, 1.5),
                ("northflare_runner_limit_hits_total", {"agent": "shell", "limit": "memoryMax"}, 2),
                ("northflare_runner_tokens_total", {"agent": "claude", "kind": "input"}, 1000),
                ("northflare_runner_cost_usd_total", {"agent": "claude"}, 0.125),
                ("northflare_runner_conversation_memory_bytes", {"conversation": "m-1", "agent": "shell"}, 3 << 20),
                ("northflare_runner_conversation_turns_total", {"conversation": "m-1", "agent": "shell"}, 3),
                ("northflare_runner_conversation_cost_usd_total", {"conversation": "m-1", "agent": "shell"}, 0.75)):
            with self.subTest(name=name, labels=labels):
                self.assertEqual(self.value(text, name, **labels), value)

    def test_what_is_not_known_is_left_out(self):
        names = {n for n, l in openmetrics.values(self.ctl("metrics")) if ("conversation", "first") in l}
        self.assertNotIn("northflare_runner_conversation_memory_bytes", names)
        self.assertIn("northflare_runner_conversation_turns_total", names)

    def test_conversations_have_series_while_they_live(self):
        def with_label():
            return {v for _, l in openmetrics.values(self.ctl("metrics")) for k, v in l if k == "conversation"}
        self.bus.test("Add", "s", "m-gone")
        self.assertIn("m-gone", with_label())
        self.bus.test("End", "s", "m-gone")
        self.assertNotIn("m-gone", with_label())

    def test_labels_are_few(self):
        allowed = {"version", "runner_id", "runner_uid", "northflare_runner_state", "agent", "state", "reason", "limit", "kind",
                   "conversation"}
        self.assertEqual({k for _, l in openmetrics.values(self.ctl("metrics")) for k, _ in l} - allowed, set())

    def test_no_more_than_so_many(self):
        self.bus.test("AddMany", "su", "many", "1100")
        self.addCleanup(self.bus.test, "RemoveMany", "s", "many")
        text = self.ctl("metrics")
        self.assertEqual(openmetrics.check(text), [])
        self.assertEqual(text.count(b"northflare_runner_conversation_turns_total{"), 1000)
        self.assertEqual(self.value(text, "northflare_runner_conversations_left_out"), 102)

    def test_all_are_documented(self):
        with open(os.path.join(DOCS, "metrics.md")) as f:
            documented = set(re.findall(r"^\| `(northflare_runner\w*)`", f.read(), re.M))
        text = self.ctl("metrics").decode()
        families = set(re.findall(r"^# TYPE (\S+)", text, re.M)) | {"northflare_runner_last_acknowledgement_time_seconds"}
        self.assertEqual(documented, families)


class Http(Ctl):
    def test_scrape(self):
        for request in (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
                        b"GET /metrics HTTP/1.0\r\n\r\n", b"GET /metrics?a=b HTTP/1.0\r\nContent-Length: 0\r\n\r\n"):
            with self.subTest(request=request):
                status, headers, body = self.serve(request)
                self.assertEqual(status, "HTTP/1.1 200 OK")
                self.assertEqual(headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.assertEqual(int(headers["Content-Length"]), len(body))
                self.assertEqual(headers["Connection"], "close")
                self.assertEqual(openmetrics.check(body), [])

    def test_a_client_that_waits_for_the_answer(self):
        self.assertEqual(self.serve(b"GET /metrics HTTP/1.0\r\n\r\n", shut=False)[0], "HTTP/1.1 200 OK")

    def test_byte_by_byte(self):
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        self.assertEqual(self.serve(None, chunks=[bytes([b]) for b in request])[0], "HTTP/1.1 200 OK")

    def test_head(self):
        status, headers, body = self.serve(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        self.assertEqual((status, body), ("HTTP/1.1 200 OK", b""))
        self.assertGreater(int(headers["Content-Length"]), 1000)

    def test_refused(self):
        wrong = {
            400: [b"x\r\n", b"GET /metrics\r\n\r\n", b"GET  /metrics HTTP/1.0\r\n\r\n", b"GET metrics HTTP/1.0\r\n\r\n",
                  b"GET /metrics HTTP/1.0\n\n", b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                  b"GET /metrics HTTP/1.0\r\nNo colon\r\n\r\n", b"GET /metrics HTTP/1.0\r\n folded\r\n\r\n",
                  b"GET /metrics HTTP/1.0\r\nBlank : x\r\n\r\n", b"GET /metrics HTTP/1.0\r\nX: a\0b\r\n\r\n", b"GET /met\0 HTTP/1.0\r\n\r\n",
                  b"GET /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", b"GET /metrics HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                  b"GET http://x/metrics HTTP/1.0\r\n\r\n", b"GET /metrics HTTP/1.0 \r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01\x02\x00\n",
                  b"GET /metrics HTTP/1.0\r\nX: y\r\n"],
            404: [b"GET / HTTP/1.0\r\n\r\n", b"GET /metrics/ HTTP/1.0\r\n\r\n", b"GET /../metrics HTTP/1.0\r\n\r\n",
                  b"GET /metric HTTP/1.0\r\n\r\n", b"GET /%6detrics HTTP/1.0\r\n\r\n"],
            405: [b"POST /metrics HTTP/1.0\r\n\r\n", b"get /metrics HTTP/1.0\r\n\r\n", b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"],
            431: [b"GET /metrics HTTP/1.0\r\nX: " + b"y" * 10000, b"GET /metrics HTTP/1.0\r\n" + b"A: b\r\n" * 65 + b"\r\n",
                  b"GET /" + b"x" * 20000],
            505: [b"GET /metrics HTTP/2.0\r\n\r\n", b"GET /metrics HTTP/1.9\r\n\r\n"],
        }
        for code, requests in wrong.items():
            for request in requests:
                with self.subTest(request=request[:60]):
                    status, headers, body = self.serve(request)
                    self.assertEqual(status.split()[1], str(code))
                    self.assertEqual(int(headers["Content-Length"]), len(body))
                    self.assertEqual("Allow" in headers, code == 405)

    def test_a_client_that_says_nothing_more(self):
        self.assertEqual(self.serve(b"GET /metr", shut=False)[0], "HTTP/1.1 408 Request Timeout")

    def test_a_client_that_goes_away(self):
        self.assertEqual(self.serve(b"")[0], None)


class Top(Ctl):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bus.test("Add", "s", "t-1")

    def test_once(self):
        text = self.ctl("top").decode()
        self.assertIn("2 of 16 conversations", text)
        self.assertRegex(text, r"(?m)^ID +STATE +AGENT +CPU% +TIME +MEMORY +TASKS +READ/S +WRITE/S +IN +OUT +COST +QUEUE$")
        self.assertRegex(text, r"(?m)^t-1 +idle +shell +- +[0-9.]+s +3\.0M +- ")
        self.assertRegex(text, r"(?m)^first +starting +shell( +-){6} ")
        self.assertNotIn("\033", text)

    def test_batch(self):
        # The fake's figures: a second of processor time in two seconds.
        text = self.ctl("top", "--batch", "-n", "3", "--delay=0").decode()
        self.assertEqual(re.findall(r"(?m)^t-1 +idle +shell +(\S+)", text), ["-", "50.0", "50.0"])
        self.assertEqual(len(re.findall(r"(?m)^Queue: 3 events, 300, oldest 0 s$", text)), 3)
        bare = self.ctl("top", "--batch", "-n", "2", "--delay=0", "--no-legend").decode()
        self.assertEqual([l.split()[0] for l in bare.splitlines() if l], ["first", "t-1", "t-1", "first"])

    def test_json(self):
        lines = [json.loads(l) for l in self.ctl("top", "--json=short", "-n", "2", "--delay=0").splitlines()]
        self.assertEqual(len(lines), 2)
        c = {o["id"]: o for o in lines[1]["conversations"]}["t-1"]
        self.assertEqual((c["cpuPercent"], c["memoryCurrent"], c["state"]), (50.0, 3 << 20, "idle"))
        self.assertEqual(lines[0]["runner"]["Capacity"], 16)
        self.assertEqual({o["agent"] for o in lines[0]["totals"]}, {"shell", "claude"})

    def test_mistakes(self):
        for args in (["top", "x"], ["top", "-n", "x"], ["top", "--delay=-1"], ["list", "--batch"], ["metrics", "x"], ["top", "--http"]):
            with self.subTest(args=args):
                self.ctl(*args, status=USAGE)
        self.assertEqual(self.ctl("top", "-n", "0"), b"")


    def test_on_a_terminal(self):
        t = Terminal({**self.bus.env, "NO_COLOR": "1"}, CTL, "top")
        seen = t.expect(r"q quits")
        self.assertTrue(seen.startswith("\033[?1049h"))
        self.assertRegex(seen, r"ID +STATE +AGENT")
        # By memory the one that has some comes first, by processor time it needs a second look.
        t.type("m")
        self.assertRegex(t.expect(r"q quits"), r"(?s)t-1 .*first ")
        t.type("q")
        self.assertIn("\033[?1049l", t.expect(r"1049l"))
        self.assertEqual(t.status(), OK)

    def test_the_terminal_is_as_it_was_after_a_signal(self):
        t = Terminal(self.bus.env, CTL, "top")
        t.expect(r"q quits")
        self.assertFalse(termios.tcgetattr(t.fd)[3] & termios.ECHO)
        os.kill(t.pid, signal.SIGTERM)
        t.expect(r"1049l")
        os.waitid(os.P_PID, t.pid, os.WEXITED | os.WNOWAIT)
        self.assertTrue(termios.tcgetattr(t.fd)[3] & termios.ECHO)
        self.assertEqual(t.status(), OK)

    def test_a_runner_that_goes_away_does_not_end_the_screen(self):
        bus = Bus(FAKE)
        self.addCleanup(bus.close)
        t = Terminal(bus.env, CTL, "top", "--delay=1")
        t.expect(r"q quits")
        bus.runner.kill()
        bus.runner.wait()
        t.expect(r"does not respond")
        bus.runner = bus.spawn([FAKE])
        bus.runner.stdout.readline()
        t.expect(r"q quits")
        t.type("q")
        self.assertEqual(t.status(), OK)


@unittest.skipUnless(shutil.which("systemd-stdio-bridge"), "needs systemd-stdio-bridge")
class Remote(Ctl):
    """As over -H: a stand-in for ssh starts what ssh starts."""

    def test_over_ssh(self):
        bridge = os.path.join(self.bus.dir, "ssh")
        with open(bridge, "w") as f:
            f.write("#!/bin/sh\nexec systemd-stdio-bridge -p '%s'\n" % self.bus.address)
        os.chmod(bridge, 0o755)
        self.bus.env["PATH"] = self.bus.dir + ":" + self.bus.env["PATH"]
        self.assertEqual(openmetrics.check(self.ctl("-H", "user@host", "metrics")), [])
        self.assertIn(b"first", self.ctl("-H", "user@host", "top"))


class Absent(Ctl):
    runner = False

    def test_absent(self):
        for args in (["top"], ["metrics"]):
            self.assertEqual(self.ctl(*args, status=NOT_RUNNING), b"")
            self.assertIn("systemctl start northflare-runner", self.err)

    def test_http(self):
        status, headers, body = self.serve(b"GET /metrics HTTP/1.0\r\n\r\n")
        self.assertEqual(status, "HTTP/1.1 503 Service Unavailable")
        self.assertIn("systemctl start northflare-runner", self.err)
        self.assertNotIn(b"# EOF", body)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
