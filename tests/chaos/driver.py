#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One seed of chaos, inside a booted container with the product installed: see tools/chaos."""
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plan  # noqa: E402
import verify  # noqa: E402
from proxy import Proxy  # noqa: E402

STATE = '/var/lib/northflare'
ADMIN = '/run/northflare-orchestrator/admin.socket'
CGROUP = '/sys/fs/cgroup'
PORT = 8421
# After everything was healed. The longest rest of all that the runner takes between two attempts is 60 s (retry_max of its
# link, its registration and its sender), and one may just have begun. What is left to do then, hundreds of lines and the
# instructions that waited, has twice that, since the machine may do much else: who takes longer hangs.
REST_SECONDS = 60
QUIET_SECONDS = REST_SECONDS + 120
FILLER = STATE + '/filler'
# What a runner that has ended all its conversations may have more than one that never had any.
FD_GROWTH_MAX = 8
MEMORY_GROWTH_MAX = 16 * 1024 * 1024

begun = time.monotonic()
log_lock = threading.Lock()


def log(*words):
    with log_lock:
        print(f'{time.monotonic() - begun:8.3f}', *words, flush=True)


class Failed(Exception):
    pass


def run(*command, ok=True, timeout=60):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout)
    out = p.stdout.decode(errors='replace')
    if ok and p.returncode != 0:
        raise Failed(f'{" ".join(command)}: status {p.returncode}: {out}')
    return out.strip()


def until(seconds, what, function):
    deadline = time.monotonic() + seconds
    while True:
        value = function()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f'not within {seconds} s: {what() if callable(what) else what}')
        time.sleep(0.05)


# ---- the orchestrator's administration ----

