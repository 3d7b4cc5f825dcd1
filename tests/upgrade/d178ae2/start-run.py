#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Starts a run as the launcher of commit d178ae2 did: src/launcher/task.c (make_scope), child.c and agent-half.c of that
commit, in their order. It does not use the installed launcher, which may be another one's.

    start-run.py SUPERVISOR ID RUN USER KEY CWD PROPERTIES -- ARGV…

SUPERVISOR is the program of that commit; USER and KEY the workspace's agent user and directory, CWD below it; PROPERTIES
further ones of the scope, as busctl takes them, e.g. "TasksMax t 50". The run's directory is there, with spec.json,
in.log and bell. Returns when the agent's program runs.
"""
import array
import ctypes
import fcntl
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import time

supervisor, ident, run, user, key, cwd, properties = sys.argv[1:8]
argv = sys.argv[9:]
unit = f"northflare-conversation-{ident}-{run}.scope"
directory = f"/var/lib/northflare/conversations/{ident}/{run}"
OUT_LOG_MAX = 1 << 30
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, F_SETSIG = 1, 38, 10
libc = ctypes.CDLL(None, use_errno=True)


def prctl(option, value):
    if libc.prctl(option, value, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def drop(name):
    p = pwd.getpwnam(name)
    os.setgroups(os.getgrouplist(name, p.pw_gid))
    os.setresgid(p.pw_gid, p.pw_gid, p.pw_gid)
    os.setresuid(p.pw_uid, p.pw_uid, p.pw_uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    return p


def become_agent(control):
    os.setsid()
    p = drop(user)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    stdin, stdout, term = os.pipe(), os.pipe(), os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.fcntl(term[0], fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(term[0], F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(term[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.dup2(stdin[0], 0)
    os.dup2(stdout[1], 1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    home, tmp = f"{p.pw_dir}/{key}/home", f"{p.pw_dir}/{key}/tmp/{ident}-{run}"
    for path in (home, f"{p.pw_dir}/{key}/checkouts", tmp, f"{p.pw_dir}/{key}/{cwd}"):
        os.makedirs(path, 0o700, exist_ok=True)
    os.chdir(f"{p.pw_dir}/{key}/{cwd}")
    fds = array.array("i", [stdin[1], stdout[0], term[0], term[1]])
    # AgentReport: version 1, AGENT_READY, no error, the directory.
    control.sendmsg([struct.pack("=Iii4096s", 1, 0, 0, os.getcwd().encode())],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    if control.recv(1) != b"g":
        os._exit(127)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "TMPDIR": tmp, "USER": user, "LOGNAME": user,
                   "SHELL": "/bin/bash", "LANG": "C.UTF-8"}
    os.execve(argv[0], argv, environment)


def become_supervisor(agent, control):
    dirfd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    dirfd, fd = fcntl.fcntl(dirfd, fcntl.F_DUPFD, 16), fcntl.fcntl(control.fileno(), fcntl.F_DUPFD, 16)
    os.dup2(fd, 3)
    os.dup2(dirfd, 4)
    os.closerange(5, 1024)
    drop("northflare")
    os.execve(supervisor, ["northflare-supervisor", str(agent), str(OUT_LOG_MAX), "0"], {})


def child(gate):
    if os.read(gate, 1) != b"g":
        os._exit(1)
    for s in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(s, signal.SIG_DFL)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    agent = os.fork()
    try:
        if agent == 0:
            ours.close()
            become_agent(theirs)
        theirs.close()
        become_supervisor(agent, ours)
    except BaseException as e:
        os.write(2, f"{unit}: {e!r}\n".encode())
    os._exit(1)


def make_scope(pid):
    own = [("Description", "s", f"Northflare: run {run} of {ident}"), ("Slice", "s", "northflare.slice"),
           ("After", "as", "1", "northflare-runner.service"), ("Delegate", "b", "true"), ("IPAccounting", "b", "true"),
           ("User", "s", "northflare"), ("OOMPolicy", "s", "continue"), ("KillMode", "s", "control-group"),
           ("TimeoutStopUSec", "t", "15000000"), ("CollectMode", "s", "inactive"), ("PIDs", "au", "1", str(pid))]
    words = properties.split()
    n = len(own) + len(words) // 3
    subprocess.run(["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                    "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", str(n)] +
                   [w for p in own for w in p] + words + ["0"], check=True, stdout=subprocess.DEVNULL)


def wait_until(what, condition):
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{unit}: {what} not within 30 s")
        time.sleep(0.02)


def is_started():
    try:
        return os.stat(f"{directory}/started").st_size > 0
    except FileNotFoundError:
        return False


gate = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(gate[1])
    child(gate[0])
make_scope(pid)
wait_until("the scope", lambda: open(f"/proc/{pid}/cgroup").read().rstrip().endswith(unit))
os.write(gate[1], b"g")
wait_until("`started`", is_started)
