# SPDX-License-Identifier: MIT
"""What a seed does: conversations with their instructions, and faults with their times. Everything is drawn here, before
anything runs, so that a seed is the same sequence of actions on every machine."""
import random

from proxy import draw_fault

# Of the faults, in seconds.
DURATION = 12.0


def draw_instruction(rng):
    """(pause before it, lines, milliseconds between them, padding)"""
    pause = min(rng.expovariate(1 / 0.6), 3.0)
    if rng.random() < 0.06:
        return pause, rng.randint(1, 3), 0, rng.choice([30_000, 70_000, 200_000])
    count = rng.choice([0, 1, 3, 5, 20, 20, 60, 200, 800])
    pace = rng.choice([0, 0, 1, 5, 20, 50])
    while count * pace > 1200:
        pace //= 2
    return pause, count, pace, rng.choice([0, 0, 10, 40, 60, 500 if count <= 200 else 0])


def draw_conversations(rng):
    conversations = []
    for i in range(rng.randint(3, 6)):
        t = 0.0 if rng.random() < 0.4 else rng.uniform(0, 6)
        instructions = []
        at = t
        while at < DURATION - 0.5 and len(instructions) < 24:
            instructions.append(draw_instruction(rng))
            at += instructions[-1][0]
        conversations.append({'id': f'c-{i}', 'agent': 'shell' if rng.random() < 0.3 else 'numbers', 'at': round(t, 3),
                              'instructions': instructions})
    return conversations


SERVICES = ['runner', 'orchestrator', 'launcher']
# With the children that wait for their scope, and without.
LAUNCHER = ['launcher', 'launcher-main']


def draw_actions(rng, conversations):
    """[(time, name, arguments)], by time."""
    actions = []
    victim_supervisor = rng.choice(conversations)['id'] if rng.random() < 0.35 else None
    victim_agent = rng.choice(conversations)['id'] if rng.random() < 0.35 else None
    last = {}
    t = 0.4

    def spaced(what, seconds):
        if t - last.get(what, -100) < seconds:
            return False
        last[what] = t
        return True

    def stop(what, *args):
        length = round(rng.choice([0.05, 0.3, 1.0, 2.0]) * rng.uniform(0.5, 1.5), 2)
        actions.append((t, 'stop', (what, *args)))
        actions.append((t + length, 'continue', (what, *args)))

    while t < DURATION:
        t += rng.expovariate(1 / 0.22)
        k = rng.random()
        # As many draws for an action that may not be now as for one that may.
        pick, other = rng.choice(conversations)['id'], rng.random()
        if k < 0.14:
            if spaced('runner', 1.8):
                actions.append((t, 'kill', ('runner',)))
        elif k < 0.20:
            if spaced('orchestrator', 1.5):
                actions.append((t, 'kill', ('orchestrator',)))
        elif k < 0.25:
            actions.append((t, 'kill', (rng.choice(LAUNCHER),)))
        elif k < 0.27:
            if victim_supervisor:
                actions.append((t, 'kill', ('supervisor', victim_supervisor)))
        elif k < 0.29:
            if victim_agent:
                actions.append((t, 'kill', ('agent', victim_agent)))
        elif k < 0.33:
            stop(rng.choice(SERVICES))
        elif k < 0.37:
            stop(rng.choice(['supervisor', 'agent']), pick)
        elif k < 0.45:
            actions.append((t, 'cut', (other < 0.5,)))
        elif k < 0.48:
            actions.append((t, 'hold', (round(0.2 + other * 1.5, 2),)))
        elif k < 0.51:
            actions.append((t, 'down', (round(0.2 + other * 2.0, 2),)))
        elif k < 0.53:
            # To everything, pings too: a way that is wrong as a whole.
            if spaced('refuse', 4):
                actions.append((t, 'refuse', (rng.choice([400, 400, 413, 422]), round(0.3 + other, 2))))
        elif k < 0.545:
            if spaced('identity', 6):
                actions.append((t, 'fault', ('batch', 'status', 1, 3.0, {'status': rng.choice([401, 409, 409])})))
        elif k < 0.565:
            if spaced('fill', 4):
                length = round(rng.choice([0.3, 1.5, 2.5]) * rng.uniform(0.5, 1.2), 2)
                actions.append((t, 'fill', (rng.choice([0, 0, 0, 4096, 40_000]),)))
                actions.append((t + length, 'free', ()))
        elif k < 0.585:
            if spaced('manager', 3):
                actions.append((t, 'manager', (rng.choice(['daemon-reexec', 'daemon-reload']),)))
        elif k < 0.60:
            if spaced('runner', 1.8):
                actions.append((t, 'restart', ('northflare-runner',)))
        else:
            actions.append((t, 'fault', draw_fault(rng)))
    for c in conversations:
        # In the middle of a start.
        at, who = c['at'] + rng.expovariate(1 / 0.06), rng.choice([*LAUNCHER, 'runner', None, None, None])
        if who and at > 0.1:
            actions.append((at, 'kill', (who,)))
    return sorted(((round(at, 3), name, args) for at, name, args in actions), key=lambda a: a[0])


# Back and forth, by less than a timer and by more than a day.
STEPS = [-2 * 86400, -3600, -40, -3, 3, 40, 3600, 2 * 86400]


def draw_clock(rng):
    """The wall clock is stepped, where it is the machine's own; besides all else, so that a seed stays what it is."""
    t, actions = 0.0, []
    while (t := t + rng.expovariate(1 / 1.2)) < DURATION:
        actions.append((round(t, 3), 'clock', (rng.choice(STEPS),)))
    return actions


def draw(seed, clock=False):
    rng = random.Random(seed)
    conversations = draw_conversations(rng)
    actions = draw_actions(rng, conversations)
    if clock:
        # A machine that runs as a program takes 0.1 s for each process, and a shell needs one for each pause.
        for c in conversations:
            c['agent'] = 'numbers'
        actions = sorted(actions + draw_clock(random.Random(f'clock {seed}')), key=lambda a: a[0])
    return conversations, actions


def fills(actions):
    return any(name == 'fill' for _, name, _ in actions)


if __name__ == '__main__':
    import sys
    all_conversations, all_actions = draw(int(sys.argv[1]))
    for c in all_conversations:
        print(c['id'], c['agent'], c['at'], len(c['instructions']), 'instructions')
    for action in all_actions:
        print(*action)
