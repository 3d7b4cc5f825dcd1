# SPDX-License-Identifier: MIT
"""Files, processes, cgroups and terminals of the machine under test."""
import os
import sys


def processes_of(cgroup):
    """The processes in a cgroup alone; none where it has gone."""
    import errno
    try:
        with open(cgroup + "/cgroup.procs", encoding="ascii") as f:
            return f.read().split()
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return []


def kill_as_oomd(cgroup):
    """kill-as-oomd CGROUP: marks the cgroup as systemd-oomd does and kills each process below it. Exit status 1 where there was
    none to kill. A process that has ended meanwhile counts as killed."""
    os.setxattr(cgroup, "user.oomd_ooms", b"1")
    killed = 0
    for folder, _, _ in os.walk(cgroup):
        for pid in processes_of(folder):
            try:
                os.kill(int(pid), 9)
                killed += 1
            except ProcessLookupError:
                pass
    return killed == 0


def delays(seed, number, most):
    """delays SEED NUMBER MOST: prints so many milliseconds from 0 to MOST, a line each, by that seed."""
    import random
    r = random.Random(int(seed))
    for _ in range(int(number)):
        print(round(r.uniform(0, float(most))))


def deep_directory(path):
    """deep-directory PATH: makes directories in PATH that are deeper than a path can be long."""
    os.chdir(path)
    for _ in range(900):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)


def overwrite(file, text, replacement):
    """overwrite FILE TEXT REPLACEMENT: writes REPLACEMENT, with a NUL for each ?, over the last TEXT in a file that is in use."""
    with open(file, "r+b") as f:
        f.seek(f.read().rindex(text.encode()))
        f.write(replacement.replace("?", "\0").encode())


def type_password(password, *command):
    """type-password PASSWORD COMMAND…: runs COMMAND on a terminal of its own, types PASSWORD whenever it is asked for one, and prints
    what appeared. The exit status is that of COMMAND, 99 where nothing was asked."""
    import pty
    import select
    import signal
    import termios
    import time
    pid, fd = pty.fork()
    if pid == 0:
        # The agent opens it again, as the user who is there.
        os.chmod(os.ttyname(0), 0o666)
        os.execvp(command[0], command)
    seen, typed, deadline = b"", 0, time.monotonic() + 40
    while time.monotonic() < deadline:
        # What is typed before the echo is off is discarded.
        if seen.count(b"assword:") > typed and not termios.tcgetattr(fd)[3] & termios.ECHO:
            typed += 1
            os.write(fd, password.encode() + b"\n")
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    else:
        os.kill(pid, signal.SIGKILL)
    sys.stdout.write(seen.decode(errors="replace"))
    print("typed", typed)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if typed else 99


def clock_steps(seed):
    """clock-steps SEED: prints how often the plan of tests/chaos for that seed steps the clock."""
    sys.path.insert(0, os.path.join(sys.path[0], "../chaos"))
    import plan
    print(sum(action[1] == "clock" for action in plan.draw(int(seed), True)[1]))
