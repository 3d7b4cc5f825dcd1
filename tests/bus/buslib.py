# SPDX-License-Identifier: MIT
"""A private dbus-daemon with the fake runner on it, driven by busctl: nothing but the standard library."""

import itertools
import json
import os
import pty
import pwd
import re
import select
import shutil
import subprocess
import tempfile
import time

NAME = "org.northflare.Runner1"
MANAGER = "/org/northflare/Runner1"
CONVERSATION = "/org/northflare/Runner1/conversation/"
I_MANAGER = "org.northflare.Runner1.Manager"
I_CONVERSATION = "org.northflare.Runner1.Conversation"
PROPERTIES = "org.freedesktop.DBus.Properties"
NOBODY = 65534
# For what must come at all: a machine that is busy, with sanitizers or valgrind, takes its time.
DEADLINE = 60

# What the fake runner is told that its orchestrator refused; the second is an event of the runner itself.
SET_ASIDE = [
    {"messageId": "r:7.0", "conversationId": "c-1", "why": "the orchestrator responded with HTTP 400", "when": "2026-01-02T03:04:05Z",
     "size": 321},
    {"messageId": "own:1", "why": "the orchestrator responded with HTTP 413", "when": "2026-01-02T03:04:06Z", "size": 9}]

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>

<listen>unix:path={dir}/bus</listen>
<auth>EXTERNAL</auth>
{policy}
</busconfig>
"""

OPEN = """<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/><allow user="*"/></policy>"""

# What the system bus of every distribution starts from.
STRICT = """<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/></policy>
<policy user="root"><allow own="org.freedesktop.PolicyKit1"/><allow own="org.freedesktop.systemd1"/>
<allow own="org.northflare.Test1"/><allow send_destination="org.northflare.Test1"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/></policy>
<policy context="default"><allow send_destination="org.freedesktop.PolicyKit1"/>
<allow send_destination="org.freedesktop.systemd1"/></policy>
"""


class CallError(Exception):
    pass


class Bus:
    """One bus with one fake runner. user: the session mode of the runner."""

    def __init__(self, fake, policy=OPEN, user=False, runner=True):
        self.dir = tempfile.mkdtemp(prefix="nf-bus-")
        os.chmod(self.dir, 0o755)
        self.address = "unix:path=%s/bus" % self.dir
        self.env = dict(os.environ)
        for name in ("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "XDG_RUNTIME_DIR", "NO_COLOR", "PAGER"):
            self.env.pop(name, None)
        self.env["DBUS_SYSTEM_BUS_ADDRESS"] = self.env["DBUS_SESSION_BUS_ADDRESS"] = self.address
        self.env["LC_ALL"] = "C.UTF-8"
        config = os.path.join(self.dir, "bus.conf")
        with open(config, "w") as f:
            f.write(CONFIG.format(dir=self.dir, policy=policy))
        self.processes = []
        daemon = self.spawn(["dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile", "--print-address=1"])
        if not daemon.stdout.readline():
            raise RuntimeError("dbus-daemon does not start")
        self.runner = None
        if runner:
            self.runner = self.spawn([fake] + (["--user"] if user else []))
            if self.runner.stdout.readline() != b"ready\n":
                raise RuntimeError("the fake runner does not start")

    def spawn(self, argv):
        p = subprocess.Popen(argv, env=self.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.processes.append(p)
        return p

    def close(self):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            p.wait(DEADLINE)
            p.stdout.close()
        shutil.rmtree(self.dir)

    def busctl(self, *args, uid=None, gid=None):
        argv = ["busctl", "--address=" + self.address, "--json=short", "--timeout=%d" % DEADLINE, *args]
        if uid is not None:
            argv = as_user(uid, gid) + argv
        p = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=2 * DEADLINE)
        if p.returncode != 0:
            raise CallError(p.stderr.strip())
        return json.loads(p.stdout)["data"] if p.stdout.strip() else None

    def call(self, path, interface, method, *args, uid=None, gid=None, name=NAME, options=()):
        return self.busctl(*options, "call", name, path, interface, method, *args, uid=uid, gid=gid)

    def error_text(self, path, interface, method, *args, uid=None, gid=None):
        """What a call is refused with: busctl has its own words for the errors that matter most here."""
        p = subprocess.run(
            (as_user(uid, gid) if uid is not None else []) +
            ["dbus-send", "--bus=" + self.address, "--dest=" + NAME, "--print-reply", path, interface + "." + method, *args],
            env=self.env, capture_output=True, text=True, timeout=DEADLINE)
        return p.stderr.strip() if p.returncode else ""

    def test(self, method, *args):
        return self.call("/test", "org.northflare.Test1", method, *args, name="org.northflare.Test1")

    def set(self, name, value):
        self.test("Set", "ss", name, value)

    def last_call(self):
        text = self.test("LastCall")[0]
        if not text:
            return None
        method, caller, params = text.split("|", 2)
        return method, caller, json.loads(params)

    def get(self, path, interface, name, uid=None):
        return self.busctl("get-property", NAME, path, interface, name, uid=uid)

    def alive(self):
        return self.runner.poll() is None


def as_user(uid, gid=None):
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % (gid or uid), "--clear-groups"]


class Monitor:
    """Signals of the bus, as they come."""
    marks = itertools.count()

    def __init__(self, bus, match):
        self.p = subprocess.Popen(
            ["busctl", "--address=" + bus.address, "--json=short", "monitor", "--match=" + match],
            env=bus.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.buffer = b""
        # Not every busctl says when it listens: a signal of ours that it shows does.
        deadline = time.monotonic() + DEADLINE
        while not self.wait(0.1):
            if time.monotonic() > deadline:
                raise RuntimeError("busctl monitor does not start")
            bus.set("state", "probe-%d" % next(self.marks))
        # However many of them it saw, or will yet see: none of them comes behind this one.
        last = "listening-%d" % next(self.marks)
        bus.set("state", last)
        self.until(lambda m: m["member"] == "PropertiesChanged" and m["payload"]["data"][1].get("State", {}).get("data") == last)

    def wait(self, seconds):
        return bool(select.select([self.p.stdout], [], [], seconds)[0])

    def line(self):
        while b"\n" not in self.buffer:
            if not self.wait(DEADLINE):
                raise RuntimeError("no signal came")
            data = os.read(self.p.stdout.fileno(), 65536)
            if not data:
                raise RuntimeError("the monitor ended early")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def until(self, done):
        """All signals up to the first for which done() holds."""
        seen = []
        while True:
            m = json.loads(self.line())
            if m.get("type") != "signal":
                continue
            seen.append(m)
            if done(m):
                return seen

    def close(self):
        self.p.terminate()
        self.p.wait(DEADLINE)
        self.p.stdout.close()


def path_of(conversation):
    return CONVERSATION + re.sub(r"[^A-Za-z0-9]|^(?=[0-9])[0-9]", lambda m: "_%02x" % ord(m.group()), conversation)


def can_change_user():
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


def nobody_name():
    return pwd.getpwuid(NOBODY).pw_name


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, env, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, {**env, "TERM": "xterm"})
        self.seen = ""

    def expect(self, pattern):
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, self.seen):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("no %r in %r" % (pattern, self.seen))
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError("no %r in %r, and it ended" % (pattern, self.seen))
            self.seen += data.decode(errors="replace")
        seen, self.seen = self.seen, ""
        return seen

    def type(self, text):
        os.write(self.fd, text.encode())

    def status(self):
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
