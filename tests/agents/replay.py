#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A fake agent that plays a transcript back: replay.py [anything…], with the transcript's path in NF_TRANSCRIPT.

Arguments are ignored, so that it can stand where the real program would ("executable" of an agent). A transcript has
one JSON object a line, {"t": milliseconds, "dir": DIRECTION, "raw": TEXT}:

  in    waits for a line of the client; ids of the client's own requests take the place of the recorded ones
  out   is written to stdout, err to stderr (at once; with NF_REPLAY_PACE=1 at the recorded times)
  meta  "stdin closed" waits for the end of stdin, "sent SIGxxx" for that signal; other notes are skipped
  exit  ends in the recorded way, by code or by signal
"""
import json
import os
import signal
import sys
import time


def request_id(line):
    """The id of a request that the other side must answer."""
    if isinstance(line, dict) and line.get('type') == 'control_request':
        return line.get('request_id')
    return None


def with_client_ids(raw, ids):
    """An answer with the id that the client of today gave its request."""
    try:
        line = json.loads(raw)
    except ValueError:
        return raw
    if not isinstance(line, dict) or line.get('type') != 'control_response':
        return raw
    recorded = line['response'].get('request_id')
    if ids.get(recorded, recorded) == recorded:
        return raw
    line['response']['request_id'] = ids[recorded]
    return json.dumps(line, separators=(',', ':'), ensure_ascii=False)


class Player:
    def __init__(self):
        self.ids = {}
        self.signals = []
        self.time = 0
        self.pace = os.environ.get('NF_REPLAY_PACE') == '1'
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda n, _: self.signals.append(n))

    def play(self, entry):
        direction, raw = entry['dir'], entry['raw']
        if self.pace and direction in ('out', 'err'):
            time.sleep(min(max(entry['t'] - self.time, 0) / 1000, 2))
        self.time = entry['t']
        if direction == 'in':
            self.wait_line(raw)
        elif direction == 'out':
            sys.stdout.buffer.write(with_client_ids(raw, self.ids).encode('utf-8', 'surrogatepass') + b'\n')
            sys.stdout.buffer.flush()
        elif direction == 'err':
            print(raw, file=sys.stderr, flush=True)
        elif direction == 'meta':
            self.wait_for(raw)
        elif direction == 'exit':
            self.leave(json.loads(raw))

    def wait_line(self, recorded):
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        try:
            old, new = request_id(json.loads(recorded)), request_id(json.loads(line))
        except ValueError:
            return
        if old is not None and new is not None:
            self.ids[old] = new

    def wait_for(self, note):
        if note == 'stdin closed':
            while sys.stdin.readline():
                pass
        elif note.startswith('sent SIG'):
            if note.endswith('SIGKILL'):
                signal.pause()
            while not self.signals:
                signal.pause()

    @staticmethod
    def leave(how):
        if how.get('signal'):
            if how['signal'] != signal.SIGKILL:
                signal.signal(how['signal'], signal.SIG_DFL)
            os.kill(os.getpid(), how['signal'])
        sys.exit(how.get('code') or 0)


def main():
    player = Player()
    with open(os.environ['NF_TRANSCRIPT'], encoding='utf-8') as transcript:
        for line in transcript:
            player.play(json.loads(line))


if __name__ == '__main__':
    main()
