# SPDX-License-Identifier: MIT
"""Run by an agent: tries what it must not be able to do. Each attempt is a line "held N NAME" or "BROKEN N NAME: what
happened", where N is the number of the way in docs/security.md; "way N TITLE" begins one.

attack.py FACTS.json
"""
import ctypes
import errno
import glob
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

with open(sys.argv[1]) as facts_file:
    facts = json.load(facts_file)
me, others_scope = os.getuid(), facts['scope']
libc = ctypes.CDLL(None, use_errno=True)
number = 0


def way(n, title):
    global number
    number = n
    print(f'way {n} {title}', flush=True)


def verdict(name, broken, detail=''):
    detail = str(detail).replace('\n', ' ')[:300]
    print(f'BROKEN {number} {name}: {detail}' if broken else f'held {number} {name}', flush=True)
    print(f'# {name}: {detail}', flush=True)


DENIED = r'(?i)denied|not permitted|permission|rejected|refused|not authori|not available|no new privileges'


def refused(name, *argv, says=DENIED, **more):
    """A command that must fail, by being refused and not for another reason."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False, stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired:
        verdict(name, True, 'it hung')
        return
    except OSError as error:
        verdict(name, True, f'could not be tried: {error}')
        return
    text = done.stdout.decode(errors='replace')
    verdict(name, done.returncode == 0 or not re.search(says, text), f'status {done.returncode}: {text}')


def denied(name, function, *args, also=()):
    """A call that must fail for want of permission; what is not there was not tried."""
    try:
        result = function(*args)
    except OSError as error:
        verdict(name, error.errno not in (errno.EPERM, errno.EACCES, *also), error)
    else:
        verdict(name, True, repr(result))


def control(name, function, *args):
    """What is allowed, so that the refusals above are not for a mistake of this program's."""
    try:
        function(*args)
    except OSError as error:
        verdict(f'{name} (control)', True, error)
    else:
        verdict(f'{name} (control)', False)


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def read(path):
    if os.path.isdir(path):
        return os.listdir(path)
    with open(path, 'rb') as f:
        return f.read(64)