class Unknown(Exception):
    """Nobody knows whether the request had its effect."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, timeout):
        super().__init__('localhost', timeout=timeout)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ADMIN)


def admin(method, path, body=None, timeout=20):
    """(status, answer). Unknown where there was none."""
    connection = UnixConnection(timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, {'Content-Type': 'application/json'})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as e:
        raise Unknown(str(e)) from e
    finally:
        connection.close()
    if path.endswith('/events'):
        return answer.status, [json.loads(line) for line in text.splitlines() if line]
    return answer.status, json.loads(text)


def ask(path):
    """A question, until there is an answer."""
    def answer():
        try:
            status, text = admin('GET', path)
            return (status, text) if status != 503 else None
        except (Unknown, ValueError):
            return None
    return until(QUIET_SECONDS, f'the orchestrator answers {path}', answer)


# ---- conversations ----

class Talk(threading.Thread):
    """A conversation with its instructions, in order and each sent once."""

    def __init__(self, drawn):
        super().__init__(daemon=True)
        self.id, self.agent = drawn['id'], drawn['agent']
        self.drawn = drawn
        self.sent = []          # (number, 'yes' or 'maybe', messageId)
        self.over = None        # why no more is sent
        self.refused = False
        self.next = 1
        self.hurry = threading.Event()
        self.start_id = None

    def ledger(self):
        for path in glob.glob(f'/var/lib/northflare-agent/*/home/ledger-{self.id}'):
            with open(path) as f:
                return [tuple(line.split()) for line in f.read().split('\n')[:-1]]
        return []

    def text(self, n, count, pace, pad):
        name = f'ledger-{self.id}'
        if self.agent == 'numbers':
            return f'say {n} {count} {pace} {pad} {name}'
        rest = f'sleep {pace / 1000}; ' if pace else ''
        return (f'echo "got {n}" >>"$HOME/{name}"; echo "got {n}"; p={"x" * pad}; i=0; while [ $i -lt {count} ]; do '
                f'i=$((i+1)); echo "line {n} $i $p"; {rest}done; echo "done {n}"; echo "done {n}" >>"$HOME/{name}"')

    def begin(self):
        params = {'agent': self.agent, 'workspaceId': 'chaos'}
        while True:
            try:
                status, answer = admin('POST', '/v1/conversations', {'conversationId': self.id, 'params': params})
            except Unknown:
                status, answer = ask(f'/v1/conversations/{self.id}')
                if status == 404:
                    continue
                break
            if status in (200, 201):
                self.start_id = answer['messageId']
                break
            if status == 409:
                break
            if status != 503:
                raise Failed(f'{self.id} cannot be started: {status} {answer}')
            time.sleep(0.2)

    def say(self, drawn):
        n = self.next
        self.next += 1
        body = {'method': 'message.user', 'params': {'content': self.text(n, *drawn[1:])}}
        while True:
            try:
                status, answer = admin('POST', f'/v1/conversations/{self.id}/messages', body)
            except Unknown as e:
                log(f'{self.id}: instruction {n} is sent or not: {e}')
                self.sent.append((n, 'maybe', None, drawn))
                return False
            if status in (200, 201):
                self.sent.append((n, 'yes', answer['messageId'], drawn))
                return True
            if status == 409:
                self.over = answer['error']['message']
                log(f'{self.id}: no instruction {n}: {self.over}')
                return True
            if status not in (503, 429):
                raise Failed(f'{self.id}: instruction {n}: {status} {answer}')
            time.sleep(0.2)

    def run(self):
        try:
            self.hurry.wait(self.drawn['at'])
            self.begin()
            for drawn in self.drawn['instructions']:
                self.hurry.wait(drawn[0])
                if self.over:
                    return
                self.say(drawn)
        except Exception as e:  # a thread's end is silent otherwise
            log(f'{self.id}: {traceback.format_exc()}')
            self.over = str(e)

    def finish(self):
        """One more that must arrive."""
        while not self.over and not self.say((0, 3, 0, 0)):
            pass

    def view(self):
        return ask(f'/v1/conversations/{self.id}')[1]


# ---- what is there, and what is done to it ----

def pids_in(path):
    try:
        with open(path + '/cgroup.procs') as f:
            return [int(line) for line in f]
    except OSError:
        return []


def service_pids(name):
    return pids_in(f'{CGROUP}/system.slice/northflare-{name}.service')


class World:
    def __init__(self, seed, release):
        self.seed, self.release = seed, release
        self.conversations, self.actions = plan.draw(seed, bool(os.environ.get('NF_CLOCK')))
        self.talks = [Talk(c) for c in self.conversations]
        self.supervisors_killed, self.agents_killed = set(), set()
        self.killed = {}
        self.stopped = {}
        self.children = []
        self.proxy = None
        self.baseline = None
        self.done = 0
        self.stepped = 0

    # ---- the set-up ----

    def set_up(self):
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'numbers'), '/usr/local/bin/numbers')
        os.chmod('/usr/local/bin/numbers', 0o755)
        for unit in ('runner', 'orchestrator'):
            # As many ends as a seed has.
            folder = f'/etc/systemd/system/northflare-{unit}.service.d'
            os.makedirs(folder, exist_ok=True)
            with open(folder + '/chaos.conf', 'w') as f:
                f.write('[Unit]\nStartLimitIntervalSec=0\n')
        # Started by every connection after each end.
        for unit in ('northflare-orchestrator', 'northflare-orchestrator-admin'):
            folder = f'/etc/systemd/system/{unit}.socket.d'
            os.makedirs(folder, exist_ok=True)
            with open(folder + '/chaos.conf', 'w') as f:
                f.write('[Socket]\nTriggerLimitIntervalSec=0\n')
        folder = '/etc/systemd/system/northflare-runner.service.d'
        with open(folder + '/token.conf', 'w') as f:
            f.write('[Service]\nLoadCredential=runner-token:/etc/northflare/runner-token\n')
        run('systemctl', 'daemon-reload')
        run('systemctl', 'start', 'northflare-orchestrator.socket')
        token = run('northflare-orchestrator', 'token', 'create', '--name', 'chaos')
        fd = os.open('/etc/northflare/runner-token', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, token.encode() + b'\n')
        os.close(fd)
        with open('/etc/northflare/runner.json', 'w') as f:
            json.dump({'orchestratorUrl': f'http://127.0.0.1:{PORT}', 'minFreeDiskBytes': 1 << 20, 'debug': True,
                       'heartbeatIntervalMs': 2000,
                       'agents': {'numbers': {'protocol': 'shell', 'executable': '/usr/local/bin/numbers'}}}, f)
        self.proxy = Proxy(PORT, ('127.0.0.1', 8420), log)
        run('systemctl', 'start', 'northflare-runner')
        until(QUIET_SECONDS, 'the runner is connected', self.is_connected)
        self.baseline = self.figures()
        log('the runner is connected;', self.baseline)

    def status(self):
        try:
            return json.loads(run('northflarectl', 'status', '--json=short', timeout=10))
        except (Failed, ValueError, subprocess.TimeoutExpired):
            return {}

    def is_connected(self):
        return self.status().get('Connected') is True

    @staticmethod
    def figures():
        pids = service_pids('runner')
        if not pids:
            return None
        fds = len(os.listdir(f'/proc/{pids[0]}/fd'))
        with open(f'/proc/{pids[0]}/status') as f:
            anon = next(int(line.split()[1]) * 1024 for line in f if line.startswith('RssAnon:'))
        return {'fds': fds, 'memory': anon}

    # ---- targets ----

    def pids_of(self, what, conversation=None):
        if what == 'launcher-main':
            return service_pids('launcher')[:1]
        if conversation is None:
            return service_pids(what)
        scope = f'{CGROUP}/northflare.slice/northflare-conversation-{conversation}-1.scope'
        if what == 'supervisor':
            pids = []
            for pid in pids_in(scope) + [p for d in glob.glob(scope + '/*/') if not d.endswith('/agent/') for p in pids_in(d)]:
                try:
                    with open(f'/proc/{pid}/comm') as f:
                        if f.read().startswith('northflare-supe'):
                            pids.append(pid)
                except OSError:
                    pass
            return pids
        try:
            with open(f'{STATE}/conversations/{conversation}/1/started') as f:
                pid = json.load(f)['agentPid']
            return [pid] if pid in pids_in(scope + '/agent') else []
        except (OSError, ValueError, KeyError):
            return []

    def signal(self, pids, number):
        done = []
        for pid in pids:
            try:
                os.kill(pid, number)
                done.append(pid)
            except ProcessLookupError:
                pass
        return done

    # ---- actions; each returns what it came to ----

    def do_kill(self, what, conversation=None):
        pids = self.signal(self.pids_of(what, conversation), signal.SIGKILL)
        if pids and conversation:
            (self.supervisors_killed if what == 'supervisor' else self.agents_killed).add(conversation)
        what = what.removesuffix('-main')
        self.killed[what] = self.killed.get(what, 0) + len(pids)
        return pids or 'nobody there'

    def do_stop(self, what, conversation=None):
        pids = self.signal(self.pids_of(what, conversation), signal.SIGSTOP)
        self.stopped.setdefault((what, conversation), []).extend(pids)
        return pids or 'nobody there'

    def do_continue(self, what, conversation=None):
        return self.signal(self.stopped.pop((what, conversation), []), signal.SIGCONT) or 'nobody there'

    def do_cut(self, reset):
        self.proxy.cut_all(reset)

    def do_hold(self, seconds):
        self.proxy.hold(seconds)

    def do_down(self, seconds):
        self.proxy.down(seconds)
        self.proxy.cut_all(True)

    def do_refuse(self, status, seconds):
        self.proxy.arm('post', 'status', 1000, seconds, {'status': status})

    def do_fault(self, place, kind, count, seconds, args):
        self.proxy.arm(place, kind, count, seconds, args)

    def do_fill(self, leave):
        fd = os.open(FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        size = 0
        try:
            for block in (1 << 20, 4096, 1):
                try:
                    while True:
                        size += os.write(fd, b'\0' * block)
                except OSError:
                    pass
            os.ftruncate(fd, max(0, os.fstat(fd).st_size - leave))
        finally:
            os.close(fd)
        return f'{size} bytes'

    def do_free(self):
        try:
            os.unlink(FILLER)
        except FileNotFoundError:
            pass

    def do_manager(self, verb):
        self.children.append((verb, subprocess.Popen(['systemctl', verb], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                     stderr=subprocess.STDOUT)))

    def do_restart(self, unit):
        self.do_manager_job('restart', unit)

    def do_manager_job(self, verb, unit):
        self.children.append((f'{verb} {unit}', subprocess.Popen(['systemctl', verb, unit], stdin=subprocess.DEVNULL,
                                                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)))

    def do_clock(self, seconds):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        self.stepped += seconds

    def wreak(self):
        start = time.monotonic()
        for at, name, args in self.actions:
            left = start + at - time.monotonic()
            if left > 0:
                time.sleep(left)
            result = getattr(self, 'do_' + name)(*args)
            self.done += 1
            log(f'[{at:7.3f}]', name, *args, *(['->', result] if result is not None else []))

    # ---- the end ----

    def heal(self):
        log('healing')
        if self.stepped:
            self.do_clock(-self.stepped)
        self.do_free()
        self.proxy.heal()
        for key in list(self.stopped):
            self.do_continue(*key)
        for what, child in self.children:
            try:
                out = child.communicate(timeout=QUIET_SECONDS)[0].decode(errors='replace').strip()
            except subprocess.TimeoutExpired:
                raise Failed(f'systemctl {what} does not come to an end') from None
            if child.returncode != 0:
                log(f'systemctl {what}: status {child.returncode}: {out}')
        until(QUIET_SECONDS, 'the services are up', lambda: service_pids('runner') and service_pids('orchestrator'))

    def settled(self):
        """Everybody has got and done all that was said, or has ended."""
        open_now = []
        for talk in self.talks:
            view = talk.view()
            if view['state'] == 'refused':
                talk.refused = True
                continue
            if view['state'] == 'ended':
                continue
            ledger = talk.ledger()
            if not talk.sent or ('done', str(talk.sent[-1][0])) not in ledger:
                open_now.append(f"{talk.id} ({view['state']}) has done {ledger[-1:] or 'nothing'} "
                                f'of {talk.sent[-1][0] if talk.sent else 0}')
        self.open_now = open_now
        return not open_now

    def delivered(self):
        status = self.status()
        self.open_now = [json.dumps(status)]
        return status.get('Connected') is True and status.get('QueuedBytes') == 0 and status.get('QueuedEvents') == 0

    def quiet(self):
        for talk in self.talks:
            talk.hurry.set()
        for talk in self.talks:
            talk.join(QUIET_SECONDS)
            if talk.is_alive():
                raise Failed(f'{talk.id} still sends')
            talk.finish()
        log('all was said, waiting for quiet')
        until(QUIET_SECONDS, lambda: f'all is done: {self.open_now}', self.settled)
        log('all was done')
        until(QUIET_SECONDS, lambda: f'all is delivered: {self.open_now}', self.delivered)

    def stop(self):
        for talk in self.talks:
            if talk.view()['state'] in ('ended', 'refused'):
                continue
            while True:
                try:
                    status, answer = admin('POST', f'/v1/conversations/{talk.id}/messages', {'method': 'conversation.stop'})
                except Unknown:
                    continue
                if status in (200, 201, 409):
                    break
                raise Failed(f'{talk.id} cannot be stopped: {status} {answer}')
        states = {}

        def all_ended():
            for talk in self.talks:
                states[talk.id] = talk.view()['state']
            return all(s in ('ended', 'refused') for s in states.values())

        until(QUIET_SECONDS, lambda: f'all have ended: {states}', all_ended)
        until(QUIET_SECONDS, lambda: f'all is delivered: {self.open_now}', self.delivered)
        log('all have ended')

    def left_over(self):
        pids = []
        for folder, _, _ in os.walk(f'{CGROUP}/northflare.slice'):
            pids += [(pid, folder.removeprefix(CGROUP)) for pid in pids_in(folder)]
        units = run('systemctl', 'list-units', '--all', '--plain', '--no-legend', 'northflare-*.scope')
        return pids, units

    def compare(self):
        problems = []
        for talk in self.talks:
            events = ask(f'/v1/conversations/{talk.id}/events')[1]
            problems += verify.conversation(talk, events, talk.id in self.agents_killed,
                                            talk.id in self.supervisors_killed, plan.fills(self.actions))
            for n, certain, message, _ in talk.sent:
                if certain != 'yes':
                    continue
                state = ask(f'/v1/messages/{message}')[1]
                if state['state'] != 'answered':
                    problems.append(f'{talk.id}: instruction {n} is {state["state"]}, not answered')
        every = ask('/v1/events')[1]
        problems += verify.ids(every)

        def nothing_left():
            return self.left_over() == ([], '')
        try:
            until(30, '', nothing_left)
        except Failed:
            problems.append(f'left over in northflare.slice: {self.left_over()}')

        def figures_are_small():
            now = self.figures()
            return now and (now['fds'] <= self.baseline['fds'] + FD_GROWTH_MAX and
                            now['memory'] <= self.baseline['memory'] + MEMORY_GROWTH_MAX)
        try:
            # The last requests may still be under way. What has leaked does not go by waiting.
            until(30, '', figures_are_small)
        except Failed:
            pass
        figures = self.figures()
        log('figures at the end:', figures, self.status())
        if not figures:
            problems.append('no runner at the end')
        else:
            if figures['fds'] > self.baseline['fds'] + FD_GROWTH_MAX:
                problems.append(f"descriptors grew from {self.baseline['fds']} to {figures['fds']}")
                log(run('ls', '-l', f"/proc/{service_pids('runner')[0]}/fd", ok=False))
            if figures['memory'] > self.baseline['memory'] + MEMORY_GROWTH_MAX:
                problems.append(f"memory grew from {self.baseline['memory']} to {figures['memory']} bytes")
        if self.status().get('SetAside', 0) != 0:
            problems.append('events were set aside')
        run('journalctl', '--sync', ok=False)
        problems += verify.journal(run('journalctl', '-q', '--no-pager', '-o', 'json',
                                       '--output-fields=MESSAGE,_SYSTEMD_UNIT,UNIT', '_PID=1', timeout=60), self.killed)
        problems += verify.steps(run('journalctl', '-q', '--no-pager', '-o', 'json', '--output-fields=MESSAGE', 'PRIORITY=3',
                                     '_SYSTEMD_UNIT=northflare-runner.service', timeout=60))
        return problems


def keep_evidence():
    os.makedirs('/out/state', exist_ok=True)
    subprocess.run(['cp', '-a', STATE, '/var/lib/northflare-orchestrator', '/var/lib/northflare-agent', '/out/state/'], check=False)
    with open('/out/state/units', 'w') as f:
        f.write(run('systemctl', 'list-units', '--all', 'northflare-*', ok=False) + '\n')
        f.write(run('systemd-cgls', '--no-pager', ok=False) + '\n')
        f.write(run('ps', 'axo', 'pid,ppid,stat,wchan:20,cgroup:90,cmd', ok=False) + '\n')
        f.write(run('northflarectl', 'list', ok=False, timeout=20) + '\n')


def main():
    seed = int(os.environ['NF_CASE'])
    world = World(seed, os.environ.get('NF_RELEASE', ''))
    log(f'seed {seed}, {len(world.actions)} actions, {len(world.talks)} conversations:',
        ', '.join(f"{c['id']} {c['agent']} at {c['at']}" for c in world.conversations))
    try:
        world.set_up()
        for talk in world.talks:
            talk.start()
        world.wreak()
        world.heal()
        world.quiet()
        world.stop()
        problems = world.compare()
    except Failed as e:
        problems = [str(e)]
    except Exception:
        problems = [traceback.format_exc()]
    for problem in problems:
        log('PROBLEM:', problem)
    lines = sum(len([1 for t in talk.ledger() if t[0] == 'done']) for talk in world.talks)
    summary = {'seed': seed, 'actions': world.done, 'conversations': len(world.talks), 'instructions': lines,
               'problems': problems, 'seconds': round(time.monotonic() - begun, 1),
               'faults': world.proxy.stats if world.proxy else {}, 'killed': world.killed}
    if problems:
        keep_evidence()
    with open('/out/summary', 'w') as f:
        json.dump(summary, f)
    log(json.dumps(summary))
    sys.exit(1 if problems else 0)


if __name__ == '__main__':
    main()
