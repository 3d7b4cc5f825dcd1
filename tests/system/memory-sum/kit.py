# SPDX-License-Identifier: MIT
"""What the scripts of this case share: the runner's memory, its bus, and the proxy between it and the orchestrator."""
import json
import socket
import subprocess
import sys
import time

sys.path.insert(0, "/src/tests/bus")
from rawbus import Connection  # noqa: E402

MIB = 1 << 20
NAME, MANAGER = "org.northflare.Runner1", "/org/northflare/Runner1"
MESSAGE_MAX = 16 * MIB
PROXY = "/run/nf-proxy.socket"


class Bus(Connection):
    """Keeps the descriptors that come."""

    def __init__(self):
        self.fds = []
        super().__init__("/run/dbus/system_bus_socket", timeout=120)

    def receive(self):
        data, fds, _, _ = socket.recv_fds(self.s, 1 << 20, 16)
        self.fds += fds
        self.buffer += data


def pid_of(unit):
    return int(subprocess.run(["systemctl", "show", "-P", "MainPID", unit], capture_output=True, text=True, check=True).stdout)


runner = pid_of("northflare-runner")


def memory(key):
    for text in open("/proc/%d/status" % runner):
        if text.startswith(key + ":"):
            return int(text.split()[1]) // 1024
    sys.exit("the runner has no " + key)


def until(what, function, seconds=120):
    end = time.monotonic() + seconds
    while not function():
        if time.monotonic() > end:
            sys.exit("not within %d s: %s" % (seconds, what))
        time.sleep(0.2)


def peak_of(function):
    """How much more the runner had than before at any time during that, in MiB."""
    open("/proc/%d/clear_refs" % runner, "w").write("5")
    before = memory("VmHWM")
    function()
    return memory("VmHWM") - before


def proxy(*words):
    """Asks the proxy for something that it has done when this returns."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(PROXY)
    s.sendall(" ".join(words).encode() + b"\n")
    answer = s.recv(100)
    s.close()
    return int(answer)


def inject(text):
    with open("/run/nf-inject", "w") as f:
        f.write(text)
    proxy("inject", "/run/nf-inject")


def envelope(name, method, values, size):
    """A message to a conversation that is not there, with so many values and nearly so many bytes."""
    p = {"conversationId": "none", "agent": "none", "map": {"k%d" % k: {} for k in range(values)}, "text": ""}
    e = {"id": name, "conversationId": "none", "payload": {"jsonrpc": "2.0", "id": name, "method": method, "params": p}}
    p["text"] = "t" * max(0, size - len(json.dumps(e, separators=(",", ":"))))
    return json.dumps(e, separators=(",", ":"))


def event(text):
    return "event: runner.message\ndata: %s\n\n" % text


def large_call():
    """Parameters as long as those of a call may be, and full of values: they are parsed, looked at and refused."""
    text = '{"conversationId":"large","agent":"long","mcpServers":{%s},"prompt":"' % ",".join('"k%d":{}' % n for n in range(65000))
    return text + "l" * (MESSAGE_MAX - len(text) - 2) + '"}'


def call_start(bus, text, *more):
    """With parameters as a text, and others beside them."""
    return bus.call(NAME, MANAGER, NAME + ".Manager", "StartConversation", "a{sv}", [[("json", ("s", text)), *more]])
