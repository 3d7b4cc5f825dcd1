# SPDX-License-Identifier: MIT
"""What agents run in a test. A script calls these as `python3 $NF_TEST VERB`, so that the process is called python3."""
import time


def hold(mebibytes, seconds="1000", word="held"):
    """hold MEBIBYTES [SECONDS [WORD]]: takes so much memory, prints WORD ("held") and sleeps."""
    memory = bytearray(int(mebibytes) << 20)
    print(word, flush=True)
    time.sleep(float(seconds))
    del memory


def take_for(mebibytes, seconds):
    """take-for MEBIBYTES SECONDS: takes so much memory, and is ended by SIGALRM where that takes longer than SECONDS. The time
    begins when Python is ready to take it, however long its start was."""
    import signal
    signal.alarm(int(seconds))
    bytearray(int(mebibytes) << 20)


def touch_pages(mebibytes):
    """touch-pages MEBIBYTES: takes so much memory and writes to each page of it, again and again."""
    memory = bytearray(int(mebibytes) << 20)
    while True:
        for i in range(0, len(memory), 4096):
            memory[i] = (memory[i] + 1) & 255


def list_of_objects(number):
    """list-of-objects NUMBER: prints a JSON list of so many empty objects and one more, on one line."""
    print("[" + "{}," * int(number) + "{}]")


def padded(size, line):
    """padded SIZE LINE: prints a line of shell that does nothing, with SIZE bytes in it, and LINE."""
    print(": " + "y" * int(size))
    print(line)


def take_descriptors():
    """take-descriptors: takes all inotify instances and descriptors that it gets, prints how many instances, and sleeps."""
    import ctypes
    import os
    c, number = ctypes.CDLL(None, use_errno=True), 0
    while c.inotify_init1(0) >= 0:
        number += 1
    try:
        while True:
            os.pipe()
    except OSError:
        pass
    print("took", number, flush=True)
    time.sleep(1000)


def syslog(text):
    """syslog TEXT: writes TEXT to /dev/log as a program of its own does, and sleeps."""
    import syslog as log
    log.syslog(text)
    time.sleep(1000)


def journal_entry(entry):
    """Sends one entry of the native protocol to the journal."""
    import socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto("".join(f"{name}={value}\n" for name, value in entry.items()).encode(), "/run/systemd/journal/socket")


def wait_for(file):
    """Waits for a file. The journal finds out who wrote an entry after it was written: who has gone by then is unknown."""
    import os
    while not os.path.exists(file):
        time.sleep(0.05)


def say(text, file):
    """say TEXT FILE: writes TEXT to the journal as a tool, and stays until FILE exists."""
    journal_entry({"SYSLOG_IDENTIFIER": "tool", "MESSAGE": text})
    wait_for(file)


def forge(conversation, file):
    """forge CONVERSATION FILE: writes journal entries with every field that could make them those of CONVERSATION, the runner or the
    launcher, and stays until FILE exists."""
    fields = {
        "MESSAGE": "forged by an agent", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "northflare-runner", "UNIT": "northflare-runner.service",
        "_SYSTEMD_UNIT": "northflare-runner.service", "_PID": "1", "_UID": "0", "_COMM": "systemd", "OBJECT_PID": "1",
        "NORTHFLARE_CONVERSATION_ID": conversation, "OBJECT_SYSTEMD_UNIT": "northflare-runner.service",
    }
    for unit in ("northflare-runner.service", "northflare-launcher.service", f"northflare-conversation-{conversation}-1.scope"):
        fields["UNIT"] = fields["_SYSTEMD_UNIT"] = fields["COREDUMP_UNIT"] = unit
        journal_entry(fields)
    wait_for(file)


def find_key(name):
    """find-key NAME: prints "key: " and the number of the key of that name in the session's keyring, or -1."""
    import ctypes
    keyctl, search, session_keyring = 250, ctypes.c_long(10), ctypes.c_long(-3)
    print("key:", ctypes.CDLL(None).syscall(keyctl, search, session_keyring, b"user", name.encode(), ctypes.c_long(0)))


def swarm():
    """swarm: 40 processes that ignore SIGTERM, in sessions of their own, each of which replaces itself again and again: always
    new processes, never many. Prints ready."""
    import os
    import signal
    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(s, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(40):
        if os.fork() == 0:
            os.setsid()
            end = time.monotonic() + 60
            while time.monotonic() < end:
                time.sleep(0.005)
                if os.fork() > 0:
                    os._exit(0)
            os._exit(0)
    print("ready", flush=True)
    time.sleep(60)


def use_python():
    """use-python: threads, processes, a temporary file and SQLite, as programs in Python use them."""
    import concurrent.futures
    import multiprocessing
    import sqlite3
    import tempfile
    assert sum(concurrent.futures.ThreadPoolExecutor(8).map(abs, range(100))) == 4950
    multiprocessing.set_start_method("fork")
    assert multiprocessing.Pool(4).map(abs, [-1, -2]) == [1, 2]
    sqlite3.connect(tempfile.mktemp()).execute("create table t (x)")


def trace_child():
    """trace-child: attaches to a child as a debugger does, and detaches."""
    import ctypes
    import os
    import subprocess
    attach, detach = 16, 17
    c, p = ctypes.CDLL(None, use_errno=True), subprocess.Popen(["sleep", "100"])
    assert c.ptrace(attach, p.pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(p.pid, 0)
    assert c.ptrace(detach, p.pid, None, None) == 0
    p.kill()


def share_memory():
    """share-memory: a shared memory and a semaphore."""
    from multiprocessing import Semaphore, shared_memory
    s = shared_memory.SharedMemory(create=True, size=1 << 20)
    s.buf[0] = 7
    s.unlink()
    Semaphore(1).acquire()
