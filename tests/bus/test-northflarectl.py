# SPDX-License-Identifier: MIT
"""northflarectl against the fake runner: every verb, its exit status, and what reaches a terminal."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import rawbus
from buslib import *

FAKE, CTL = sys.argv[1], sys.argv[2]

OK, FAILED, USAGE, NOT_RUNNING, NO_CONVERSATION, DENIED, RUN_FAILED = 0, 1, 2, 3, 4, 5, 125


class Ctl(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(FAKE)

    @classmethod
    def tearDownClass(cls):
        try:
            if not cls.bus.alive():
                raise AssertionError("the fake runner died")
        finally:
            cls.bus.close()

    def ctl(self, *args, status=OK, stdin="", uid=None, env=None):
        p = subprocess.run(
            (as_user(uid) if uid is not None else []) + [CTL, *args], env={**self.bus.env, **(env or {})},
            input=stdin, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(p.returncode, status, (args, p.stdout, p.stderr))
        self.err = p.stderr
        return p.stdout

    def add(self, name):
        self.bus.test("Add", "s", name)
        self.bus.last_call()
        return name

    def wait_for(self, name, state):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                if self.bus.get(path_of(name), I_CONVERSATION, "State") == state:
                    return
            except CallError:
                pass
        self.fail("%s is not %s" % (name, state))


class Usage(Ctl):
    def test_help(self):
        text = self.ctl("--help")
        self.assertEqual(self.err, "")
        self.assertEqual(text, self.ctl("-h"))
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80, line)
        for verb in ("status", "list", "show", "run", "send", "attach", "interrupt", "stop", "logs", "freeze", "thaw", "set-property", "events",
                     "drain", "undrain", "reload", "answer", "permissions", "audit"):
            self.assertRegex(text, r"\b%s\b" % verb)
        self.assertRegex(self.ctl("--version"), r"^northflarectl \d")

    def test_mistakes(self):
        for args in (["--nonsense"], ["nonsense"], ["show"], ["send", "x"], ["status", "x"], ["attach", "a", "b"],
                     ["list", "--json=loud"], ["stop", "first", "--grace=soon"], ["list", "--agent=x"], ["-H", "a", "-M", "b"],
                     ["answer", "first", "maybe"], ["events"], ["events", "first", "--set-aside"], ["events", "first", "--resend"],
                     ["audit", "first", "second"], ["audit", "--lines=0"], ["audit", "--lines=20001"], ["audit", "--follow"],
                     ["events", "--set-aside", "-f"], ["events", "--set-aside", "--cursor=end"], ["list", "--set-aside"],
                     ["-H", "a", "--user"]):
            with self.subTest(args=args):
                self.assertEqual(self.ctl(*args, status=USAGE), "")
                self.assertEqual(self.err.count("\n"), 1, self.err)


class Verbs(Ctl):
    def test_status(self):
        text = self.ctl("status")
        self.assertIn("local (no orchestrator configured)", text)
        self.assertIn("of 16", text)
        self.assertNotIn("\033", text)
        self.assertEqual(text, self.ctl())
        o = json.loads(self.ctl("status", "--json=short"))
        self.assertEqual((o["Version"], o["Capacity"], o["Active"]), ("0.0-test", 16, True))
        self.assertIn("\n", self.ctl("status", "--json=pretty").strip())

    def test_list(self):
        self.add("list-1")
        text = self.ctl("list")
        self.assertRegex(text, r"(?m)^ID +STATE +AGENT +TASK +STARTED +LAST EVENT$")
        self.assertRegex(text, r"(?m)^list-1 +idle +shell +t-1 ")
        bare = self.ctl("list", "--no-legend")
        self.assertNotIn("STATE", bare)
        self.assertIn("list-1", [l.split()[0] for l in bare.splitlines()])
        rows = {o["id"]: o for o in json.loads(self.ctl("list", "--json=short"))}
        self.assertEqual(rows["list-1"]["state"], "idle")
        self.bus.test("End", "s", "list-1")
        self.assertNotIn("list-1", self.ctl("list"))
        self.assertIn("list-1", self.ctl("list", "--all"))

    def test_show(self):
        self.add("show-1")
        self.assertRegex(self.ctl("show", "show-1"), r"(?m)^scope: northflare-conversation-show-1-1.scope$")
        self.assertEqual(json.loads(self.ctl("--json=short", "show", "show-1"))["id"], "show-1")
        self.ctl("show", "none", status=NO_CONVERSATION)
        self.assertEqual(self.err, 'There is no conversation "none" here.\n')

    def test_send(self):
        self.add("send-1")
        self.ctl("send", "send-1", "hello", "there")
        self.assertEqual(self.bus.last_call()[::2], ("message.user", {"conversationId": "send-1", "content": "hello there"}))
        self.ctl("send", "send-1", "-", stdin="from\nstdin\n")
        self.assertEqual(self.bus.last_call()[2]["content"], "from\nstdin\n")
        self.ctl("send", "send-1", "-", stdin="", status=FAILED)
        self.ctl("send", "none", "x", status=NO_CONVERSATION)

    def test_one_call_verbs(self):
        self.add("one-1")
        for args, wire in ((["interrupt", "one-1"], "conversation.interrupt"), (["freeze", "one-1"], "conversation.freeze"),
                           (["thaw", "one-1"], "conversation.thaw"), (["drain"], "runner.drain"), (["undrain"], "runner.undrain")):
            self.assertEqual(self.ctl(*args), "")
            self.assertEqual(self.bus.last_call()[0], wire)

    def test_drain_within(self):
        self.assertEqual(self.ctl("drain", "--deadline", "90"), "")
        self.assertEqual(self.bus.last_call()[::2], ("runner.drain", {"deadlineSecs": 90}))
        self.ctl("drain", "--deadline", "4294967296", status=USAGE)
        self.ctl("drain", "--deadline", "soon", status=USAGE)
        self.ctl("undrain", "--wait", status=USAGE)

    def test_set_property(self):
        self.add("set-1")
        self.assertEqual(self.ctl("set-property", "set-1", "MemoryMax=2G", "CPUWeight=20", "CPUQuota=150%", "MemorySwapMax=0"), "")
        self.assertEqual(self.bus.last_call()[::2], ("conversation.config", {"conversationId": "set-1", "limits": {
            "memoryMax": 2 << 30, "cpuWeight": 20, "cpuQuotaPercent": 150, "memorySwapMax": 0}}))
        before = self.bus.last_call()
        for bad in ("MemoryMax", "MemoryMax=", "MemoryMax=-1", "MemoryMax=2X", "MemoryMax=2 G", "MemoryMax=G", "TasksMax=5K",
                    "CPUQuota=50", "CPUQuota=%", "Memory=1", "MemoryMaxi=1", "memoryMax=1", "RuntimeMaxSec=5",
                    "MemoryMax=18014398509481984K", "MemoryMax=99999999999999999999", "TasksMax=" + "1" * 40):
            with self.subTest(bad=bad):
                self.ctl("set-property", "set-1", bad, status=USAGE)
        self.assertEqual(self.bus.last_call(), before)
        self.ctl("set-property", "set-1", status=USAGE)
        self.ctl("set-property", "none", "TasksMax=1", status=NO_CONVERSATION)

    def test_stop(self):
        self.add("stop-1")
        self.add("stop-2")
        self.ctl("stop", "stop-1", "stop-2", "--reason=enough", "--grace=100")
        self.assertEqual(self.bus.last_call()[2]["graceMs"], 100)
        rows = {o["id"]: o["state"] for o in json.loads(self.ctl("list", "--all", "--json=short"))}
        self.assertEqual((rows["stop-1"], rows["stop-2"]), ("ended", "ended"))
        self.ctl("stop", "none", status=NO_CONVERSATION)

    def test_reload(self):
        self.ctl("reload")
        self.assertIn("dataDir", self.err)
        self.assertEqual(json.loads(self.ctl("reload", "--json=short")), ["dataDir"])
        self.bus.set("error", "runner.json:3: nonsense")
        self.ctl("reload", status=FAILED)
        self.assertEqual(self.err, "runner.json:3: nonsense\n")

    def test_permissions_and_answer(self):
        self.add("ask-1")
        self.assertIn("No questions", self.ctl("permissions"))
        self.ctl("answer", "ask-1", "allow", status=FAILED)
        self.ctl("send", "ask-1", "ask")
        self.assertRegex(self.ctl("permissions"), r"(?m)^ask-1 +r:q1 +Bash +Run rm$")
        self.assertEqual(json.loads(self.ctl("permissions", "ask-1", "--json=short"))[0]["requestId"], "r:q1")
        self.ctl("answer", "ask-1", "deny", "--message=never")
        self.assertEqual(self.bus.last_call()[2], {
            "conversationId": "ask-1", "message": "never", "requestId": "r:q1", "behavior": "deny"})
        self.ctl("answer", "ask-1", "r:q9", "allow")
        self.assertEqual(self.bus.last_call()[2]["requestId"], "r:q9")

    def test_events(self):
        self.add("ev-1")
        self.ctl("send", "ev-1", "one")
        lines = [json.loads(l) for l in self.ctl("events", "ev-1").splitlines()]
        self.assertEqual(lines[0]["params"]["event"]["delta"], "one")
        cursor = re.search(r"cursor: (\S+)", self.err).group(1)
        self.assertEqual(self.ctl("events", "ev-1", "--cursor=" + cursor), "")
        self.ctl("events", "ev-1", "--cursor=bad", status=FAILED)
        self.ctl("events", "none", status=NO_CONVERSATION)

    def put_event(self, name, text):
        c = rawbus.Connection(self.bus.dir + "/bus", timeout=DEADLINE)
        m = c.call("org.northflare.Test1", "/test", "org.northflare.Test1", "Event", "ss", [name, text])
        c.close()
        self.assertEqual(m.kind, rawbus.RETURN, m.error)

    def agent_event(self, **event):
        return json.dumps({"jsonrpc": "2.0", "method": "message.agent", "params": {"messageId": "r:long", "event": event}},
                          ensure_ascii=False)

    def test_events_that_are_cut_are_put_together(self):
        self.add("cut-1")
        long = self.agent_event(type="text", delta="ä€😀" * 400000)
        for text in (self.agent_event(type="text", delta="before"), long, long, self.agent_event(type="text", delta="behind")):
            self.put_event("cut-1", text)
        lines = self.ctl("events", "cut-1").splitlines()
        self.assertEqual([len(l) for l in lines[1:3]], [len(long)] * 2)
        self.assertEqual(lines[1:3], [long, long])
        self.assertIn("behind", lines[3])
        self.assertEqual(len(lines), 4)

    def test_a_question_that_is_cut(self):
        self.add("cut-2")
        question = {"messageId": "r:q9", "tool": "Bash", "title": "Run it", "input": {"command": "z" * 200000}}
        self.put_event("cut-2", json.dumps({"jsonrpc": "2.0", "method": "permission.request", "params": question}))
        self.bus.test("State", "ss", "cut-2", "waiting-permission")
        self.addCleanup(self.bus.test, "State", "ss", "cut-2", "idle")
        self.assertRegex(self.ctl("permissions", "cut-2"), r"Bash +20\d{4} bytes of input: northflarectl permissions --all")
        self.assertEqual(json.loads(self.ctl("permissions", "--all", "cut-2"))["params"], question)
        text = self.ctl("show", "cut-2")
        self.assertRegex(text, r"size: 20\d{4}")
        self.assertIn("northflarectl permissions --all cut-2", text)
        p = subprocess.run([CTL, "attach", "cut-2"], env=self.bus.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE)
        self.assertRegex(p.stderr, r"input: 20\d{4} bytes, of which this is the beginning; northflarectl permissions --all")
        self.assertRegex(p.stderr, r'│ \{ ?"command": ?"zzz')

    def test_an_event_of_very_many_values_takes_little_memory(self):
        self.add("values")
        text = self.agent_event(type="tool_call", name="Many", input={"x": []}).replace("[]", "[" + "{}," * 1700000 + "{}]")
        self.put_event("values", text)
        for args in (["events", "--no-legend", "values"], ["events", "--no-legend", "--json=pretty", "values"], ["attach", "--all", "values"]):
            with self.subTest(args=args):
                p = subprocess.Popen([CTL, *args], env=self.bus.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)
                out = p.stdout.read().decode()
                p.stdout.close()
                _, status, usage = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
                self.assertEqual(p.returncode, 0, out[-300:])
                self.assertLess(usage.ru_maxrss, 400 << 10)
                if args[0] == "events":
                    self.assertEqual(out, text + "\n")
                else:
                    self.assertIn("(detached", out)

    def test_events_follow(self):
        self.add("ev-2")
        p = subprocess.Popen([CTL, "events", "-f", "ev-2"], env=self.bus.env, stdout=subprocess.PIPE, text=True)
        self.bus.test("Event", "ss", "ev-2", '{"n":1}')
        self.assertEqual(p.stdout.readline(), '{"n":1}\n')
        self.bus.test("End", "s", "ev-2")
        self.assertIn("conversation.ended", p.stdout.readline())
        self.assertEqual(p.wait(DEADLINE), OK)
        p.stdout.close()

    def test_events_set_aside(self):
        def clean():
            self.bus.set("set-aside", "[]")
            self.bus.set("orchestrator", "")
        self.addCleanup(clean)
        self.assertEqual(self.ctl("events", "--set-aside"), "No refused events.\n")
        self.assertEqual(json.loads(self.ctl("events", "--set-aside", "--json=short")), [])
        self.assertNotIn("Set aside", self.ctl("status"))
        self.ctl("events", "--set-aside", "--resend", status=FAILED)
        self.assertEqual(self.err, "No orchestrator is configured that events could be sent to.\n")

        self.bus.set("orchestrator", "https://orchestrator.example.org")
        self.bus.set("set-aside", json.dumps(SET_ASIDE))
        text = self.ctl("events", "--set-aside")
        self.assertRegex(text, r"(?m)^WHEN +CONVERSATION +MESSAGE ID +SIZE +WHY$")
        self.assertRegex(text, r"(?m)^2026-01-02T03:04:05Z +c-1 +r:7\.0 +321 +the orchestrator responded with HTTP 400$")
        self.assertRegex(text, r"(?m)^2026-01-02T03:04:06Z +- +own:1 +9 +the orchestrator responded with HTTP 413$")
        self.assertIn("2 refused events.", text)
        self.assertEqual(json.loads(self.ctl("events", "--set-aside", "--json=pretty")), SET_ASIDE)
        self.assertRegex(self.ctl("status"), r"Set aside: 2 events that .* northflarectl events --set-aside")
        self.assertEqual(self.ctl("events", "--set-aside", "--resend"), "")
        self.assertRegex(self.err, r"^2 events are sent again; ")
        self.assertNotIn("Set aside", self.ctl("status"))
        self.assertEqual(json.loads(self.ctl("events", "--set-aside", "--resend", "--json=short")), {"count": 0})
        self.ctl("events", "--set-aside", "--resend")
        self.assertEqual(self.err, "No events are set aside.\n")

    def test_audit(self):
        self.add("audited")
        self.ctl("interrupt", "audited")
        for _ in range(2):
            self.ctl("drain")
        self.ctl("undrain")
        text = self.ctl("audit")
        self.assertRegex(text, r"(?m)^WHEN +WHO +WHAT +CONVERSATION +VERDICT +DETAIL$")
        me = r"uid %d northflarectl\S*" % os.geteuid()
        self.assertRegex(text, r"(?m)^2026-01-02T03:04:05\.000Z +%s.* Interrupt +audited +allowed" % me)
        self.assertRegex(text, r"(?m) Drain +- +allowed")
        self.assertEqual(len(self.ctl("audit", "--lines=3", "--no-legend").splitlines()), 3)
        self.assertEqual([w["method"] for w in json.loads(self.ctl("audit", "audited", "--json=short"))], ["Interrupt"])
        self.assertEqual(self.ctl("audit", "nobody-knows-it"), "No lines.\n")

    def test_workspace(self):
        text = self.ctl("workspace", "list")
        self.assertRegex(text, r"(?m)^ID +USER +SIZE +BRANCH +IN USE BY +LAST USED$")
        self.assertRegex(text, r"(?m)^w-1 +northflare-agent +1\.5M +main +first +2026-01-02T03:04:05\.000Z$")
        self.assertIn("2 workspaces.", text)
        self.assertEqual([o["id"] for o in json.loads(self.ctl("workspace", "list", "--json=short"))], ["w-1", "w-2"])
        self.assertRegex(self.ctl("workspace", "show", "w-1"), r"(?m)^  branch: main$|^bytes: 1572864$")
        self.assertEqual(json.loads(self.ctl("workspace", "show", "w-2", "--json=pretty"))["id"], "w-2")
        self.ctl("workspace", "show", "x", status=NO_CONVERSATION)
        self.assertEqual(self.err, 'There is no workspace "x" here.\n')
        self.bus.last_call()
        self.ctl("workspace", "remove", "w-1", status=FAILED)
        self.assertIn("uncommitted", self.err)
        self.assertIsNone(self.bus.last_call())
        self.assertEqual(self.ctl("workspace", "remove", "w-1", "--force"), "")
        self.assertEqual(self.bus.last_call()[0], "remove")
        for args in (["workspace"], ["workspace", "x"], ["workspace", "list", "x"], ["workspace", "show"], ["workspace", "remove"],
                     ["workspace", "list", "--force"], ["list", "--force"]):
            self.ctl(*args, status=USAGE)

    def test_logs_elsewhere(self):
        self.ctl("-H", "host", "logs", "c", status=FAILED)
        self.assertIn("ssh host northflarectl logs c", self.err)

    @unittest.skipUnless(can_change_user(), "needs root and setpriv")
    def test_denied(self):
        os.chmod(self.bus.dir, 0o755)
        self.bus.set("polkit", "no")
        if not os.access(CTL, os.X_OK) or subprocess.run(as_user(NOBODY) + [CTL, "--version"], capture_output=True).returncode:
            self.skipTest("the program lies where others cannot run it")
        self.ctl("drain", uid=NOBODY, status=DENIED)
        self.assertIn("Not authorized", self.err)
        self.assertIn("first", self.ctl("list", uid=NOBODY))
        self.bus.set("polkit", "yes")


def blocks_interrupt(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"SigBlk:\s*(\w+)", f.read()).group(1), 16) & (1 << (signal.SIGINT - 1))


class Run(Ctl):
    def test_output_and_status(self):
        self.assertEqual(self.ctl("run", "echo", "hi"), "echo hi")
        self.assertEqual(self.err, "")
        self.ctl("run", "--", "exit 7", status=7)
        self.ctl("run", "exit 0")
        self.ctl("run", "kill", status=137)
        self.assertEqual(self.bus.last_call()[0], "conversation.stop")

    def test_options_end_at_the_script(self):
        self.assertEqual(self.ctl("run", "ls", "-l", "--agent=x"), "ls -l --agent=x")

    def test_streams_are_apart(self):
        self.assertEqual(self.ctl("run", "err"), "")
        self.assertEqual(self.err, "err")

    def test_conversation_is_over_afterwards(self):
        self.ctl("run", "--id=run-over", "x")
        rows = {o["id"]: o["state"] for o in json.loads(self.ctl("list", "--all", "--json=short"))}
        self.assertEqual(rows["run-over"], "ended")

    def test_parameters(self):
        given = self.ctl(
            "run", "--detach", "--agent=claude", "--workspace=w", "--directory=sub", "--repository=https://e.org/r",
            "--branch=main", "--model=m", "--task=t-9", "--id=run-p", "do it").strip()
        self.assertEqual(given, "run-p")
        self.assertEqual(self.bus.last_call()[2], {
            "agent": "claude", "workspaceId": "w", "directory": "sub", "repository": {"url": "https://e.org/r", "branch": "main"},
            "model": "m", "taskId": "t-9", "conversationId": "run-p", "prompt": "do it"})
        self.ctl("run", "--detach", "--directory=.", "x")
        self.assertEqual(self.bus.last_call()[2]["directory"], os.getcwd())

    def test_json(self):
        lines = [json.loads(l) for l in self.ctl("run", "--json=short", "exit 3", status=3).splitlines()]
        self.assertEqual(lines[-1]["params"]["event"]["exitCode"], 3)

    def test_refused(self):
        self.bus.set("error", json.dumps({"code": -32003, "message": "full"}))
        self.ctl("run", "x", status=RUN_FAILED)
        self.assertEqual(self.err, "full\n")
        self.ctl("run", "", status=RUN_FAILED)

    def test_ended_by_somebody_else(self):
        p = subprocess.Popen([CTL, "run", "--id=run-gone", "wait"], env=self.bus.env, stderr=subprocess.PIPE, text=True)
        self.wait_for("run-gone", "running")
        self.bus.test("End", "s", "run-gone")
        self.assertIn("ended before the turn did", p.communicate(timeout=DEADLINE)[1])
        self.assertEqual(p.returncode, RUN_FAILED)

    def test_signals(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            name = "run-s%d" % number
            p = subprocess.Popen([CTL, "run", "--id=" + name, "wait"], env=self.bus.env)
            self.wait_for(name, "running")
            # Before that a signal would simply end it.
            while not blocks_interrupt(p.pid):
                pass
            p.send_signal(number)
            self.assertEqual(p.wait(DEADLINE), status)
            self.wait_for(name, "ended")

    def test_reader_goes_away(self):
        p = subprocess.Popen([CTL, "run", "--id=run-pipe", "x" * 100], env=self.bus.env, stdout=subprocess.PIPE)
        p.stdout.close()
        p.wait(DEADLINE)
        self.wait_for("run-pipe", "ended")


class OnTerminal(Ctl):
    HOSTILE = "a\033[2Jb\033]0;title\007c\033]52;c;x\033\\d\u009b31me\u202ef\x08g\rh"

    def terminal(self, *args):
        return Terminal(self.bus.env, CTL, *args)

    def text_event(self, text):
        return json.dumps({"jsonrpc": "2.0", "method": "message.agent", "params": {"messageId": "m", "event": {
            "type": "text", "delta": text, "stream": "stdout"}}})

    def test_control_sequences_stay_out(self):
        t = self.terminal("run", self.HOSTILE + "END")
        seen = t.expect("END")
        self.assertEqual(t.status(), OK)
        self.assertIn("abcde\ufffdf\ufffdg\r\nhEND", seen)
        self.assertNotIn("\033", seen)

    def test_pipes_get_what_was_written(self):
        self.assertEqual(self.ctl("run", "a\033[31mb"), "a\033[31mb")

    def test_events_are_sanitised(self):
        self.add("t-ev")
        self.bus.test("Event", "ss", "t-ev", '{"t":"\u009b31mX\u202eY"}')
        t = self.terminal("--no-pager", "events", "t-ev")
        seen = t.expect("Y")
        self.assertNotIn("\u202e", seen)
        self.assertNotIn("\u009b", seen)
        self.assertEqual(t.status(), OK)

    def test_colours(self):
        t = self.terminal("--no-pager", "status")
        self.assertIn("\033[32m", t.expect("of 16"))
        t.status()
        t = Terminal({**self.bus.env, "NO_COLOR": "1"}, CTL, "--no-pager", "status")
        self.assertNotIn("\033", t.expect("of 16"))
        t.status()

    def test_pager(self):
        def shown(env, *args):
            t = Terminal({**self.bus.env, "NO_COLOR": "1", **env}, CTL, *args)
            seen = t.expect("conversations?\\.")
            self.assertEqual(t.status(), OK)
            return re.findall(r"(?m)^(\w*:)?ID ", seen)[0]
        paged = {"PAGER": "sed s/^/one:/"}
        self.assertEqual(shown(paged, "list"), "one:")
        self.assertEqual(shown({**paged, "SYSTEMD_PAGER": "sed s/^/two:/"}, "list"), "two:")
        self.assertEqual(shown({**paged, "SYSTEMD_PAGER": ""}, "list"), "")
        self.assertEqual(shown({"PAGER": "cat"}, "list"), "")
        self.assertEqual(shown(paged, "--no-pager", "list"), "")
        # A file or a pipe gets it as it is.
        self.assertRegex(self.ctl("list", env=paged), r"(?m)^ID ")

    def test_attach(self):
        self.add("t-chat")
        t = self.terminal("attach", "t-chat")
        t.expect(r"t-chat is idle.*Ctrl-D leaves it running[^\n]*\n")
        t.type("hello agent\n")
        t.expect(r"hello agent\r\n[^\n]*hello agent")
        t.type("exit 3\n")
        t.expect("exit status 3")
        t.type("\x04")
        t.expect("the conversation continues")
        self.assertEqual(t.status(), OK)
        self.assertEqual(self.bus.get(path_of("t-chat"), I_CONVERSATION, "State"), "idle")

    def test_attach_answers_by_a_key(self):
        self.add("t-ask")
        t = self.terminal("attach", "t-ask")
        t.expect(r"leaves it running[^\n]*\n")
        t.type("ask\n")
        seen = t.expect(r"\[l\]ater\?")
        self.assertIn("The agent asks: Bash: Run rm", seen)
        self.assertIn("│ rm x", seen)
        t.type("xa")
        t.expect("allowed")
        call = self.bus.last_call()
        deadline = time.monotonic() + DEADLINE
        while (not call or call[0] != "permission.respond") and time.monotonic() < deadline:
            call = self.bus.last_call()
        self.assertEqual(call[2], {"conversationId": "t-ask", "requestId": "r:q1", "behavior": "allow"})
        t.type("\x04")
        self.assertEqual(t.status(), OK)

    def test_attach_shows_questions_that_wait(self):
        self.add("t-old")
        self.ctl("send", "t-old", "ask")
        t = self.terminal("attach", "t-old")
        t.expect(r"\[l\]ater\?")
        t.type("d")
        t.expect("denied")
        t.type("\x04")
        t.status()

    def test_attach_interrupts(self):
        self.add("t-int")
        t = self.terminal("attach", "t-int")
        t.expect(r"leaves it running[^\n]*\n")
        t.type("wait\n")
        self.wait_for("t-int", "running")
        t.type("\x03")
        t.expect("turn ended by signal 2")
        self.bus.test("End", "s", "t-int")
        t.expect("conversation ended: completed")
        self.assertEqual(t.status(), OK)

    def test_attach_from_a_pipe(self):
        self.add("t-pipe")
        self.ctl("attach", "t-pipe", stdin="from a pipe\n")
        self.assertEqual(self.bus.last_call()[2]["content"], "from a pipe")
        self.bus.set("error", json.dumps({"code": -32010, "message": "it has ended"}))
        self.ctl("attach", "t-pipe", stdin="more", status=FAILED)
        self.assertIn("it has ended", self.err)


@unittest.skipUnless(shutil.which("systemd-stdio-bridge"), "needs systemd-stdio-bridge")
class Remote(Ctl):
    """ReadEvents and its signal, as over -H: a stand-in for ssh starts what ssh starts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        bridge = os.path.join(cls.bus.dir, "ssh")
        with open(bridge, "w") as f:
            f.write("#!/bin/sh\nexec systemd-stdio-bridge -p '%s'\n" % cls.bus.address)
        os.chmod(bridge, 0o755)
        cls.bus.env["PATH"] = cls.bus.dir + ":" + cls.bus.env["PATH"]

    def test_list(self):
        self.assertIn("first", self.ctl("-H", "user@host", "list"))

    def test_run(self):
        self.assertEqual(self.ctl("-H", "host", "run", "over there"), "over there")
        self.ctl("-H", "host", "run", "exit 9", status=9)


