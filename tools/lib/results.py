# SPDX-License-Identifier: MIT
"""Turns what suites leave behind into one line a test: ok|not ok|skip <tab> suite <tab> name [<tab> reason].

results.py tap SUITE FILE [STATUS [LOG]]   TAP of a script; a plan that is missing or not kept is a failure of its own, and so is what
                                           bash says in LOG of a line that it could not run: the checks behind it were left out
results.py meson SUITE TESTLOG       meson's testlog.json; TAP inside a test's output is counted line by line
results.py summary FILE              prints the totals; exit status 1 where something failed or nothing ran
"""
import json
import re
import sys

LINE = re.compile(r'^\s*(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)$')
PLAN = re.compile(r'^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?', re.I)
OWN_PLAN = re.compile(r'^#?\s*(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$')
SKIP = re.compile(r'#\s*skip\S*\s*(.*)', re.I)


def emit(kind, suite, name, reason=''):
    print('\t'.join([kind, suite, name.replace('\t', ' ').strip()] + ([reason.replace('\t', ' ')] if reason else [])))


def parse_tap(lines):
    """[(kind, name, reason)], number in the plan or None"""
    results, plan = [], None
    for line in lines:
        match = PLAN.match(line)
        if match:
            plan = (plan or 0) + int(match.group(1))
            if match.group(2) is not None and match.group(1) == '0':
                results.append(('skip', 'all', match.group(2)))
                plan += 1
            continue
        match = OWN_PLAN.match(line)
        if match and plan is None:
            plan = sum(int(n or 0) for n in match.groups())
            continue
        match = LINE.match(line)
        if not match:
            continue
        text = match.group(3)
        skip = SKIP.search(text)
        if skip:
            # cmocka 1.1.5 puts the name behind the directive.
            name = text[:skip.start()].strip()
            results.append(('skip', name or skip.group(1), skip.group(1) if name else 'skipped by the test'))
        else:
            results.append(('not ok' if match.group(1) else 'ok', text, ''))
    return results, plan


def script_errors(path):
    """Not that a child died of a signal, which stands there as "line 7: 1234 Killed"."""
    try:
        with open(path, errors='replace') as f:
            return [line.strip() for line in f if re.match(r'[^ ]+: line \d+: (?!\s*\d+ [A-Z])', line)]
    except FileNotFoundError:
        return []


def tap(suite, path, status='0', log=''):
    try:
        with open(path, errors='replace') as f:
            results, plan = parse_tap(f)
    except FileNotFoundError:
        results, plan = [], None
    for kind, name, reason in results:
        emit(kind, suite, name, reason)
    failed = any(kind == 'not ok' for kind, _, _ in results)
    if plan is None:
        emit('not ok', suite, f'ended before its plan, after {len(results)} tests, exit status {status}')
    elif plan != len(results):
        emit('not ok', suite, f'planned {plan} tests and ran {len(results)}')
    elif status != '0' and not failed:
        emit('not ok', suite, f'exit status {status} with no failed test')
    for text in script_errors(log):
        emit('not ok', suite, f'the script itself failed: {text}')


def meson(suite, path):
    seen = 0
    try:
        log = open(path, errors='replace')
    except FileNotFoundError:
        emit('not ok', suite, 'there is no test, or meson test did not run')
        return
    with log:
        for line in log:
            test = json.loads(line)
            name, result = test['name'].split(' / ')[-1].split(':')[-1], test['result']
            seen += 1
            results, plan = parse_tap((test.get('stdout') or '').splitlines())
            if results and plan is not None:
                for kind, case, reason in results:
                    emit(kind, suite, f'{name}: {case}', reason)
                if result not in ('OK', 'SKIP', 'EXPECTEDFAIL') and not any(k == 'not ok' for k, _, _ in results):
                    emit('not ok', suite, f'{name}: {result}, exit status {test.get("returncode")}')
            elif result in ('OK', 'EXPECTEDFAIL'):
                emit('ok', suite, name)
            elif result == 'SKIP':
                lines = [l for l in (test.get('stdout') or '').splitlines() if l.strip()]
                emit('skip', suite, name, lines[-1] if lines else 'the test says so')
            else:
                emit('not ok', suite, f'{name}: {result}, exit status {test.get("returncode")}')
    if not seen:
        emit('not ok', suite, 'no test in the log')


def summary(path):
    count = {'ok': 0, 'not ok': 0, 'skip': 0}
    failed, skipped = [], {}
    with open(path) as f:
        for line in f:
            kind, suite, name, *reason = line.rstrip('\n').split('\t')
            count[kind] += 1
            if kind == 'not ok':
                failed.append(f'{suite}: {name}')
            if kind == 'skip':
                skipped.setdefault(f'{suite}: {reason[0] if reason else "?"}', []).append(name)
    for reason, names in skipped.items():
        print(f'skipped: {reason} ({", ".join(names[:3])}{", …" if len(names) > 3 else ""})')
    for line in failed:
        print(f'FAILED: {line}')
    print(f'{count["ok"]} passed, {count["not ok"]} failed, {count["skip"]} skipped')
    return 1 if count['not ok'] or not count['ok'] else 0


if __name__ == '__main__':
    sys.exit({'tap': tap, 'meson': meson, 'summary': summary}[sys.argv[1]](*sys.argv[2:]) or 0)
