#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs beside the runner and northflarectl: help text, manual page and completion against what each takes.

usage: check-program-docs.py LAUNCHER SHELL-AGENT CLAUDE-ENTRY ORCHESTRATOR RUNNER SOURCE-FOLDER
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

launcher, shell_agent, claude_entry, orchestrator, runner, source = sys.argv[1:]
source = Path(source)
problems = []
# No bus, no orchestrator: what is taken goes on to there, and no further.
nowhere = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
           "NORTHFLARE_ORCHESTRATOR_SOCKET": "/nonexistent/socket"}


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, env=nowhere, stdin=subprocess.DEVNULL, timeout=60, check=False)


def compare(what, documented, known):
    for name in sorted(set(documented) - set(known)):
        problems.append(f"{what}: {name} is there and does not exist")
    for name in sorted(set(known) - set(documented)):
        problems.append(f"{what}: {name} is missing")


def page(name):
    return (source / "man" / name).read_text()


def section(text, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def helped(text):
    """Long name -> (short, takes an argument), from a help text."""
    return {m[2]: (m[1], bool(m[3])) for m in re.finditer(r"^  (?:-(\w),? +| *)--([a-z-]+)([= ][A-Z][A-Z:]*)?(?= |$)", text, re.M)}


def in_page(text):
    """The same from the .It lines of a page."""
    found = {}
    for line in re.findall(r"^\.It (.*Fl .*)$", text, re.M):
        for m in re.finditer(r"(?:Fl (\w) , )?Fl \\?-([a-z-]+)((?: Ns =)?(?: Ns)? Ar \w+)?", line):
            found[m[2]] = (m[1], bool(m[3]))
    return found


def same(what, documented, known):
    compare(what, {f"--{n}" for n in documented}, {f"--{n}" for n in known})
    for name in set(documented) & set(known):
        if documented[name] != known[name]:
            problems.append(f"{what}: --{name}: short form or argument differ: {documented[name]}, {known[name]}")


def refuses(program, *argv):
    return run(program, *argv).returncode == 2


# ---- the launcher: what --help says is taken, nothing else, and the page has it ----

options = helped(run(launcher, "--help").stdout)
same("northflare-launcher(8)", in_page(section(page("northflare-launcher.8"), "OPTIONS")), options)
for name, (_, argument) in options.items():
    if name not in ("help", "version") and refuses(launcher, f"--{name}" + ("=1" if argument else "")):
        problems.append(f"northflare-launcher: --{name} is not taken")
if not refuses(launcher, "--no-such-option") or not refuses(launcher, "word"):
    problems.append("northflare-launcher: takes what it does not know")

# ---- the shell agent ----

options = helped(run(shell_agent, "--help").stdout)
same("northflare-shell-agent(8)", in_page(section(page("northflare-shell-agent.8"), "OPTIONS")), options)

# ---- what goes before Claude Code ----

options = helped(run(claude_entry, "--help").stdout)
same("northflare-claude-entry(8)", in_page(section(page("northflare-claude-entry.8"), "OPTIONS")), options)

# ---- the orchestrator: verbs, then the options of each ----

text = run(orchestrator, "--help").stdout
man = page("northflare-orchestrator.8")
table = re.search(r"^Verbs:\n(.*?)\n\n", text, re.M | re.S)[1]
verbs = []
for line in table.splitlines():
    words = line[2:].split("  ")[0].split()
    verbs.append(" ".join(w for w in words if re.fullmatch("[a-z]+", w)))
titles = []
for line in re.findall(r"^\.It Cm (.*)$", section(man, "VERBS"), re.M):
    titles.append(" ".join(w for w in re.split(r" (?:Ar|Op|Cm)\b", line)[0].split() if re.fullmatch("[a-z]+", w)))
compare("northflare-orchestrator(8), VERBS", titles, verbs)
all_options, by_verb = {}, {}
for verb in verbs:
    by_verb[verb] = helped(run(orchestrator, *verb.split(), "--help").stdout)
    all_options.update(by_verb[verb])
    if "help" not in by_verb[verb]:
        problems.append(f"northflare-orchestrator {verb} --help: not understood")
listed = in_page(section(man, "OPTIONS"))
for name, how in listed.items():
    if name not in all_options:
        problems.append(f"northflare-orchestrator(8): --{name} does not exist")
    elif how != all_options[name]:
        problems.append(f"northflare-orchestrator(8): --{name}: short form or argument differ: {how}, {all_options[name]}")
for name in by_verb["serve"]:
    if name not in listed and name not in ("help", "version"):
        problems.append(f"northflare-orchestrator(8): --{name} of serve is missing")
# Each verb takes its own options, and refuses those of others.
for verb, own in by_verb.items():
    if verb == "serve":
        continue
    for name, (_, argument) in all_options.items():
        if name in ("help", "version"):
            continue
        value = {"param": "{}"}.get(name, "1")
        refused = refuses(orchestrator, *verb.split(), "x", "allow", *([f"--{name}", value] if argument else [f"--{name}"]))
        if name not in own and not refused:
            problems.append(f"northflare-orchestrator {verb}: takes --{name}, and does not say so")


# ---- completions: bash, with what the programs say of themselves ----

def complete(name, program, function, words):
    """What bash offers behind these words."""
    script = f"""
PATH={os.path.dirname(os.path.abspath(program))}:$PATH
. {source}/completions/bash/{name}
COMP_WORDS=({' '.join(repr(w) for w in words)})
COMP_CWORD={len(words) - 1}
COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
compopt() {{ :; }}
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return set(run("bash", "-c", script).stdout.split())


if shutil.which("bash"):
    for verb, own in by_verb.items():
        compare(f"bash, northflare-orchestrator {verb}", complete("northflare-orchestrator", orchestrator, "_northflare_orchestrator",
                                                                  ["northflare-orchestrator", *verb.split(), "--"]), {f"--{n}" for n in own})
    compare("bash, northflare-orchestrator", complete("northflare-orchestrator", orchestrator, "_northflare_orchestrator",
                                                      ["northflare-orchestrator", ""]), {v.split()[0] for v in verbs})
    text = run(runner, "--help").stdout
    options = helped(text)
    compare("bash, northflare-runner", complete("northflare-runner", runner, "_northflare_runner", ["northflare-runner", "start", "--"]),
            {f"--{n}" for n in options})
    compare("bash, northflare-runner", complete("northflare-runner", runner, "_northflare_runner", ["northflare-runner", ""]),
            re.findall(r"^  ([a-z]+)  +[A-Z]", text.partition("Commands:")[2].partition("Options:")[0], re.M))
    for option, values in (("--retry-strategy", {"none", "interval", "exponential"}),):
        compare(f"bash, northflare-runner {option}", complete("northflare-runner", runner, "_northflare_runner", ["northflare-runner", option, ""]), values)
        # What it offers is taken, and something else is not.
        for value in values:
            if run(runner, "config", "--user", option, value, "--config", "/dev/null").stderr.find("retryStrategy") >= 0:
                problems.append(f"northflare-runner: {option} {value} is not taken")

# ---- zsh and fish: by what they list ----

text = run(runner, "--help").stdout
options = helped(text)
commands = re.findall(r"^  ([a-z]+)  +[A-Z]", text.partition("Commands:")[2].partition("Options:")[0], re.M)
zsh = (source / "completions/zsh/_northflare-runner").read_text()
listed = {}
for line in re.findall(r"^        '(.*--.*)\\$", zsh, re.M):
    m = re.match(r"(?:\([^)]*\)')?(?:\{-(\w)\+?,)?--([a-z-]+)(=?)", line)
    listed[m[2]] = (m[1], bool(m[3]))
same("zsh, northflare-runner", listed, options)
compare("zsh, northflare-runner", re.findall(r'(\w+)\\:"', zsh), commands)
fish = (source / "completions/fish/northflare-runner.fish").read_text()
listed = {m[2]: (m[1], bool(m[3])) for m in re.finditer(r"^complete -c \S+ (?:-s (\w) )?-l ([a-z-]+)( -[rx])?(?= )", fish, re.M)}
same("fish, northflare-runner", listed, options)
compare("fish, northflare-runner", re.findall(r"-n \$needs -a (\S+) ", fish), commands)
compare("fish, northflare-runner, list of commands", re.search(r"^set -l commands (.*)$", fish, re.M)[1].split(), commands)
for name, values in (("zsh", re.search(r"retry-strategy=.*\((.*)\)", zsh)[1]), ("fish", re.search(r"retry-strategy .*-a '(.*?)'", fish)[1])):
    compare(f"{name}, northflare-runner --retry-strategy", values.split(), ["none", "interval", "exponential"])


# ---- the same for the orchestrator, whose options are by verb ----

def compare_verbs(name, listed, where):
    """listed: long name -> (short, takes an argument); where: long name -> the verbs it is offered for."""
    same(f"{name}, northflare-orchestrator", listed, all_options)
    for option in set(listed) & set(all_options):
        compare(f"{name}, northflare-orchestrator, verbs of --{option}", where[option], {v for v in verbs if option in by_verb[v]})


zsh = (source / "completions/zsh/_northflare-orchestrator").read_text()
listed, where = {}, {}
for pattern, spec in re.findall(r"^                '(.*?)@(.*--.*)$", zsh, re.M):
    m = re.match(r"(?:\([^)]*\)'\{-(\w),|\(- \*\)'\{-(\w),|\(- \*\)|\*|)--([a-z-]+)(=?)", spec)
    listed[m[3]] = (m[1] or m[2], bool(m[4]))
    matching = {v for v in verbs if re.fullmatch(pattern.lstrip("^").replace("*", ".*"), v)}
    where[m[3]] = set(verbs) - matching if pattern.startswith("^") else matching
compare_verbs("zsh", listed, where)
tables = dict(re.findall(r"^        (\w*verbs)=\(\n(.*?)^        \)", zsh, re.M | re.S))
words = {name: re.findall(r"^ +'([a-z]+):", body, re.M) for name, body in tables.items()}
compare("zsh, northflare-orchestrator", words["verbs"], {v.split()[0] for v in verbs})
for group in ("token", "runners", "conversation"):
    compare(f"zsh, northflare-orchestrator {group}", words[f"{group}_verbs"], {v.split()[1] for v in verbs if v.startswith(f"{group} ")})

fish = (source / "completions/fish/northflare-orchestrator.fish").read_text()
listed, where, words = {}, {}, {}
for line in fish.splitlines():
    if m := re.match(r'complete -c \S+ (?:-n "(not )?__northflare_orchestrator_verb_is (.*?)" )?(?:-s (\w) )?-l ([a-z-]+)( -[rx])?(?= )', line):
        listed[m[4]] = (m[3], bool(m[5]))
        those = {a or b for a, b in re.findall(r"'([^']*)'|(\w+)", m[2])} if m[2] else set(verbs)
        where[m[4]] = set(verbs) - those if m[1] else those
    elif m := re.match(r'complete -c \S+ -n "__northflare_orchestrator_verb_is (\S+)" -a (\w+) ', line):
        words.setdefault(m[1].strip("'"), set()).add(m[2])
compare_verbs("fish", listed, where)
compare("fish, northflare-orchestrator", words[""], {v.split()[0] for v in verbs})
for group in ("token", "runners", "conversation"):
    compare(f"fish, northflare-orchestrator {group}", words[group], {v.split()[1] for v in verbs if v.startswith(f"{group} ")})
# Both step over values by knowing what has none.
flags = {f"--{o}" for o, (_, argument) in all_options.items() if not argument}
for name, text in (("fish", fish), ("bash", (source / "completions/bash/northflare-orchestrator").read_text())):
    compare(f"{name}, northflare-orchestrator, options without values",
            re.findall(r"--[a-z-]+", re.search(r"^ +(?:case )?(--json .*)$", text, re.M)[1]), flags)
for shell in ("bash", "zsh", "fish"):
    for path in (source / "completions" / shell).iterdir():
        if shutil.which(shell) and run(shell, "-n", str(path)).returncode:
            problems.append(f"{shell}: {path} has an error")

for problem in problems:
    print(problem)
sys.exit(1 if problems or len(verbs) < 10 or len(all_options) < 20 else 0)