class Absent(Ctl):
    @classmethod
    def setUpClass(cls):
        cls.bus = Bus(FAKE, runner=False)

    @classmethod
    def tearDownClass(cls):
        cls.bus.close()

    def test_sentence(self):
        for args, hint in ((["status"], "systemctl start northflare-runner"),
                           (["--user", "list"], "systemctl --user start northflare-runner")):
            self.ctl(*args, status=NOT_RUNNING)
            self.assertEqual(self.err.count("\n"), 1)
            self.assertIn(hint, self.err)
        self.ctl("run", "x", status=RUN_FAILED)

    def test_no_bus(self):
        self.ctl("status", status=NOT_RUNNING, env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})


class Restart(Ctl):
    @classmethod
    def tearDownClass(cls):
        cls.bus.close()

    def test_attach_survives_a_restart(self):
        self.add("again")
        self.bus.test("Event", "ss", "again", '{"method":"x","params":{"messageId":"1"},"n":1}')
        p = subprocess.Popen([CTL, "events", "-f", "again"], env=self.bus.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn('"n":1', p.stdout.readline())
        self.bus.runner.kill()
        self.bus.runner.wait()
        self.assertIn("waiting for it", p.stderr.readline())
        self.bus.runner = self.bus.spawn([FAKE])
        self.bus.runner.stdout.readline()
        self.bus.test("Add", "s", "again")
        for i in (1, 2):
            self.bus.test("Event", "ss", "again", '{"method":"x","params":{"messageId":"%d"},"n":%d}' % (i, i))
        self.assertIn('"n":2', p.stdout.readline())
        self.bus.test("End", "s", "again")
        self.assertEqual(p.wait(DEADLINE), OK)
        p.stdout.close()
        p.stderr.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
