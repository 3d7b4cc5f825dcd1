#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""northflarectl: its help text, manual page and completions against what the program takes.

usage: check-ctl-docs.py NORTHFLARECTL SOURCE-FOLDER
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

program, source = sys.argv[1], Path(sys.argv[2])
man = (source / "man/northflarectl.1").read_text()
bash_file = source / "completions/bash/northflarectl"
zsh = (source / "completions/zsh/_northflarectl").read_text()
fish = (source / "completions/fish/northflarectl.fish").read_text()
problems = []


def compare(what, documented, known):
    for name in sorted(set(documented) - set(known), key=str):
        problems.append(f"{what}: {name} is there and does not exist")
    for name in sorted(set(known) - set(documented), key=str):
        problems.append(f"{what}: {name} is missing")


def section(title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", man, re.M | re.S)
    return found.group(1) if found else ""


# ---- what the program says and takes ----

help_text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
head, _, tail = help_text.partition("\nOptions\n")
verbs = {}
for line in head.splitlines():
    m = re.match(r"  ([a-z][a-z-]*)((?: (?:\S+))*?)(?:  .*)?$", line)
    if m:
        verbs[m[1]] = m[2].split()
options = {}
for line in tail.splitlines():
    m = re.match(r"  (?:-(\w),|   ) --([a-z-]+)(=\S+)? ", line)
    if m:
        options[m[2]] = (m[1], bool(m[3]))
nowhere = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}


