# SPDX-License-Identifier: MIT
"""An HTTP proxy that can be told to misbehave. It stands between the runner and the orchestrator, knows requests from
answers and the events of a stream from each other, and spoils the next ones that fit what was armed.

A fault is armed for a place and used up after some requests or some seconds:

  place   batch     a POST of a list: events, responses
          register, claim, ping, heartbeat
                    a POST of that one call
          post      any POST
          stream    the GET of the event stream
          sse       an event on the stream
  kind    see Proxy.spoil_request (requests), Proxy.spoil_event (events)
"""
import json
import random
import select
import socket
import struct
import threading
import time


class Closed(Exception):
    pass


class Wire:
    """A socket with what was read and not used yet."""

    def __init__(self, sock):
        self.sock = sock
        self.rest = b''

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed()
        self.rest += data

    def until(self, mark):
        while mark not in self.rest:
            self.more()
        head, self.rest = self.rest.split(mark, 1)
        return head + mark

    def exactly(self, n):
        while len(self.rest) < n:
            self.more()
        data, self.rest = self.rest[:n], self.rest[n:]
        return data


def headers_of(head):
    lines = head.decode('latin-1').split('\r\n')
    return lines[0], {k.strip().lower(): v.strip() for k, _, v in (line.partition(':') for line in lines[1:] if line)}


def read_body(wire, headers, is_answer=False, status=200):
    """The body as it was on the wire."""
    if is_answer and status in (204, 304):
        return b''
    if headers.get('transfer-encoding', '').lower() == 'chunked':
        body = b''
        while True:
            line = wire.until(b'\r\n')
            size = int(line.split(b';')[0], 16)
            body += line + wire.exactly(size + 2)
            if size == 0:
                return body
    return wire.exactly(int(headers.get('content-length', '0')))


class Fault:
    def __init__(self, place, kind, count, seconds, args):
        self.place, self.kind, self.left, self.args = place, kind, count, args
        self.expires = time.monotonic() + seconds


class Proxy:
    def __init__(self, port, upstream, log):
        self.port, self.upstream, self.log = port, upstream, log
        self.lock = threading.Lock()
        self.faults = []
        self.pairs = set()
        self.history = {}
        self.hold_until = 0.0
        self.down_until = 0.0
        self.quiet = False
        self.stats = {}
        threading.Thread(target=self.accept, daemon=True).start()

    # ---- what the driver says ----

    def arm(self, place, kind, count, seconds, args):
        with self.lock:
            self.faults.append(Fault(place, kind, count, seconds, args))

    def cut_all(self, reset):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            pair.cut(reset)

    def hold(self, seconds):
        self.hold_until = time.monotonic() + seconds

    def down(self, seconds):
        self.down_until = time.monotonic() + seconds

    def heal(self):
        with self.lock:
            self.faults = []
            self.hold_until = self.down_until = 0.0

    # ---- ----

    def take(self, places, of_stream=False):
        now = time.monotonic()
        with self.lock:
            self.faults = [f for f in self.faults if f.left > 0 and f.expires > now]
            for f in self.faults:
                if f.place in places:
                    f.left -= 1
                    key = f'{f.place} {f.kind}'
                    self.stats[key] = self.stats.get(key, 0) + 1
                    return f
        return None

    def accept(self):
        listener = None
        while True:
            if time.monotonic() < self.down_until:
                if listener:
                    listener.close()
                    listener = None
                time.sleep(0.02)
                continue
            if not listener:
                listener = socket.create_server(('127.0.0.1', self.port), backlog=64)
                listener.settimeout(0.05)
            try:
                sock, _ = listener.accept()
            except (socket.timeout, TimeoutError):
                continue
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(self, sock)
            with self.lock:
                self.pairs.add(pair)
            threading.Thread(target=pair.run, daemon=True).start()

    def wait_hold(self):
        while (left := self.hold_until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))


