# SPDX-License-Identifier: MIT
"""What must hold when a seed is over. Each function returns problems, in words."""
import json
import re


def first_difference(got, wanted):
    for i, (a, b) in enumerate(zip(got, wanted)):
        if a != b:
            return f'at line {i + 1}: {a[:80]!r} instead of {b[:80]!r}'
    return f'{len(got)} lines instead of {len(wanted)}' + (f', more: {got[len(wanted)][:80]!r}' if len(got) > len(wanted) else '')


def expected_text(talk, numbers):
    lines = []
    drawn = {n: d for n, _, _, d in talk.sent}
    for n in numbers:
        _, count, _, pad = drawn[n]
        lines.append(f'got {n}')
        lines += [f'line {n} {i} ' + 'x' * pad for i in range(1, count + 1)]
        lines.append(f'done {n}')
    return lines


def check_instructions(talk, got, killed):
    """Each once and in order; all of them, or of a run that was ended those before some point."""
    if len(set(got)) != len(got):
        return [f'{talk.id}: an instruction took effect twice: {got}']
    known = [n for n, _, _, _ in talk.sent]
    if [n for n in known if n in got] != got:
        return [f'{talk.id}: instructions out of order, or never sent: {got} of {known}']
    certain = [n for n, how, _, _ in talk.sent if how == 'yes' and (not killed or (got and n <= got[-1]))]
    missing = [n for n in certain if n not in got]
    return [f'{talk.id}: instructions were lost: {missing}; got {got}'] if missing else []


def check_text(talk, events, ledger, agent_killed, supervisor_killed):
    text = ''.join(e['delta'] for e in events if e['type'] == 'text' and e.get('stream') != 'stderr')
    errors = ''.join(e['delta'] for e in events if e['type'] == 'text' and e.get('stream') == 'stderr')
    problems = []
    got = [int(n) for what, n in ledger if what == 'got']
    wanted = expected_text(talk, got)
    lines = text.split('\n')
    rest = lines.pop()
    killed = agent_killed or supervisor_killed
    if errors and not killed:
        problems.append(f'{talk.id}: on stderr: {errors[:400]!r}')
    if not killed:
        if rest:
            problems.append(f'{talk.id}: text without an end: {rest[:80]!r}')
        if lines != wanted:
            problems.append(f'{talk.id}: text differs {first_difference(lines, wanted)}')
        return problems
    if lines != wanted[:len(lines)]:
        problems.append(f'{talk.id}: what arrived of a killed one is no beginning: {first_difference(lines, wanted)}')
    if rest and not (len(lines) < len(wanted) and wanted[len(lines)].startswith(rest)):
        problems.append(f'{talk.id}: the last line of a killed one is no beginning: {rest[:80]!r}')
    if not supervisor_killed and talk.agent == 'numbers':
        done = [int(n) for what, n in ledger if what == 'done']
        least = len(expected_text(talk, got[:len(done)]))
        if len(lines) < least:
            problems.append(f'{talk.id}: the agent had written {least} lines when it was killed, {len(lines)} arrived')
    return problems


def conversation(talk, lines, agent_killed, supervisor_killed, disk_was_full):
    events = [line['event'] for line in lines]
    agent_events = [e['params']['event'] for e in events if e['method'] == 'message.agent']
    ledger = talk.ledger()
    got = [int(entry[1]) for entry in ledger if entry[0] == 'got']
    killed = agent_killed or supervisor_killed
    ended = [e['params'] for e in events if e['method'] == 'conversation.ended']
    started = [e['params'] for e in events if e['method'] == 'conversation.started']
    problems = []

    if talk.refused:
        if not disk_was_full:
            problems.append(f'{talk.id} was refused: {talk.view().get("reason")}')
        if ledger or started:
            problems.append(f'{talk.id} was refused and ran')
        return problems
    problems += check_instructions(talk, got, killed)
    problems += check_text(talk, agent_events, ledger, agent_killed, supervisor_killed)
    if len(ended) != 1:
        problems.append(f'{talk.id}: {len(ended)} ends were reported: {ended}')
    elif not killed and ended[0]['reason'] != 'stopped':
        problems.append(f'{talk.id} ended by itself: {ended[0]}')
    if len(started) != 1 and not (killed and len(started) == 0):
        problems.append(f'{talk.id}: {len(started)} starts were reported')
    if {e['params'].get('run') for e in events if 'run' in e['params']} - {1}:
        problems.append(f'{talk.id}: more than one run')
    turns = sum(1 for e in agent_events if e['type'] == 'turn_end')
    if not killed and turns != len(got):
        problems.append(f'{talk.id}: {turns} turns ended, {len(got)} instructions arrived')
    odd = [e for e in agent_events if e['type'] in ('notice', 'error')]
    if odd and not killed:
        problems.append(f'{talk.id}: unexpected: {odd[:3]}')
    if ended and events[-1]['method'] != 'conversation.ended':
        problems.append(f'{talk.id}: {events[-1]["method"]} came after the end')
    # Of one output, events come in the order of their offsets.
    places = [tuple(int(x) for x in m.groups()) for m in
              (re.fullmatch(r'.*:(\d+)\.(\d+)', e['params'].get('messageId', '')) for e in events) if m]
    if places != sorted(set(places)):
        problems.append(f'{talk.id}: events are out of order or doubled')
    return problems


def ids(lines):
    seen, twice = set(), []
    for line in lines:
        name = line['event'].get('params', {}).get('messageId')
        if name is not None and name in seen:
            twice.append(name)
        seen.add(name)
    return [f'events with the same id: {twice[:5]}'] if twice else []


ENDS = re.compile(r'northflare-(\S+)\.(?:service|scope): (?:Main process exited, code=(\S+), status=(\S+)|Failed with result (\S+))')


def journal(text, killed):
    """What PID 1 says about our units: no end but those that were made."""
    problems, ends = [], {}
    for line in text.splitlines():
        try:
            message = json.loads(line).get('MESSAGE', '')
        except ValueError:
            continue
        match = ENDS.search(message) if isinstance(message, str) else None
        if not match or not match.group(2):
            continue
        if match.group(2) == 'dumped' or (match.group(2) == 'killed' and match.group(3) != '9/KILL'):
            problems.append(f'a crash: {message}')
        elif match.group(2) == 'exited':
            problems.append(f'an exit: {message}')
        else:
            ends[match.group(1)] = ends.get(match.group(1), 0) + 1
    for name, n in ends.items():
        if n > killed.get(name, 0):
            problems.append(f'{name} was killed {n} times, by us {killed.get(name, 0)} times')
    return problems


FORBIDDEN_STEP = 'Forbidden step: '


def steps(text):
    """What the runner says of its own states: an error line of state-step.c is a mistake of the program, whatever came of it."""
    problems = []
    for line in text.splitlines():
        try:
            message = json.loads(line).get('MESSAGE', '')
        except ValueError:
            continue
        if isinstance(message, str) and message.startswith(FORBIDDEN_STEP):
            problems.append(message)
    return problems