def takes(verb, option):
    """Whether it goes on to what needs the bus, or ends at the option."""
    # Enough words for the verb, and not too many; what an option needs beside itself.
    words = [verb] + (["remove"] if verb == "workspace" else []) + ["x"] * {"send": 2, "set-property": 2, "answer": 2}.get(verb, 1 if any(a[0] != "[" for a in verbs[verb]) else 0)
    value = {"json": "off", "grace": "1", "lines": "0", "delay": "1", "deadline": "1"}.get(option, "x")
    extra = {"resend": ["--set-aside"]}.get(option, [])
    if verb == "logs":
        extra = extra + ["--host=elsewhere"]  # the journal needs no bus; this ends at once
    if option in ("set-aside", "resend"):
        words = words[:1] if verb == "events" else words
    argument = f"--{option}" + (f"={value}" if options[option][1] else "")
    p = subprocess.run([program, argument, *extra, *words], env=nowhere, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return "cannot be used with" not in p.stderr


everywhere = {"help", "version", "user", "host", "machine", "no-pager", "no-legend", "no-ask-password"}
taken = {v: {o for o in options if o not in everywhere and takes(v, o)} for v in verbs}

# ---- the manual page ----

documented = set()
for line in re.findall(r"^\.It (Cm .*)$", section("DESCRIPTION"), re.M):
    documented |= {w.strip(",") for w in re.findall(r"(?:Cm|,) ([a-z][a-z-]+)\b", line)}
compare("northflarectl(1), verbs", documented - {"allow", "deny"}, verbs)
documented = {}
for line in re.findall(r"^\.It (Fl .*)$", section("OPTIONS"), re.M):
    parts = re.split(r" , (?=Fl )", line)
    letter = None
    for part in parts:
        m = re.match(r"Fl (\w)$", part)
        if m:
            letter = m[1]
            continue
        # Without a macro behind the comma several flags stand in one.
        m = re.match(r"Fl -([a-z-]+)( Ns = .*)?$", part)
        for name in re.findall(r"-([a-z][a-z-]+)", part) if not m else [m[1]]:
            documented[name] = (letter, bool(m and m[2]))
            letter = None
compare("northflarectl(1), options", documented.items(), options.items())
statuses = dict(re.findall(r"EXIT_(\w+) = (\d+)", (source / "src/ctl/options.h").read_text()))
compare("northflarectl(1), exit statuses", re.findall(r"^\.It (\d+)$", section("EXIT STATUS"), re.M),
        [n for n in statuses.values() if n != "125"])
if "125" not in section("EXIT STATUS"):
    problems.append("northflarectl(1): 125 is missing")
variables = {v for f in (source / "src/ctl").rglob("*.c") for v in re.findall(r'getenv\("(\w+)"\)', f.read_text())}
compare("northflarectl(1), environment",
        re.findall(r"\b([A-Z][A-Z_]+)\b", " ".join(re.findall(r"^\.It Ev (.*)$", section("ENVIRONMENT"), re.M))), variables)

# ---- the properties of set-property ----

properties = set(re.findall(r'"([A-Z]\w+)",\s+"[a-z]\w+",\s+UNIT_', (source / "src/ctl/verb/properties.c").read_text()))
shown = re.search(r"^\.It Cm set-property.*?(?=^\.It )", man, re.M | re.S)[0]
compare("northflarectl(1), properties", set(re.findall(r"\b([A-Z][A-Za-z]+(?:Max|High|Weight|Quota))\b", shown)), properties)

# ---- bash: asked as a person asks it ----

asked = []  # what it called the program with


def complete(*words):
    """What bash offers for the last word, where a list has two ids."""
    script = 'exec 3>&2; compopt() { :; }; northflarectl() { printf "%s x y\\n" id-1 id-2; echo "$@" >&3; }; . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _northflarectl; printf "%s\\n" "${COMPREPLY[@]}"'
    p = subprocess.run(["bash", "-c", script, "bash", bash_file, "northflarectl", *words], capture_output=True, text=True, check=True)
    asked.append(p.stderr.split())
    return p.stdout.split()


compare("bash, verbs", complete(""), verbs)
for verb in verbs:
    compare(f"bash, options of {verb}", complete(verb, "--"),
            {f"--{o}" + ("=" if options[o][1] else "") for o in everywhere | taken[verb]})
compare("bash, properties", complete("set-property", "c", ""), {p + "=" for p in properties})
with_ids = {v for v in verbs if any("ID" in a for a in verbs[v])} - {"workspace"}
for verb in verbs:
    compare(f"bash, ids of {verb}", complete(verb, ""), {"workspace": {"list", "show", "remove"}}.get(verb, {"id-1", "id-2"} if verb in with_ids else []))
compare("bash, ids that begin so", complete("show", "id-2"), {"id-2"})
compare("bash, ids of workspaces", complete("workspace", "remove", ""), {"id-1", "id-2"})
complete("-H", "admin@there", "stop", "")
compare("bash, where ids are asked for", asked[-1][:2], ["-H", "admin@there"])
compare("bash, answers", complete("answer", "c", ""), {"allow", "deny"})
compare("bash, words with values", re.search(r"local values='([^']*)'", bash_file.read_text())[1].split(),
        {w for o, (letter, value) in options.items() if value for w in [f"--{o}"] + ([f"-{letter}"] if letter else [])})

# ---- zsh and fish: by what they list ----

compare("zsh, verbs", re.findall(r"^                '([a-z-]+):", zsh, re.M), verbs)
listed = {}
for verb_pattern, spec in re.findall(r"^                '(.*?)@(.*)$", zsh, re.M):
    m = re.match(r"(?:\([^)]*\)'\{-(\w)\+?,--([a-z-]+)(=?)\}'|\(- \*\)--([a-z-]+)|--([a-z-]+)(=?))", spec)
    name = m[2] or m[4] or m[5]
    listed[name] = (m[1], bool(m[3] or m[6]))
    for verb in verbs:
        if bool(re.fullmatch(verb_pattern.replace("*", ".*"), verb)) != (name in everywhere | taken[verb]):
            problems.append(f"zsh, {verb}: --{name}: taken, or offered, and not both")
compare("zsh, options", listed.items(), options.items())
compare("zsh, properties", re.search(r"\{(MemoryHigh[^}]*)\}=", zsh)[1].split(","), properties)

compare("fish, verbs", re.findall(r"-n \$needs -a (\S+) ", fish), verbs)
compare("fish, words with values", re.search(r"case (-H .*)$", fish, re.M)[1].split(),
        {w for o, (letter, value) in options.items() if value for w in [f"--{o}"] + ([f"-{letter}"] if letter else [])})
compare("fish, properties", [p.rstrip("=") for p in re.search(r"0 set-property' -a '([^']*)'", fish)[1].split()], properties)
without_json = re.search(r"^set -l without_json (.*)$", fish, re.M)[1].split()
compare("fish, verbs without JSON", without_json, {v for v in verbs if "json" not in taken[v]})
listed, where = {}, {}
for line in fish.splitlines():
    m = re.match(r"complete -c northflarectl (?:-n (['\"])(.*?)\1 )?(?:-s (\w) )?-l ([a-z-]+)( -x)?", line)
    if m:
        listed[m[4]] = (m[3], bool(m[5]))
        where[m[4]] = (m[2] or "").split()[1:]
compare("fish, options", listed.items(), options.items())
for option in set(options) - everywhere - {"json"}:
    compare(f"fish, verbs of --{option}", where.get(option, []), {v for v in verbs if option in taken[v]})
for shell, path in (("zsh", source / "completions/zsh/_northflarectl"), ("fish", source / "completions/fish/northflarectl.fish"),
                    ("bash", bash_file)):
    if shutil.which(shell) and subprocess.run([shell, "-n", path]).returncode:
        problems.append(f"{shell}: {path} has an error")

for problem in problems:
    print(problem)
if len(verbs) < 15 or len(options) < 20 or len(properties) < 5:
    sys.exit("nothing was compared")
sys.exit(1 if problems else 0)
