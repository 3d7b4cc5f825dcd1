# SPDX-License-Identifier: MIT
"""Holds a text against the rules of OpenMetrics 1.0, as far as they can be seen in one text.

usage: openmetrics.py <TEXT     prints what is wrong, exit status 1 where anything is
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[Ii]nf(?:inity)?|[Nn]a[Nn])"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[^"}}]|"(?:[^"\\\n]|\\.)*")*)\}})? ({NUMBER})(?: ({NUMBER}))?$')
PAIR = re.compile(rf'({LABEL})="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)')
SUFFIXES = {
    "counter": ("_total", "_created"), "gauge": ("",), "info": ("_info",), "stateset": ("",), "unknown": ("",),
    "summary": ("", "_count", "_sum", "_created"), "histogram": ("_bucket", "_count", "_sum", "_created"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
}
# Ends that mean something: a family whose own name has one would be taken for a sample of another.
RESERVED = ("_total", "_created", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_info")
NOT_BASE_UNITS = ("_ms", "_milliseconds", "_us", "_usec", "_ns", "_minutes", "_hours", "_kb", "_kib", "_mb", "_mib", "_percent")


class Family:
    def __init__(self, name):
        self.name, self.type, self.unit, self.help = name, None, None, None
        self.samples, self.closed = [], False


def parse_labels(text):
    """{} or None where the text is no list of labels."""
    labels, at = {}, 0
    while text and at < len(text):
        m = PAIR.match(text, at)
        if not m or m[1] in labels:
            return None
        labels[m[1]] = m[2]
        at = m.end()
    return labels


def check_descriptor(line, families, current, problems):
    m = re.match(rf"# (TYPE|UNIT|HELP) ({NAME}) ?(.*)$", line)
    if not m:
        problems.append(f"neither a descriptor nor a sample: {line}")
        return current
    kind, name, text = m.groups()
    if current is None or current.name != name:
        if current:
            current.closed = True
        if name in families:
            problems.append(f"the family {name} is not in one piece")
        current = families.setdefault(name, Family(name))
    if current.samples:
        problems.append(f"{kind} of {name} stands behind its samples")
    if getattr(current, kind.lower()) is not None:
        problems.append(f"{kind} of {name} is there twice")
    if kind == "HELP" and re.search(r'(?<!\\)(?:\\\\)*\\(?![\\n"])', text):
        problems.append(f"HELP of {name}: a backslash that escapes nothing")
    if kind == "TYPE" and text not in SUFFIXES:
        problems.append(f"TYPE of {name} is none: {text}")
    setattr(current, kind.lower(), text)
    return current


def check_value(family, name, labels, text, problems):
    value = float(text)
    if family.type == "counter" and not 0 <= value < float("inf"):
        problems.append(f"{name}: a counter of {text}")
    if family.type == "info" and value != 1:
        problems.append(f"{name}: an info that is not 1")
    if family.type == "stateset" and value not in (0, 1):
        problems.append(f"{name}: a state that is neither 0 nor 1")
    if family.type == "stateset" and family.name not in labels:
        problems.append(f"{name}: a stateset without the label {family.name}")


def check_sample(line, current, seen, problems):
    m = SAMPLE.match(line)
    if not m:
        problems.append(f"no sample: {line}")
        return
    name, labels = m[1], parse_labels(m[2])
    if labels is None:
        problems.append(f"labels cannot be read: {line}")
        return
    if m[2] == "":
        problems.append(f"braces without labels: {line}")
    if any(l.startswith("__") for l in labels):
        problems.append(f"a label that is reserved: {line}")
    if current is None or current.type is None:
        problems.append(f"a sample without a family and its type: {line}")
        return
    if name not in {current.name + s for s in SUFFIXES.get(current.type, ("",))}:
        problems.append(f"{name} is no sample of the {current.type} {current.name}")
    key = (name, tuple(sorted(labels.items())))
    if key in seen:
        problems.append(f"a sample is there twice: {line}")
    seen.add(key)
    check_value(current, name, labels, m[3], problems)
    current.samples.append((name, labels))


def check_family(f, names, problems):
    if f.type is None or not f.help:
        problems.append(f"{f.name} has no TYPE or no HELP")
    if f.unit is not None and (not f.unit or not f.name.endswith("_" + f.unit)):
        problems.append(f"{f.name} does not end in its unit {f.unit!r}")
    if f.unit and f.type in ("info", "stateset"):
        problems.append(f"{f.name}: a {f.type} has no unit")
    for unit in ("seconds", "bytes"):
        if f.name.endswith("_" + unit) and f.unit != unit:
            problems.append(f"{f.name} has no UNIT")
    if f.name.endswith(NOT_BASE_UNITS):
        problems.append(f"{f.name} is not in a base unit")
    if f.name.endswith(RESERVED):
        problems.append(f"{f.name}: a family's name cannot end like that")
    for suffix in RESERVED:
        if f.name + suffix in names:
            problems.append(f"{f.name + suffix} may be of {f.name} or a family of its own")
    if len({frozenset(labels) for _, labels in f.samples}) > 1:
        problems.append(f"{f.name}: its samples have different labels")


def check(text):
    """All that is wrong with a text (bytes): a list of sentences."""
    problems, families, seen, current = [], {}, set(), None
    try:
        text = text.decode("utf-8")
    except UnicodeDecodeError as e:
        return [f"not UTF-8: {e}"]
    if "\r" in text:
        problems.append("a carriage return")
    if not text.endswith("# EOF\n"):
        problems.append("the end is not '# EOF' and a newline")
    lines = text.split("\n")
    for line in lines[:-2]:
        if line.startswith("# EOF"):
            problems.append("something stands behind '# EOF'")
        elif line.startswith("#"):
            current = check_descriptor(line, families, current, problems)
        else:
            check_sample(line, current, seen, problems)
    for f in families.values():
        check_family(f, families, problems)
    if not seen:
        problems.append("no sample")
    return problems


def values(text):
    """{(name, frozenset of labels): float} of a text (bytes) that is right."""
    result = {}
    for line in text.decode().split("\n"):
        m = SAMPLE.match(line)
        if m and not line.startswith("#"):
            result[m[1], frozenset(parse_labels(m[2]).items())] = float(m[3])
    return result


if __name__ == "__main__":
    found = check(sys.stdin.buffer.read())
    print("\n".join(found))
    sys.exit(bool(found))
