#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What root runs of the launcher, and what it may do, against what docs/security.md says. $1: the source."""

import glob
import os
import re
import sys

# Physical lines that run before the last privilege is dropped: the launcher's own, and those of src/common that they use.
LINES_MAX, COMMON_MAX = 1500, 1350
METHODS = ['Start', 'Stop', 'Kill', 'Freeze', 'Thaw', 'SetLimits', 'Collect', 'Pending']
CAPABILITIES = 'CAP_KILL CAP_SETUID CAP_SETGID'
# Every file that is opened with privileges. An entry more is one more thing that an attacker may have prepared.
OPENS = {
    'child.c': ['open("/dev/null", O_WRONLY | O_CLOEXEC)'],
    'settings.c': [
        'read_file_at(AT_FDCWD, path, SETTINGS_BYTES_MAX, &text, &file.size)',
        'open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC)',
        'read_file_at(s->state_fd, "workspaces", WORKSPACES_BYTES_MAX, &text, NULL)',
        'openat(s->state_fd, "workspaces", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)',
    ],
    'sum.c': ['cgroup_read_value(AT_FDCWD, path, "", &value)', 'opendir(slice_path)'],
    'task.c': ['cgroup_is_empty(path)'],
}
# What runs behind the drop, and the one place that calls it; function is an argument of child_ask(), of which ANSWERS has all.
DROPPED = {'program_run': 'child.c', 'supervisor_exec': 'child.c', 'function': 'child.c'}
ANSWERS = {'settings_file_answer': 'settings.c', 'arguments_answer': 'task.c'}

top = sys.argv[1]
failed = False


def error(text):
    global failed
    failed = True
    print(text)


def read(name):
    with open(os.path.join(top, name)) as f:
        return f.read()


def same(what, found, expected):
    if found != expected:
        error(f'{what}: {found}, not {expected}')


def code(name):
    """without comments, on one line"""
    return ' '.join(re.sub(r'/\*.*?\*/', ' ', read(name), flags=re.S).split())


def call(text, at):
    """the call that begins there, to its closing parenthesis"""
    depth = 0
    for i in range(text.index('(', at), len(text)):
        depth += (text[i] == '(') - (text[i] == ')')
        if depth == 0:
            return text[at:i + 1]


def lines(names):
    return sum(read(n).count('\n') for n in names)


def common_of(names):
    """the files of src/common that they use, directly or by others of it"""
    found, todo = set(), list(names)
    while todo:
        for stem in re.findall(r'#include "common/([a-z-]+)\.h"', read(todo.pop())):
            for name in (f'src/common/{stem}.h', f'src/common/{stem}.c'):
                if os.path.exists(os.path.join(top, name)) and name not in found:
                    found.add(name)
                    todo.append(name)
    return sorted(found)


sources = sorted(os.path.relpath(n, top) for n in glob.glob(os.path.join(top, 'src/launcher/*.[ch]')))
n = lines(sources)
if not 0 < n <= LINES_MAX:
    error(f'src/launcher without dropped/ has {n} lines, more than {LINES_MAX}')

same('methods in main.c', re.findall(r'SD_BUS_METHOD\( *"(\w+)"', code('src/launcher/main.c')), METHODS)
same('methods in the XML', re.findall(r'<method name="(\w+)"', read('dbus/org.northflare.Launcher1.xml')), METHODS)

opens = r'\b(?:open|openat|openat2|fopen|opendir|read_file_at|cgroup_\w+|mkdir\w*|write_file_\w+|remove_tree_at)\('
found = {}
for name in sources:
    if name.endswith('.c'):
        text = code(name)
        text = re.sub(r'\( ', '(', text)
        if calls := [call(text, m.start()) for m in re.finditer(opens, text)]:
            found[os.path.basename(name)] = calls
same('files opened with privileges', found, OPENS)

unit = read('units/northflare-launcher.service.in')
same('CapabilityBoundingSet=', re.findall(r'^CapabilityBoundingSet=(.*)$', unit, re.M), [CAPABILITIES])
for name in ('units/northflare-launcher.service.in', 'units/northflare-launcher-user.service.in'):
    for setting in re.findall(r'^((?:Ambient|Secure|User=|NoNewPrivileges)\S*)', read(name), re.M):
        error(f'{name} has {setting}')

for function, place in DROPPED.items():
    callers = [os.path.basename(n) for n in sources for _ in re.finditer(rf'\b{function}\(', code(n)) if n.endswith('.c')]
    same(f'callers of {function}()', callers, [place])
    body = next(b for b in read(f'src/launcher/{place}').split('\n}\n') if f'{function}(' in b)
    before = body.split(f'{function}(')[0]
    if not re.search(r'\b(?:become|drop_privileges)\(', before):
        error(f'{place} calls {function}() without a drop of privileges before it')
for function, place in ANSWERS.items():
    uses = [os.path.basename(n) for n in sources for _ in re.finditer(rf'\b{function}\b', code(n)) if n.endswith('.c')]
    same(f'uses of {function}()', uses, [place])
    if not re.search(rf'\bchild_ask\([^()]+, {function}, ', code(f'src/launcher/{place}')):
        error(f'{place} does not ask for {function}() by child_ask()')
declared = {f for n in glob.glob(os.path.join(top, 'src/launcher/dropped/*.h'))
            for f in re.findall(r'(\w+)\([^()]*\);', code(n)) if not f.startswith('__')}
for name in sources:
    for function in sorted((declared - set(DROPPED) - set(ANSWERS)) & set(re.findall(r'\w+', code(name)))):
        error(f'{name} uses {function}() of src/launcher/dropped')
for name in sources:
    if re.search(r'\bjson_|common/json', code(name)):
        error(f'{name} parses JSON with privileges')

common = common_of(sources)
if lines(common) > COMMON_MAX:
    error(f'what it uses of src/common has {lines(common)} lines, more than {COMMON_MAX}')
security = ' '.join(read('docs/security.md').split())
for text in (f'at most {LINES_MAX:,} physical lines', f'at most {COMMON_MAX:,} more of `src/common`',
             f'{len(METHODS)} methods', ' and '.join(CAPABILITIES.replace(' ', ', ').rsplit(', ', 1))):
    if text not in security:
        error(f'docs/security.md does not say “{text}”')
print(f'{n} lines in src/launcher, {lines(common)} in {" ".join(os.path.basename(c) for c in common)}')
sys.exit(failed)
