# SPDX-License-Identifier: MIT
"""D-Bus by hand, on a socket: what no library would send can be sent too."""

import os
import socket
import struct

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
ALIGN = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "s": 4, "o": 4, "g": 1, "h": 4, "v": 1, "a": 4,
         "(": 8, "{": 8}
FIXED = {"y": "<B", "b": "<I", "n": "<h", "q": "<H", "i": "<i", "u": "<I", "x": "<q", "t": "<Q", "d": "<d", "h": "<I"}


class Gone(Exception):
    """The bus has closed the connection."""


def split(signature):
    """The complete types of a signature."""
    types, i = [], 0

    def end(i):
        if signature[i] == "a":
            return end(i + 1)
        if signature[i] in "({":
            depth = 0
            while True:
                depth += signature[i] in "({"
                depth -= signature[i] in ")}"
                i += 1
                if depth == 0:
                    return i
        return i + 1
    while i < len(signature):
        j = end(i)
        types.append(signature[i:j])
        i = j
    return types


def pad(b, n):
    b += b"\0" * (-len(b) % n)


def put(b, t, v):
    """Appends a value of one complete type. Strings may be bytes, which go out as they are."""
    c = t[0]
    pad(b, ALIGN[c])
    if c in FIXED:
        b += struct.pack(FIXED[c], v)
    elif c in "so":
        s = v if isinstance(v, bytes) else v.encode()
        b += struct.pack("<I", len(s)) + s + b"\0"
    elif c == "g":
        s = v if isinstance(v, bytes) else v.encode()
        b += bytes([len(s) & 0xff]) + s + b"\0"
    elif c == "v":
        put(b, "g", v[0])
        put(b, v[0], v[1])
    elif c == "a":
        at = len(b)
        b += b"\0\0\0\0"
        pad(b, ALIGN[t[1]])
        start = len(b)
        for e in v:
            put(b, t[1:], e)
        b[at:at + 4] = struct.pack("<I", len(b) - start)
    else:
        for e, each in zip(split(t[1:-1]), v):
            put(b, e, each)


def body_of(signature, values):
    b = bytearray()
    for t, v in zip(split(signature), values):
        put(b, t, v)
    return bytes(b)


def take(b, i, t):
    """A value and where it ends."""
    c = t[0]
    i += -i % ALIGN[c]
    if c in FIXED:
        return struct.unpack_from(FIXED[c], b, i)[0], i + struct.calcsize(FIXED[c])
    if c in "so":
        n = struct.unpack_from("<I", b, i)[0]
        return b[i + 4:i + 4 + n].decode(), i + 5 + n
    if c == "g":
        return b[i + 1:i + 1 + b[i]].decode(), i + 2 + b[i]
    if c == "v":
        g, i = take(b, i, "g")
        return take(b, i, g)
    if c == "a":
        n = struct.unpack_from("<I", b, i)[0]
        i += 4
        i += -i % ALIGN[t[1]]
        stop, values = i + n, []
        while i < stop:
            v, i = take(b, i, t[1:])
            values.append(v)
        return (dict(values) if t[1] == "{" else values), stop
    values = []
    for e in split(t[1:-1]):
        v, i = take(b, i, e)
        values.append(v)
    return tuple(values), i


class Message:
    def __init__(self, kind, fields, body):
        self.kind, self.body = kind, body
        self.error, self.reply_to, self.signature = fields.get(4), fields.get(5), fields.get(8, "")
        self.path, self.interface, self.member, self.sender, self.serial = (
            fields.get(1), fields.get(2), fields.get(3), fields.get(7), None)

    def values(self):
        values, i = [], 0
        for t in split(self.signature):
            v, i = take(self.body, i, t)
            values.append(v)
        return values


class Connection:
    def __init__(self, path, timeout=30):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(timeout)
        self.s.connect(path)
        self.buffer, self.serial = b"", 0
        self.s.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        if not self.line().startswith(b"OK"):
            raise Gone("not authenticated")
        self.s.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self.line()
        self.s.sendall(b"BEGIN\r\n")
        self.name = self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello").values()[0]

    def line(self):
        while b"\r\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def receive(self):
        try:
            data, fds, _, _ = socket.recv_fds(self.s, 1 << 20, 16)
        except ConnectionError as e:
            raise Gone(str(e)) from e
        for fd in fds:
            os.close(fd)
        if not data:
            raise Gone("the bus has closed the connection")
        self.buffer += data

    def send(self, destination, path, interface, member, signature="", body=b"", fds=(), kind=CALL, reply_to=None, error=None):
        """Sends one message and returns its serial. Whatever is None is left out."""
        self.serial += 1
        b = bytearray(struct.pack("<BBBBII", ord("l"), kind, 0, 1, len(body), self.serial))
        fields = [(1, "o", path), (2, "s", interface), (3, "s", member), (4, "s", error), (5, "u", reply_to), (6, "s", destination),
                  (8, "g", signature or None), (9, "u", len(fds) or None)]
        put(b, "a(yv)", [(code, (t, v)) for code, t, v in fields if v is not None])
        pad(b, 8)
        data = bytes(b) + body
        try:
            if fds:
                n = socket.send_fds(self.s, [data], fds)
                data = data[n:]
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionError) as e:
            raise Gone(str(e)) from e
        return self.serial

    def next(self):
        """The next message, of whatever kind."""
        while len(self.buffer) < 16:
            self.receive()
        kind, size = self.buffer[1], struct.unpack_from("<I", self.buffer, 4)[0]
        fields_size = struct.unpack_from("<I", self.buffer, 12)[0]
        start = 16 + fields_size + -(16 + fields_size) % 8
        while len(self.buffer) < start + size:
            self.receive()
        fields = dict(take(self.buffer, 12, "a(yv)")[0])
        m = Message(kind, fields, self.buffer[start:start + size])
        m.serial = struct.unpack_from("<I", self.buffer, 8)[0]
        self.buffer = self.buffer[start + size:]
        return m

    def answers(self, serials):
        """The answers to calls, by serial; other messages are dropped."""
        serials, found = set(serials), {}
        while len(found) < len(serials):
            m = self.next()
            if m.kind in (RETURN, ERROR) and m.reply_to in serials:
                found[m.reply_to] = m
        return found

    def call(self, destination, path, interface, member, signature="", values=()):
        n = self.send(destination, path, interface, member, signature, body_of(signature, values))
        return self.answers([n])[n]

    def close(self):
        self.s.close()
