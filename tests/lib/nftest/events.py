# SPDX-License-Identifier: MIT
"""Events of a conversation or a runner, as `northflare-orchestrator … events --json` writes them on standard input."""
import json
import sys

from nftest.values import evaluate, found, rest, show


def notifications_in(lines):
    """The JSON-RPC messages of the lines, each parsed."""
    for line in lines:
        yield json.loads(line)["event"]


def of_message(expression, message):
    """An expression of a message: d is all of it, m its method, p its params, e the agent's event ({} where it is none)."""
    m, p = message.get("method"), message.get("params", {})
    e = p.get("event", {}) if m == "message.agent" else {}
    return evaluate(expression, d=message, m=m, p=p, e=e)


def agent_events(lines):
    """The events of agents, in the order of arrival."""
    for message in notifications_in(lines):
        if message.get("method") == "message.agent":
            yield message["params"].get("event", {})


def texts(lines):
    """What the agent wrote in each turn, in the order of arrival; the last one has not ended."""
    turns = [[]]
    for event in agent_events(lines):
        if event.get("type") == "turn_end":
            turns.append([])
        elif event.get("type") == "text":
            turns[-1].append(event["delta"])
    return ["".join(t) for t in turns]


def event(expression, number="1"):
    """event EXPRESSION [NUMBER]: prints EXPRESSION of the first event (or that NUMBER) for which it is neither None nor False; m is
    the method, p the params, e the agent's event ({} where it is none), d all of it. Exit status 1 where there is none."""
    left = int(number)
    for message in notifications_in(sys.stdin):
        value = of_message(expression, message)
        left -= found(value)
        if left == 0:
            show(value)
            return rest()
    return 1


def each(expression):
    """each EXPRESSION: prints EXPRESSION of every event for which it is neither None nor False, a line each, like event."""
    for message in notifications_in(sys.stdin):
        value = of_message(expression, message)
        if found(value):
            show(value)


def notifications():
    """notifications: prints each event as a JSON-RPC notification, without what the orchestrator notes beside it."""
    for message in notifications_in(sys.stdin):
        print(json.dumps(message))


def text(turn=None):
    """text [TURN]: prints all that the agent wrote; with TURN what came behind the end of so many turns, before the next end."""
    turns = texts(sys.stdin)
    sys.stdout.write("".join(turns) if turn is None else "".join(turns[int(turn):int(turn) + 1]))


def turns(number):
    """turns NUMBER: exit status 0 where so many turns have ended."""
    return len(texts(sys.stdin)) - 1 < int(number)


def reports(*arguments):
    """reports [CODE] EXPRESSION: prints EXPRESSION; l is the list of the params of each error.report, of those with CODE alone."""
    *code, expression = arguments
    l = [m["params"] for m in notifications_in(sys.stdin) if m.get("method") == "error.report"]
    show(evaluate(expression, l=[p for p in l if not code or p["code"] == code[0]]))


def end(member):
    """end MEMBER: prints a member of conversation.ended, a.b for one inside another, "null" where it is not there. Prints nothing
    where there is no end."""
    for message in notifications_in(sys.stdin):
        if message["method"] == "conversation.ended":
            value = message["params"]
            for name in member.split("."):
                value = (value or {}).get(name)
            print(value if isinstance(value, str) else json.dumps(value))


def ended_before(microseconds):
    """ended-before MICROSECONDS: exit status 0 where the orchestrator received the conversation's end before that moment of the
    wall clock, 2 where there is no end."""
    import datetime
    for line in sys.stdin:
        d = json.loads(line)
        if d["event"]["method"] == "conversation.ended":
            rest()
            at = datetime.datetime.fromisoformat(d["receivedAt"].replace("Z", "+00:00")).timestamp() * 1e6
            print(d["receivedAt"], "and", microseconds)
            return not at < int(microseconds)
    return 2


def numbering(text, last=False, end=None, only=False, torn=False, least=1, padding=None):
    """What is wrong with a text of lines that count from 1, "line N" each; None where nothing is."""
    lines = text.split("\n")
    unfinished = lines.pop()
    if unfinished and not torn:
        lines.append(unfinished)
    counted = [l for l in lines if l.startswith("line ")]
    for n, l in enumerate(counted, 1):
        words = l.split(" ")
        if words[1] != str(n):
            return f"line {n} is missing: {l[:40]!r} stands there"
        if len(words) != (3 if padding else 2) or padding and len(words[2]) != int(padding):
            return f"torn: {l[:40]!r}"
    if len(counted) < int(least):
        return f"{len(counted)} lines, not {least}"
    if only and len(lines) != len(counted):
        return f"other lines are between them: {[l[:40] for l in lines if l not in counted][:3]}"
    last_lines = [l for l in lines if l.startswith("last ")]
    if last and last_lines != [f"last {len(counted)}"]:
        return f"{len(counted)} lines, then {last_lines}"
    if end and end not in lines:
        return f"no line {end!r}"
    return None


def numbered(*options):
    """numbered [--last|--end LINE] [--only] [--torn] [--least N] [--padding N]: exit status 0 where standard input has the lines
    "line 1", "line 2", …, each once and in order. --last: and one line "last N" with the last number. --end: and that LINE.
    --only: no other line is there. --torn: an unfinished line at the end counts as none. --padding: behind each number is a
    word so long."""
    words, options = iter(options), {}
    for word in words:
        if word in ("--last", "--only", "--torn"):
            options[word[2:]] = True
        else:
            options[{"--end": "end", "--least": "least", "--padding": "padding"}[word]] = next(words)
    text = sys.stdin.read()
    problem = numbering(text, **options)
    print(problem or f"{text.count('line ')} lines")
    return problem is not None
