# SPDX-License-Identifier: MIT
"""emit.py UID MEMBER RESULT-OR-"" UNIT: a signal as systemd has them, to the runner alone, by somebody who stays until he
is told to go (end of standard input); busctl leaves before anybody could ask who it was."""
import ctypes
import os
import sys

uid, member, result, unit = sys.argv[1:]
os.setgid(int(uid))
os.setuid(int(uid))
lib = ctypes.CDLL("libsystemd.so.0")
bus, message = ctypes.c_void_p(), ctypes.c_void_p()


def check(r):
    if r < 0:
        sys.exit(os.strerror(-r))


check(lib.sd_bus_open_system(ctypes.byref(bus)))
check(lib.sd_bus_message_new_signal(bus, ctypes.byref(message), b"/org/freedesktop/systemd1",
                                    b"org.freedesktop.systemd1.Manager", member.encode()))
check(lib.sd_bus_message_set_destination(message, b"org.northflare.Runner1"))
check(lib.sd_bus_message_append(message, b"uos", 7, b"/org/freedesktop/systemd1/job/7", unit.encode()))
if result:
    check(lib.sd_bus_message_append(message, b"s", result.encode()))
check(lib.sd_bus_send(bus, message, None))
check(lib.sd_bus_flush(bus))
sys.stdin.read()
