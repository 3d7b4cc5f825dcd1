# SPDX-License-Identifier: MIT
"""JSON values: what is in them, and how a script makes one."""
import json as json_
import sys


def show(value):
    """Prints a value: a text as it is, anything else as JSON."""
    print(value if isinstance(value, str) else json_.dumps(value))


# Expressions by their text: one is evaluated for each of many events.
compiled = {}


def evaluate(expression, **names):
    """The value of an expression, which may have several lines. Besides its names it has json and sys."""
    if expression not in compiled:
        compiled[expression] = compile(f"({expression}\n)", "<expression>", "eval")
    return eval(compiled[expression], {"json": json_, "sys": sys, **names})


def found(value):
    """Whether an expression has an answer: None and False are none."""
    return value is not None and value is not False


def rest():
    """Reads the rest of standard input, since its writer dies of an early end and fails the pipe."""
    sys.stdin.buffer.read()


def json(expression, *arguments):
    """json EXPRESSION [ARGUMENT…]: prints EXPRESSION; d is the JSON value on standard input, a the list of ARGUMENTs."""
    show(evaluate(expression, d=json_.load(sys.stdin), a=arguments))


def jsonl(expression, *arguments):
    """jsonl EXPRESSION [ARGUMENT…]: like json; d is the list of the JSON values on the lines of standard input."""
    show(evaluate(expression, d=[json_.loads(line) for line in sys.stdin], a=arguments))


def pick(expression):
    """pick EXPRESSION: prints EXPRESSION of the last element of the JSON list on standard input for which it is neither None
    nor False; l is the element. Exit status 1 where there is none."""
    for element in reversed(json_.load(sys.stdin)):
        value = evaluate(expression, l=element)
        if found(value):
            return show(value)
    return 1


def limits(expression):
    """limits EXPRESSION: prints EXPRESSION of what `northflarectl --json show` writes; l is its member limits, f the filter of
    addresses in there or None."""
    d = json_.load(sys.stdin)
    l = (d[0] if isinstance(d, list) else d)["limits"]
    show(evaluate(expression, d=d, l=l, f=l.get("ipFilter")))


def make_object(members):
    """An object of KEY=TEXT and KEY:=JSON; a dot in KEY is an object inside, an empty KEY adds the members of an object."""
    result = {}
    for member in members:
        key, equals, value = member.partition("=")
        if not equals:
            raise SystemExit(f"not KEY=TEXT or KEY:=JSON: {member}")
        if key.endswith(":"):
            key, value = key[:-1], json_.loads(value)
        if not key:
            result.update(value)
            continue
        inside, *names = key.split(".")
        place = result
        for name in names:
            place, inside = place.setdefault(inside, {}), name
        place[inside] = value
    return result


def object(*members):
    """object [--lines] KEY=TEXT|KEY:=JSON…: prints a JSON object, with --lines a member a line. A dot in KEY is an object inside:
    a.b=x is {"a": {"b": "x"}}. An empty KEY adds the members of a JSON object, in place of those before it."""
    lines = members[:1] == ("--lines",)
    print(json_.dumps(make_object(members[lines:]), indent=2 if lines else None))


def at_least(value, bound):
    """at-least VALUE BOUND: exit status 0 where the number VALUE is not below BOUND."""
    return not float(value) >= float(bound)