def syscall(n, *args):
    r = libc.syscall(n, *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def cgroup(pid='self'):
    with open(f'/proc/{pid}/cgroup') as f:
        return next(line[3:].strip() for line in f if line.startswith('0::'))


def busctl(name, service, path, interface, *call):
    refused(name, 'busctl', 'call', service, path, interface, *call)


home = cgroup()
mount = next(m for m in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup') if os.path.exists(m + '/cgroup.procs'))
login = ('org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager')
systemd = ('org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager')
launcher = ('org.northflare.Launcher1', '/org/northflare/Launcher1', 'org.northflare.Launcher1')
manager = ('org.northflare.Runner1', '/org/northflare/Runner1', 'org.northflare.Runner1.Manager')
victims = facts['processes']  # name -> pid; none of them is this agent's

# What was refused last of all would be the end of the attack: nothing here waits for a password.
os.environ['SYSTEMD_ASK_PASSWORD'] = '0'

way(1, 'Another cgroup')
for target in ('', '/northflare.slice', '/system.slice', os.path.dirname(home), f'/northflare.slice/{others_scope}',
               f'/northflare.slice/{others_scope}/agent', '/system.slice/northflare-runner.service'):
    denied(f'move itself to {target or "/"}', write, f'{mount}{target}/cgroup.procs', str(os.getpid()))
denied('move a thread', write, f'{mount}{os.path.dirname(home)}/cgroup.threads', str(os.getpid()))
verdict('have moved', cgroup() != home, cgroup())

way(2, 'Its own limits')
for name in ('memory.max', 'pids.max', 'cpu.max', 'cgroup.freeze', 'cgroup.kill', 'cgroup.subtree_control', 'cgroup.max.depth'):
    for where in (home, os.path.dirname(home), '/northflare.slice'):
        path = mount + where + '/' + name
        if os.path.exists(path):
            denied(f'write {name} of {where}', write, path, '1')
denied('make a cgroup', os.mkdir, mount + home + '/mine')
for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE):
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(limit, (hard, hard + 1))
            verdict(f'raise resource limit {limit}', True)
        except (ValueError, PermissionError) as error:
            verdict(f'raise resource limit {limit}', False, error)

way(3, 'Daemons')
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

way(4, 'Lingering')
busctl('SetUserLinger', *login, 'SetUserLinger', 'ubb', str(me), 'true', 'false')
refused('loginctl enable-linger', 'loginctl', 'enable-linger')
denied('a file in logind\'s folder', write, '/var/lib/systemd/linger/' + facts['user'], '', also=(errno.ENOENT,) if not os.path.exists('/var/lib/systemd/linger') else ())

way(5, 'A manager of its own')
refused('systemd-run --user', 'env', f'XDG_RUNTIME_DIR=/run/user/{me}', 'systemd-run', '--user', '--wait', 'true', says=DENIED + '|No such file|No medium')
busctl('start user@.service', *systemd, 'StartUnit', 'ss', f'user@{me}.service', 'replace')
busctl('CreateSession', *login, 'CreateSession', 'uusssssussbssa(sv)', str(me), str(os.getpid()), 'x', 'tty', 'user', '', '', '0', '', '', 'false', '', '', '0')
refused('a manager of one\'s own by hand', 'env', f'XDG_RUNTIME_DIR={os.environ["TMPDIR"]}', facts['systemd'], '--user', '--unit=default.target', says='')

way(6, 'Units of its own')
busctl('StartTransientUnit', *systemd, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', 'x.scope', 'fail', '1', 'PIDs', 'au', '1', str(os.getpid()), '0')
busctl('AttachProcessesToUnit', *systemd, 'AttachProcessesToUnit', 'ssau', 'system.slice', '', '1', str(os.getpid()))
refused('systemd-run', 'systemd-run', '--no-ask-password', '--wait', 'true')
refused('systemd-run --scope', 'systemd-run', '--no-ask-password', '--scope', 'true')
busctl('SetUnitProperties', *systemd, 'SetUnitProperties', 'sba(sv)', os.path.basename(os.path.dirname(home)), 'true', '1', 'TasksMax', 't', '9999')
for folder in ('/run/systemd/system', '/run/systemd/transient', '/etc/systemd/system', '/run/systemd/system.control'):
    if os.path.isdir(folder):
        denied(f'a unit file in {folder}', write, folder + '/x.service', '')

way(7, 'Stopping and killing units')
for unit in (others_scope, 'northflare-runner.service', 'northflare.slice', 'dbus.service'):
    busctl(f'StopUnit {unit}', *systemd, 'StopUnit', 'ss', unit, 'replace')
    busctl(f'KillUnit {unit}', *systemd, 'KillUnit', 'ssi', unit, 'all', '9')
busctl('FreezeUnit', *systemd, 'FreezeUnit', 's', others_scope)
refused('systemctl stop', 'systemctl', '--no-ask-password', 'stop', others_scope)
busctl('PowerOff', *login, 'PowerOff', 'b', 'false')
refused('the host name', 'hostnamectl', '--no-ask-password', 'set-hostname', 'broken')

way(8, 'Sockets')


def connect(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        s.connect(path)


control('connect to the bus', connect, '/run/dbus/system_bus_socket')
for path in facts['sockets']:
    denied(f'connect to {path}', connect, path)
# Whatever else there is in /run that takes a connection: systemd's own, which are for everybody, and nothing of ours.
for path in sorted(glob.glob('/run/**', recursive=True)):
    try:
        connect(path)
    except OSError:
        continue
    verdict(f'connect to {path}', not re.match('/run/(dbus/|systemd/(journal|userdb|resolve|io\\.systemd?\\.|machine|importd|sysext|hostname|nspawn)|udev/|nscd/|ssh-unix-local/)', path), path)

way(9, 'The launcher')
for verb in ('Stop', 'Kill', 'Freeze', 'Thaw', 'Collect'):
    busctl(verb, *launcher, verb, 's', others_scope)
busctl('Pending', *launcher, 'Pending')
busctl('SetLimits', *launcher, 'SetLimits', 'sa{st}', others_scope, '0')
refused('introspection', 'busctl', 'introspect', *launcher[:2])

way(10, 'The runner\'s objects')
conversation = ('org.northflare.Runner1', '/org/northflare/Runner1/conversation/c_2d1', 'org.northflare.Runner1.Conversation')
busctl('ListConversations', *manager, 'ListConversations')
busctl('Drain', *manager, 'Drain')
busctl('Reload', *manager, 'Reload')
busctl('StartConversation', *manager, 'StartConversation', 'a{sv}', '1', 'agent', 's', 'shell')
busctl('Describe', *conversation, 'Describe')
busctl('Stop', *conversation, 'Stop', 'a{sv}', '0')
busctl('SendMessage', *conversation, 'SendMessage', 's', 'touch broken')
busctl('ReadEvents', *conversation, 'ReadEvents', 'su', '', '10')
busctl('ReadEvent', *conversation, 'ReadEvent', 'st', '', '0')
busctl('GetManagedObjects', *manager[:2], 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
refused('a property', 'busctl', 'get-property', *manager, 'State')
refused('the log level', 'busctl', 'set-property', 'org.northflare.Runner1', '/org/freedesktop/LogControl1', 'org.freedesktop.LogControl1', 'LogLevel', 's', 'debug')
for verb in (('list',), ('stop', 'c-1'), ('run', 'true'), ('drain',)):
    refused(f'northflarectl {verb[0]}', 'northflarectl', *verb)

way(11, 'The runner\'s name')
for name in ('org.northflare.Runner1', 'org.northflare.Launcher1', 'org.example.Agent'):
    busctl(f'own {name}', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName', 'su', name, '4')

way(12, 'The orchestrator\'s administration')
for words in (('token', 'list'), ('token', 'create'), ('conversation', 'stop', 'c-1')):
    refused(' '.join(words), 'northflare-orchestrator', *words, says='Failed to connect to the orchestrator')

way(13, 'The orchestrator without a token')


def post(token):
    body = {'jsonrpc': '2.0', 'method': 'conversation.ended', 'params': {'conversationId': 'c-1', 'messageId': 'forged', 'reason': 'stopped'}}
    headers = {'Content-Type': 'application/json', 'X-Runner-Id': '1'}
    if token:
        headers['Authorization'] = f'Bearer {token}'
    with urllib.request.urlopen(urllib.request.Request(facts['url'] + '/api/runner/messages', json.dumps(body).encode(), headers), timeout=20) as answer:
        return answer.status


for name, token in (('none', None), ('an empty one', ' '), ('an invented one', 'nf_' + 'x' * 40)):
    try:
        verdict(f'post with {name}', True, post(token))
    except urllib.error.HTTPError as error:
        verdict(f'post with {name}', error.code != 401, error)
    except OSError as error:
        verdict(f'post with {name}', True, f'could not be tried: {error}')

way(14, 'The token')
for path in facts['token files']:
    denied(f'read {path}', read, path)
verdict('an argument of any process', any(facts['token hint'] in pathlib.Path(p).read_text(errors='replace') for p in glob.glob('/proc/[0-9]*/cmdline')
                                          if os.path.exists(p)))

way(15, 'The store')
for path in facts['store files']:
    denied(f'read {path}', read, path)
denied('write into the clones\' cache', write, '/var/cache/northflare-git/x', 'x')

way(16, 'A fake outcome')
for name in ('outcome.json', 'outcome.json.new', 'started', 'out.log', 'in.log', 'bell'):
    denied(f'write {name} of its own run', write, facts['own run'] + '/' + name, '{"exitCode":0}')
denied('remove started', os.unlink, facts['own run'] + '/started')
for link in ('cwd', 'root', 'fd/3', 'fd/4'):
    denied(f'by its supervisor\'s {link}', lambda l: os.listdir(f'/proc/{facts["own supervisor"]}/{l}'), link)

way(17, 'Words of the runner')
shell_agent = os.getppid()
while b'shell-agent' not in pathlib.Path(f'/proc/{shell_agent}/cmdline').read_bytes():
    with open(f'/proc/{shell_agent}/stat') as f:
        shell_agent = int(f.read().rsplit(')', 1)[1].split()[1])
# The run script looks at what came of these. It is its own agent, so nobody stops it from writing there.
with open(f'/proc/{shell_agent}/fd/1', 'w') as pipe:
    for conversation_id in ('c-1', 'c-2'):
        for line in ({'jsonrpc': '2.0', 'method': 'conversation.ended', 'params': {'conversationId': conversation_id, 'reason': 'forged'}},
                     {'jsonrpc': '2.0', 'id': 1, 'method': 'runner.register', 'params': {'protocol': 1}},
                     {'type': 'conversation.ended', 'conversationId': conversation_id, 'reason': 'forged'},
                     {'type': 'turn_end', 'conversationId': conversation_id, 'id': 'none', 'ok': True, 'outcome': {'reason': 'forged'}}):
            pipe.write(json.dumps(line) + '\n')
verdict('written', False)

way(18, 'Forged journal lines')
FIELDS = [('MESSAGE', 'forged: the agent'), ('MESSAGE_ID', facts['message id']), ('NORTHFLARE_CONVERSATION_ID', 'c-1'), ('CONVERSATION_ID', 'c-1'),
          ('_SYSTEMD_UNIT', 'northflare-runner.service'), ('_UID', '0'), ('_PID', '1'), ('UNIT', 'northflare-runner.service'), ('PRIORITY', '3'),
          ('OBJECT_SYSTEMD_UNIT', 'northflare-runner.service'), ('OBJECT_PID', str(victims['the runner'])), ('SYSLOG_IDENTIFIER', 'northflare-runner')]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(''.join(f'{k}={v}\n' for k, v in FIELDS).encode(), '/run/systemd/journal/socket')
    s.sendto(b'<3>northflare-runner[1]: forged: by syslog', '/run/systemd/journal/dev-log')
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
    s.connect('/run/systemd/journal/stdout')
    # identifier, unit, priority, and three flags: the unit is believed of root alone.
    s.sendall(b'northflare-runner\nnorthflare-runner.service\n6\n0\n0\n0\n0\nforged: by a stream\n')
denied('write into the kernel\'s log', write, '/dev/kmsg', 'forged', also=(errno.ENOENT,) if not os.path.exists('/dev/kmsg') else ())
verdict('sent', False)

way(19, 'Forged notifications')
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(f'READY=1\nSTOPPING=1\nSTATUS=forged\nMAINPID={os.getpid()}\nWATCHDOG=trigger\nFDSTORE=1'.encode(), '/run/systemd/notify')
verdict('sent', False)

way(20, 'Signals')
control('signal a child of its own', os.kill, os.getppid(), 0)
for who, pid in victims.items():
    for s in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP, 0):
        denied(f'signal {int(s)} to {who}', os.kill, pid, s)
    try:
        fd = os.pidfd_open(pid)
        denied(f'a pidfd\'s signal to {who}', signal.pidfd_send_signal, fd, signal.SIGKILL)
        os.close(fd)
    except OSError as error:
        verdict(f'a pidfd of {who}', error.errno not in (errno.EPERM, errno.EACCES), error)

way(21, 'ptrace and memory')


def ptrace(pid):
    if libc.ptrace(16, pid, None, None) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(pid, 0x40000000)  # __WALL
    libc.ptrace(17, pid, None, None)


def process_vm_readv(pid):
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    syscall(310, pid, local, 1, (ctypes.c_size_t * 2)(0x400000, 8), 1, 0)


child = subprocess.Popen(['sleep', '100'])
control('ptrace of a child of its own', ptrace, child.pid)
for who, pid in victims.items():
    denied(f'ptrace {who}', ptrace, pid)
    denied(f'read the memory of {who}', lambda p: open(f'/proc/{p}/mem', 'rb').read(1), pid)
    denied(f'process_vm_readv of {who}', process_vm_readv, pid)

way(22, '/proc of others')
control('read the environment of a child of its own', read, f'/proc/{child.pid}/environ')
child.kill()
child.wait()
for who, pid in victims.items():
    for name in ('environ', 'maps', 'auxv', 'io', 'stack', 'fd', 'fdinfo', 'map_files'):
        denied(f'{name} of {who}', read, f'/proc/{pid}/{name}')
    for name in ('cwd', 'root', 'exe'):
        denied(f'{name} of {who}', os.readlink, f'/proc/{pid}/{name}')
    for name in ('oom_score_adj', 'coredump_filter', 'comm', 'timerslack_ns'):
        denied(f'write {name} of {who}', write, f'/proc/{pid}/{name}', '0')

way(23, 'Directories of other conversations')
for path in facts['folders']:
    denied(f'read {path}', read, path)
    denied(f'write below {path}', write, path + '/broken', '')
control('read its own', read, os.environ['HOME'])

way(25, 'Descriptors left open')
names = {}
for p in (f'/proc/{shell_agent}/fd', '/proc/self/fd'):
    for f in os.listdir(p):
        if os.path.lexists(f'{p}/{f}'):
            names[f'{p}/{f}'] = os.readlink(f'{p}/{f}')
verdict('a file, a folder or a device of others', any(re.search('northflare(?!-agent)|^/dev/(?!null)|/cgroup|store|token', n) and '/attack' not in n for n in names.values()), names)

way(26, 'Variables left behind')
verdict('of the services', any(re.search('CREDENTIAL|NOTIFY|WATCHDOG|LISTEN|JOURNAL_STREAM|INVOCATION|STATE_DIR|RUNTIME_DIR|TOKEN|FDSTORE|DBUS|XDG', k)
                               for k in os.environ), list(os.environ))

way(27, 'Keys left behind')
KEYCTL, ADD_KEY = 250, 248


def describe_session():
    buffer = ctypes.create_string_buffer(256)
    syscall(KEYCTL, 6, -3, buffer, 256)  # KEYCTL_DESCRIBE of the session keyring
    return buffer.value.decode()


try:
    text = describe_session()
    verdict('a session keyring of somebody else\'s', f';{me};' not in text, text)
    # Read by the next agent, of another user, should they share it.
    syscall(ADD_KEY, b'user', b'nf-secret', b'mine', 4, -3)
    syscall(KEYCTL, 5, syscall(KEYCTL, 10, -3, b'user', b'nf-secret', 0), 0x3f3f3f3f)  # KEYCTL_SETPERM of what KEYCTL_SEARCH finds
    verdict('leave a key', False)
except OSError as error:
    verdict('keyrings', error.errno not in (errno.EPERM, errno.ENOSYS), error)

way(28, 'Programs with setuid')
for name, argv in (('sudo', ('sudo', '-n', 'true')), ('su', ('su', '-c', 'true')), ('pkexec', ('pkexec', 'true')), ('mount', ('mount', '-t', 'tmpfs', 'x', '/mnt')),
                   ('passwd', ('passwd', '-d', facts['user'])), ('newgrp', ('newgrp', 'northflare-admin')), ('chsh', ('chsh', '-s', '/bin/sh'))):
    if subprocess.run(['sh', '-c', f'command -v {name}'], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        refused(name, *argv, says='.')
denied('setuid', os.setuid, 0)
denied('setgroups', os.setgroups, [0])
got = subprocess.run([facts['setuid'], '-u'], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
verdict('a program of root\'s with the bit', got != str(me), got)

way(29, 'Namespaces')
script = f'''
for d in {mount} {mount}/northflare.slice {mount}/northflare.slice/{others_scope}/agent; do echo $$ >$d/cgroup.procs && echo BROKEN moved to $d; done
mkdir -p "$TMPDIR/c" && mount -t cgroup2 c "$TMPDIR/c" && echo $$ >"$TMPDIR/c/cgroup.procs" && ! grep -q '^0::{home}$' /proc/self/cgroup && echo BROKEN moved by a mount
kill -0 {victims['the runner']} && echo BROKEN signal
cat {facts['token files'][0]} && echo BROKEN token
cat {facts['folders'][0]}/secret && echo BROKEN folder
busctl call {' '.join(systemd)} StopUnit ss {others_scope} replace && echo BROKEN bus
busctl call {' '.join(manager)} ListConversations && echo BROKEN runner
echo tried it all'''
for flags in ('-Ur', '-UrmC', '-UrmpfC', '-Urmn'):
    done = subprocess.run(['unshare', flags, 'sh', '-c', script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    text = done.stdout.decode(errors='replace')
    # It has to have run to its end: what could not be begun was not tried.
    verdict(f'as root of a namespace: unshare {flags}', 'BROKEN' in text or 'tried it all' not in text, text[-300:])

way(30, 'The kernel')
denied('mount', lambda: syscall(165, b'none', b'/mnt', b'tmpfs', 0, None))
denied('reboot', lambda: syscall(169, 0xfee1dead, 672274793, 0, None))
denied('settimeofday', lambda: syscall(164, ctypes.byref((ctypes.c_long * 2)(1, 0)), None))
denied('sethostname', lambda: syscall(170, b'broken', 6))
denied('init_module', lambda: syscall(175, None, 0, b''))
denied('chroot', os.chroot, '/tmp')
denied('swapon', lambda: syscall(167, b'/etc/passwd', 0))
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/vm/overcommit_memory', '/proc/sysrq-trigger', '/etc/northflare/launcher.json', '/etc/northflare/runner.json',
             '/usr/bin/northflare-runner', facts['libexec'] + '/northflare-supervisor', facts['libexec'] + '/northflare-shell-agent', facts['libexec'] + '/northflare-claude-entry'):
    if not os.path.exists(path):
        continue
    denied(f'write {path}', write, path, 'x', also=(errno.EROFS, errno.ETXTBSY))
for path in ('/dev/mem', '/dev/kmem', '/dev/sda', '/dev/vda', '/dev/loop-control', '/dev/fuse'):
    if os.path.exists(path):
        denied(f'open {path}', os.open, path, os.O_RDWR)

way(31, 'Priority')
denied('nice -5', os.setpriority, os.PRIO_PROCESS, 0, -5)
denied('SCHED_FIFO', os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(10))
with open('/proc/self/oom_score_adj') as f:
    score = int(f.read())
denied('a lower OOM score', write, '/proc/self/oom_score_adj', str(max(score - 100, -1000)))

way(32, 'A login by ssh')
ssh = facts['home'] + '/.ssh'
os.makedirs(ssh, 0o700, exist_ok=True)
subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', ssh + '/id'], stdin=subprocess.DEVNULL, check=False)
os.replace(ssh + '/id.pub', ssh + '/authorized_keys')
options = ['-F', '/dev/null', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '-i', ssh + '/id',
           '-p', str(facts['ssh port']), facts['user'] + '@127.0.0.1']
refused('a command', 'ssh', *options, 'id')
refused('a shell', 'ssh', '-tt', *options)
refused('sftp', 'ssh', '-s', *options, 'sftp', says=DENIED + '|currently')

print('done', flush=True)