class Pair:
    """A client's connection and the one to the orchestrator that belongs to it."""

    def __init__(self, proxy, sock):
        self.proxy, self.client, self.server = proxy, Wire(sock), None
        self.reset = False
        self.since = None

    def cut(self, reset):
        self.reset = self.reset or reset
        for wire in (self.client, self.server):
            try:
                if wire:
                    wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def run(self):
        try:
            while True:
                self.request()
        except (Closed, OSError, ValueError):
            pass
        finally:
            with self.proxy.lock:
                self.proxy.pairs.discard(self)
            if self.reset:
                try:
                    self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                except OSError:
                    pass
            self.client.sock.close()
            if self.server:
                self.server.sock.close()

    def send(self, data):
        self.client.sock.sendall(data)

    def answer(self, status, body=b'', extra=''):
        reason = {200: 'OK', 400: 'Bad Request', 401: 'Unauthorized', 429: 'Too Many Requests',
                  500: 'Internal Server Error', 503: 'Service Unavailable'}.get(status, 'Whatever')
        kind = 'text/html' if body.startswith(b'<') else 'application/json'
        self.send(f'HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n'
                  .encode() + body)

    @staticmethod
    def places(line, headers, body):
        if line.startswith('GET'):
            return ['stream', 'get'] if '/events' in line.split(' ')[1] else ['page', 'get']
        if body.lstrip().startswith(b'['):
            return ['batch', 'post']
        try:
            method = json.loads(body).get('method', '')
        except ValueError:
            method = ''
        return [method.removeprefix('runner.'), 'post']

    def request(self):
        head = self.client.until(b'\r\n\r\n')
        line, headers = headers_of(head)
        if headers.get('expect', '').lower() == '100-continue':
            self.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        body = read_body(self.client, headers)
        self.proxy.wait_hold()
        fault = self.proxy.take(self.places(line, headers, body))
        if fault and fault.kind == 'hold':
            time.sleep(fault.args['seconds'])
            fault = None
        if fault and fault.kind == 'status':
            # Not forwarded: nobody has heard of it.
            extra = f"Retry-After: {fault.args['retry_after']}\r\n" if fault.args.get('retry_after') else ''
            status = fault.args['status']
            self.answer(status, fault.args.get('body', b'{"error":"chaos"}'), extra)
            return
        if fault and fault.kind == 'garbage':
            self.send(fault.args['bytes'])
            raise Closed()
        if not self.server:
            self.server = Wire(socket.create_connection(self.proxy.upstream, timeout=None))
        if fault and fault.kind == 'torn':
            whole = head + body
            self.server.sock.sendall(whole[:int(len(whole) * fault.args['part'])])
            raise Closed()
        self.server.sock.sendall(head + body)
        answer_head = self.server.until(b'\r\n\r\n')
        answer_line, answer_headers = headers_of(answer_head)
        status = int(answer_line.split(' ')[1])
        self.proxy.wait_hold()
        if fault and fault.kind == 'lost' and fault.args['part'] == 'head':
            # Acknowledged there, not heard here.
            if not answer_headers.get('content-type', '').startswith('text/event-stream'):
                read_body(self.server, answer_headers, True, status)
            self.send(answer_head[:int(len(answer_head) * fault.args['at'])])
            raise Closed()
        if answer_headers.get('content-type', '').startswith('text/event-stream'):
            self.since = headers.get('last-event-id')
            self.send(answer_head)
            self.stream()
            raise Closed()
        answer_body = read_body(self.server, answer_headers, True, status)
        if fault and fault.kind == 'lost':
            if fault.args['part'] == 'body':
                self.send(answer_head + answer_body[:len(answer_body) // 2])
                if not answer_body:
                    return
            raise Closed()
        if fault and fault.kind == 'slow':
            whole = answer_head + answer_body
            for i in range(0, len(whole), 7):
                self.send(whole[i:i + 7])
                time.sleep(0.002)
            return
        self.send(answer_head + answer_body)
        if answer_headers.get('connection', '').lower() == 'close':
            raise Closed()

    # ---- the stream ----

    def chunk(self, data):
        if data:
            self.send(b'%x\r\n%s\r\n' % (len(data), data))

    def events(self):
        """Blocks of the stream as they come; None when there was nothing for a moment; ends where it ends."""
        text, wire = b'', self.server
        while True:
            while b'\n\n' in text:
                block, text = text.split(b'\n\n', 1)
                yield block + b'\n\n'
            while b'\r\n' not in wire.rest or len(wire.rest) < self.chunk_needs(wire.rest):
                ready, _, _ = select.select([wire.sock, self.client.sock], [], [], 0.05)
                if self.client.sock in ready:
                    raise Closed()
                if wire.sock in ready:
                    wire.more()
                else:
                    yield None
            size = int(wire.until(b'\r\n').split(b';')[0], 16)
            data = wire.exactly(size + 2)[:-2]
            if size == 0:
                return
            text += data

    @staticmethod
    def chunk_needs(rest):
        line = rest.split(b'\r\n', 1)[0]
        return len(line) + 2 + int(line.split(b';')[0], 16) + 2

    @staticmethod
    def parse(block):
        cursor, data = None, None
        for line in block.decode(errors='replace').split('\n'):
            if line.startswith('id: '):
                cursor = line[4:]
            elif line.startswith('data: '):
                data = line[6:]
        return cursor, data

    @staticmethod
    def conversation(data):
        try:
            o = json.loads(data)
            return o.get('conversationId') or o['payload'].get('params', {}).get('conversationId')
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def stream(self):
        held, held_until = None, 0.0
        for block in self.events():
            self.proxy.wait_hold()
            if block is None:
                if held and time.monotonic() > held_until:
                    self.chunk(held)
                    held = None
                continue
            cursor, data = self.parse(block)
            if data is None:
                self.chunk(block)
                continue
            if cursor:
                with self.proxy.lock:
                    self.proxy.history.setdefault(cursor, block)
            if held:
                # The later one first, and without a place of its own: who breaks off now reads both again.
                first, second = self.conversation(self.parse(held)[1]), self.conversation(data)
                if first and second and first != second and cursor:
                    self.chunk(b'event: runner.message\ndata: ' + data.encode() + b'\n\n')
                    self.chunk(f'id: {cursor}\nevent: runner.message\ndata: {self.parse(held)[1]}\n\n'.encode())
                else:
                    self.chunk(held)
                    self.chunk(block)
                held = None
                continue
            fault = self.proxy.take(['sse'])
            if fault and fault.kind == 'swap':
                held, held_until = block, time.monotonic() + 0.6
                continue
            self.spoil_event(fault, block)

    def spoil_event(self, fault, block):
        kind, args = (fault.kind, fault.args) if fault else (None, {})
        if kind == 'cut':
            # Inside the line, by a reset, a plain end, or an end that looks orderly.
            self.chunk(block[:max(1, int(len(block) * args['at']))])
            if args['how'] == 'orderly':
                self.send(b'0\r\n\r\n')
            self.reset = args['how'] == 'reset'
            raise Closed()
        if kind == 'cut-chunk':
            self.send(b'%x\r\n%s' % (len(block), block[:int(len(block) * args['at'])]))
            raise Closed()
        if kind == 'bad-chunk':
            self.send(b'zz\r\n' + block)
            raise Closed()
        if kind == 'duplicate':
            for _ in range(args['times']):
                self.chunk(block)
        if kind == 'old':
            # Something that was accepted long before, with the place that it had. What was only sent is none of that:
            # to come again behind a later one would be another order.
            with self.proxy.lock:
                cursors = list(self.proxy.history)
                accepted = cursors[:cursors.index(self.since) + 1] if self.since in cursors else []
                old = self.proxy.history[accepted[int(len(accepted) * args['at'])]] if accepted else None
            if old:
                self.chunk(old)
        if kind == 'noise':
            self.chunk(args['bytes'])
        if kind == 'delay':
            time.sleep(args['seconds'])
        if kind == 'dribble':
            for i in range(0, len(block), args['step']):
                self.chunk(block[i:i + args['step']])
            return
        if kind == 'crlf':
            block = block.replace(b'\n', b'\r\n')
        self.chunk(block)


NOISE = [
    b': a comment\n\n',
    b'event: ping\ndata: {}\n\n',
    b'event: something.else\ndata: {"a":1}\n\n',
    b'data: {"id":"noise-1","payload":\n\n',
    b'data: not json at all\n\n',
    b'data\n\n',
    b'retry: 200\n\n',
    b'\xef\xbb\xbf: not at the beginning\n\n',
    b'foo: bar\n: x\n\n\n\n',
    b'data: {"id":"noise-2","payload":{"jsonrpc":"2.0","id":"noise-2","method":"no.such.method","params":{}}}\n\n',
    b'data: [1,2,3]\n\n',
]

GARBAGE = [
    b'\x00\x01\x02\xff\xfe',
    b'HTTP/1.1\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"jsonrpc"',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n',
    b'SSH-2.0-OpenSSH_9.2\r\n',
    b'HTTP/1.1 204 No Content\r\nContent-Le',
]


def draw_fault(rng: random.Random):
    """(place, kind, count, seconds, args) by rng alone."""
    place = rng.choice(['batch', 'batch', 'batch', 'stream', 'claim', 'post', 'sse', 'sse', 'sse', 'sse', 'register'])
    if place == 'sse':
        kind = rng.choice(['cut', 'cut', 'cut-chunk', 'bad-chunk', 'duplicate', 'duplicate', 'old', 'noise', 'delay', 'dribble',
                           'crlf', 'swap', 'swap'])
        args = {
            'cut': lambda: {'at': rng.random(), 'how': rng.choice(['reset', 'end', 'orderly'])},
            'cut-chunk': lambda: {'at': rng.random()},
            'duplicate': lambda: {'times': rng.randint(1, 3)},
            'old': lambda: {'at': rng.random()},
            'noise': lambda: {'bytes': rng.choice(NOISE)},
            'delay': lambda: {'seconds': round(rng.uniform(0.05, 1.5), 2)},
            'dribble': lambda: {'step': rng.randint(1, 9)},
        }.get(kind, dict)()
        return place, kind, rng.choice([1, 1, 1, 2, 3]), 6.0, args
    kind = rng.choice(['status', 'status', 'lost', 'lost', 'lost', 'torn', 'hold', 'garbage', 'slow'])
    if kind == 'slow' and place == 'stream':
        kind = 'hold'
    args = {
        'status': lambda: {'status': rng.choice([429, 500, 503, 503, 502])},
        'lost': lambda: {'part': rng.choice(['all', 'head', 'body']), 'at': round(rng.uniform(0.05, 0.95), 2)},
        'torn': lambda: {'part': round(rng.uniform(0.1, 0.95), 2)},
        'hold': lambda: {'seconds': round(rng.uniform(0.1, 1.5), 2)},
        'garbage': lambda: {'bytes': rng.choice(GARBAGE)},
    }.get(kind, dict)()
    if kind == 'status' and rng.random() < 0.4:
        args['retry_after'] = 1
    if kind == 'status' and rng.random() < 0.3:
        args['body'] = b'<html>Bad gateway</html>'
        if rng.random() < 0.5 and place == 'batch':
            args['status'] = 200
    return place, kind, rng.choice([1, 1, 1, 2, 3]), 5.0, args
