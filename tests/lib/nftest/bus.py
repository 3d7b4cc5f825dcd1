# SPDX-License-Identifier: MIT
"""The system bus, as a user sees it, by the connection of tests/bus/rawbus.py."""
import os
import sys

BUS = "/run/dbus/system_bus_socket"


def connect():
    sys.path.insert(0, os.path.join(sys.path[0], "../bus"))
    import rawbus
    return rawbus.Connection(BUS, 20)


def call_bus(connection, method, signature, *values):
    """The answer of the bus itself to a call."""
    name = "org.freedesktop.DBus"
    return connection.call(name, "/org/freedesktop/DBus", name, method, signature, values)


def own_name(name):
    """own-name NAME: asks for a name on the bus, and prints denied where that was denied."""
    answer = call_bus(connect(), "RequestName", "su", name, 0)
    print("denied" if answer.error == "org.freedesktop.DBus.Error.AccessDenied" else f"NOT DENIED: {answer.values()}")


def hear_signals(interface, last):
    """hear-signals INTERFACE LAST: prints listening, then the names of the signals of INTERFACE that arrive, up to LAST."""
    connection = connect()
    call_bus(connection, "AddMatch", "s", f"interface='{interface}'")
    print("listening", flush=True)
    member = None
    while member != last:
        message = connection.next()
        if message.interface == interface:
            member = message.member
            print("heard", member, flush=True)
