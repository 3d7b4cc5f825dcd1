# SPDX-License-Identifier: MIT
"""Run by an agent: tries what it must not be able to do. Prints `held NAME` or `BROKEN NAME: detail` for each.

attack.py SUPERVISOR-PID SCOPE-OF-ANOTHER RUNNER-PID RUNNER-UNIT
"""
import ctypes
import glob
import os
import signal
import subprocess
import sys

supervisor, scope, runner, unit = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]


def cgroup(pid='self'):
    with open(f'/proc/{pid}/cgroup') as f:
        return next(line[3:].strip() for line in f if line.startswith('0::'))


def verdict(name, broken, detail=''):
    print(f'BROKEN {name}: {detail}'.replace('\n', ' ') if broken else f'held {name}', flush=True)
    print(f'# {name}: {detail}'.replace('\n', ' '), flush=True)


def refused(name, *argv):
    """A command that must fail by itself; not found or hanging is no proof."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=15, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        verdict(name, True, 'it hung')
        return
    except OSError as error:
        verdict(name, True, f'could not be tried: {error}')
        return
    verdict(name, done.returncode == 0, done.stdout.decode(errors='replace')[:300])


def denied(name, function, *args):
    try:
        result = function(*args)
    except (PermissionError, FileNotFoundError, ProcessLookupError) as error:
        verdict(name, False, str(error))
    except OSError as error:
        verdict(name, error.errno not in (1, 13, 16, 30), str(error))
    else:
        verdict(name, True, repr(result)[:200])


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


home = cgroup()
mount = next(m for m in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup') if os.path.exists(m + '/cgroup.procs'))

# Out of the cgroup, by hand.
for target in ('', '/northflare.slice', '/system.slice', os.path.dirname(home), f'/northflare.slice/{scope}', f'/northflare.slice/{scope}/agent'):
    denied(f'move itself to {target or "/"}', write, f'{mount}{target}/cgroup.procs', str(os.getpid()))
for name in ('memory.max', 'pids.max', 'cgroup.freeze', 'cgroup.kill', 'cgroup.subtree_control'):
    for where in (home, os.path.dirname(home)):
        path = mount + where + '/' + name
        if os.path.exists(path):
            denied(f'write {name} of {"its own" if where == home else "the scope"} cgroup', write, path, '1')
denied('make a cgroup', os.mkdir, mount + home + '/mine')

# Out by somebody else's hand.
me = str(os.getuid())
login = ('org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager')
systemd = ('org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager')
refused('linger (SetUserLinger)', 'busctl', 'call', *login, 'SetUserLinger', 'ubb', me, 'true', 'false')
refused('linger (loginctl)', 'loginctl', 'enable-linger')
refused('systemd-run --user', 'env', f'XDG_RUNTIME_DIR=/run/user/{me}', 'systemd-run', '--user', '--wait', 'true')
refused('systemd-run', 'systemd-run', '--no-ask-password', '--wait', 'true')
refused('systemd-run --scope', 'systemd-run', '--no-ask-password', '--scope', 'true')
refused('StopUnit of another conversation', 'busctl', 'call', *systemd, 'StopUnit', 'ss', scope, 'replace')
refused('StopUnit of the runner', 'busctl', 'call', *systemd, 'StopUnit', 'ss', unit, 'replace')
refused('StartTransientUnit', 'busctl', 'call', *systemd, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', 'x.scope', 'fail', '1', 'PIDs', 'au', '1', str(os.getpid()), '0')
refused('AttachProcessesToUnit', 'busctl', 'call', *systemd, 'AttachProcessesToUnit', 'ssau', 'system.slice', '', '1', str(os.getpid()))
refused('KillUnit', 'busctl', 'call', *systemd, 'KillUnit', 'ssi', scope, 'all', '9')
refused('the host name', 'hostnamectl', '--no-ask-password', 'set-hostname', 'broken')
refused('own the runner\'s name', 'busctl', 'call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName', 'su', 'org.northflare.Runner1', '4')

# The product's own objects.
launcher = ('org.northflare.Launcher1', '/org/northflare/Launcher1', 'org.northflare.Launcher1')
manager = ('org.northflare.Runner1', '/org/northflare/Runner1', 'org.northflare.Runner1.Manager')
for verb in ('Stop', 'Freeze', 'Thaw', 'Collect'):
    refused(f'launcher {verb}', 'busctl', 'call', *launcher, verb, 's', scope)
refused('launcher Pending', 'busctl', 'call', *launcher, 'Pending')
refused('launcher introspection', 'busctl', 'introspect', *launcher[:2])
refused('runner ListConversations', 'busctl', 'call', *manager, 'ListConversations')
refused('runner Drain', 'busctl', 'call', *manager, 'Drain')
refused('runner StartConversation', 'busctl', 'call', *manager, 'StartConversation', 'a{sv}', '1', 'agent', 's', 'shell')
refused('northflarectl stop', 'northflarectl', 'stop', 'c-1')
refused('northflarectl list', 'northflarectl', 'list')
refused('the orchestrator\'s administration', 'northflare-orchestrator', 'token', 'list')
refused('setuid programs', 'sudo', '-n', 'true')
refused('su', 'su', '-c', 'true')

# Files.
for path in ['/etc/northflare/runner-token', '/var/lib/northflare', '/var/lib/northflare/store.db', '/var/lib/northflare/conversations/c-2/1/in.log',
             '/var/lib/northflare/conversations/c-2/1/bell', '/run/credentials/' + unit + '/runner-token', '/run/credentials/' + unit,
             '/var/lib/northflare-orchestrator', '/run/northflare-orchestrator/admin.socket']:
    denied(f'read {path}', lambda p: os.listdir(p) if os.path.isdir(p) else open(p).read(), path)
denied('write into the clones\' cache', write, '/var/cache/northflare-git/x', 'x')
fds = [os.readlink(f) for f in glob.glob('/proc/self/fd/*') if os.path.exists(f) and int(f.rsplit('/', 1)[1]) > 2]
verdict('find a descriptor of the runner', any('northflare' in f and 'attack' not in f for f in fds), str(fds))
verdict('find a credential in its environment', any(k in os.environ for k in ('CREDENTIALS_DIRECTORY', 'NOTIFY_SOCKET', 'NORTHFLARE_RUNNER_TOKEN', 'WATCHDOG_PID')))

# Processes that are not its own.
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(pid):
    if libc.ptrace(16, pid, None, None) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    libc.ptrace(17, pid, None, None)


def supervisor_of(pid):
    """The supervisor above this process."""
    while pid > 1:
        with open(f'/proc/{pid}/status') as f:
            fields = dict(line.split(':\t', 1) for line in f if ':\t' in line)
        if fields['Name'].strip().startswith('northflare-supe'):
            return pid
        pid = int(fields['PPid'])
    return None


own = supervisor_of(os.getpid())
verdict('lose its supervisor', own is None)
for who, pid in (('its own supervisor', own), ('another supervisor', supervisor), ('the runner', runner)):
    if not pid:
        continue
    for s in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, 0):
        denied(f'signal {int(s)} to {who}', os.kill, pid, s)
    denied(f'ptrace {who}', ptrace, pid)
    denied(f'read the memory of {who}', lambda p: open(f'/proc/{p}/mem', 'rb').read(1), pid)
    denied(f'read the environment of {who}', lambda p: open(f'/proc/{p}/environ', 'rb').read(), pid)
    denied(f'list the descriptors of {who}', lambda p: os.listdir(f'/proc/{p}/fd'), pid)

# After all that: where it was.
out, inn = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(inn, cgroup().encode())
    os._exit(0)
os.close(inn)
with os.fdopen(out) as f:
    where = f.read()
verdict('leave by setsid and a double fork', where != home, where)
verdict('have moved', cgroup() != home, cgroup())
print('done', flush=True)
