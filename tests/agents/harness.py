# SPDX-License-Identifier: MIT
"""What tests/agents/run is made of: the driver's program with an agent behind it, the model, the packages."""
import fcntl
import glob
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
# For the next word, on a machine that is busy: the real programs need seconds of a processor to begin.
DEADLINE = 180
NOBODY = 65534


class Failed(Exception):
    """A scenario is not as it should be."""


def check(condition, what):
    if not condition:
        raise Failed(what)


class Folder:
    """A place that belongs to the agent's user: its HOME and its working directory."""

    def __init__(self):
        self.uid = NOBODY if os.geteuid() == 0 else os.geteuid()
        self.path = tempfile.mkdtemp(prefix='nf-agents-')
        os.mkdir(self.file('tmp'))  # TMPDIR
        os.chmod(self.path, 0o700)
        self.give_away()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def give_away(self):
        """What was put there is the agent's user's as well."""
        if os.geteuid() == 0:
            for path, folders, files in os.walk(self.path):
                for name in ('.', *folders, *files):
                    os.chown(os.path.join(path, name), self.uid, self.uid, follow_symlinks=False)

    def file(self, name):
        return os.path.join(self.path, name)


class Agent:
    """The driver and its agent. Commands go in, what the driver says comes out as objects."""

    def __init__(self, drive, folder, spec, config, protocol='claude'):
        self.heard = []
        self.bytes = b''
        self.process = subprocess.Popen(
            [drive, protocol, json.dumps(spec), json.dumps(config), folder.path, str(folder.uid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # ends the agent where it still lives
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def command(self, command, **members):
        line = json.dumps({'command': command, **members})
        try:
            self.process.stdin.write(line.encode() + b'\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f'{command}: the agent has gone: {self.heard[-3:]}') from None

    def user(self, content):
        self.command('user', params={'content': content})

    def answer(self, question, **params):
        self.command('answer', offset=question['offset'], n=question['n'], params=params)

    def next(self):
        """The next object, or None at the end."""
        deadline = time.monotonic() + DEADLINE
        while b'\n' not in self.bytes:
            if not select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise Failed(f'nothing came for {DEADLINE} s; last: {self.heard[-3:]}')
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                return None
            self.bytes += piece
        line, self.bytes = self.bytes.split(b'\n', 1)
        self.heard.append(json.loads(line))
        return self.heard[-1]

    def until(self, what, matches):
        while (item := self.next()) is not None:
            if matches(item):
                return item
        raise Failed(f'the agent ended before {what}: {self.heard[-3:]}')

    def event(self, kind, **members):
        """The next event of this kind (members are looked at as well)."""
        def matches(item):
            event = item.get('event', {})
            return event.get('type') == kind and all(event.get(k) == v for k, v in members.items())
        return self.until(f'the event {kind}', matches)['event']

    def question(self):
        return self.until('a question', lambda item: item.get('method') == 'permission.request')

    def phase(self, name):
        return self.until(f'the phase {name}', lambda item: item.get('phase') == name)

    def finish(self, code=0):
        """Waits for the end; the whole session must replay."""
        last = self.until('the end', lambda item: 'replay' in item)
        check(last['replay'], 'the events of the session are not the same from a saved state')
        check(code is None or last.get('exit') == code, f'exit {code} expected: {last}')
        return last

    def events(self, kind):
        return [i['event'] for i in self.heard if i.get('event', {}).get('type') == kind]


class Model:
    """The model on loopback."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='nf-model-')
        self.log = os.path.join(self.folder, 'requests')
        open(self.log, 'w', encoding='utf-8').close()
        self.process = subprocess.Popen(['node', os.path.join(HERE, 'model-api.mjs'), '0', self.log],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder)

    def requests(self):
        with open(self.log, encoding='utf-8') as log:
            return [json.loads(line) for line in log]

    def environment(self):
        return {'ANTHROPIC_BASE_URL': f'http://127.0.0.1:{self.port}', 'ANTHROPIC_API_KEY': 'test',
                'CLAUDE_CODE_MAX_RETRIES': '1'}


def new_id():
    return str(uuid.uuid4())


def install_claude(version):
    """The program of a version of the npm package, from the cache or fetched into it. (path, None) or (None, why)."""
    cache = os.environ.get('NF_CACHE', '/var/cache/northflare-check')
    folder = os.path.join(cache, f'claude-code-{version}')
    pattern = os.path.join(folder, 'node_modules/@anthropic-ai/claude-code-linux-*/claude')
    if not glob.glob(pattern):
        if not shutil.which('npm'):
            return None, 'there is no npm to fetch Claude Code with'
        try:
            os.makedirs(cache, exist_ok=True)
        except OSError as error:
            return None, f'the cache {cache} cannot be made: {error.strerror}'
        with open(os.path.join(cache, '.lock'), 'w', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not glob.glob(pattern):
                half = tempfile.mkdtemp(prefix='half-', dir=cache)
                done = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', half,
                                       f'@anthropic-ai/claude-code@{version}'],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
                if done.returncode != 0:
                    shutil.rmtree(half)
                    why = (done.stderr.strip().splitlines() or ['no reason given'])[-1]
                    return None, f'npm could not fetch Claude Code {version}: {why}'
                os.chmod(half, 0o755)
                shutil.rmtree(folder, ignore_errors=True)
                os.rename(half, folder)
    found = glob.glob(pattern)
    return (found[0], None) if found else (None, f'Claude Code {version} has no program for this machine')
