#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The runner's help text, manual pages and lists of errors against what the program knows.

usage: check-docs.py PRINT-INTERFACE SOURCE-DIRECTORY
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

program, source = sys.argv[1], Path(sys.argv[2])
man = source / "man"
problems = []


def run(*arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def compare(what, documented, known):
    for name in sorted(set(documented) - set(known)):
        problems.append(f"{what}: {name} is documented and does not exist")
    for name in sorted(set(known) - set(documented)):
        problems.append(f"{what}: {name} is not documented")


def section(text, title):
    """The lines of one .Sh section."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


interface = json.loads(run("interface"))
keys = {k["name"]: k for k in interface["keys"]}
options = {o["name"]: o for o in interface["options"]}
page8 = (man / "northflare-runner.8").read_text()
page5 = (man / "northflare-runner.json.5").read_text()

# --help: every option, its short form and whether it takes an argument.
help_text = run("help")
helped = {}
for line in help_text.splitlines():
    if len(line) > 80:
        problems.append(f"--help: longer than 80 columns: {line}")
    m = re.match(r"  (?:-(\w) |   )--([a-z-]+)( [A-Z]+)?(?= |$)", line)
    if m:
        helped[m[2]] = (m[1] or " ", bool(m[3]), line)
compare("--help", {f"--{n}" for n in helped}, {f"--{n}" for n in options})
for name, (short, argument, line) in helped.items():
    known = options.get(name)
    if known and (known["short"], known["argument"]) != (short, argument):
        problems.append(f"--help: --{name}: short form or argument differ: {known}")

# northflare-runner(8), OPTIONS
documented = {}
for line in section(page8, "OPTIONS").splitlines():
    m = re.match(r"\.It (?:Fl (\w) , )?Fl \\?-([a-z-]+)( Ar \w+)?$", line)
    if m:
        documented[m[2]] = (m[1] or " ", bool(m[3]))
    elif line.startswith(".It "):
        problems.append(f"northflare-runner(8): not understood: {line}")
compare("northflare-runner(8)", {f"--{n}" for n in documented}, {f"--{n}" for n in options})
for name, (short, argument) in documented.items():
    known = options.get(name)
    if known and (known["short"], known["argument"]) != (short, argument):
        problems.append(f"northflare-runner(8): --{name}: short form or argument differ: {known}")

# The defaults that the help text and the page repeat.
for key in keys.values():
    if "option" in key and key["type"] == "number":
        text = str(key["default"])
        if f"[{text}]" not in helped.get(key["option"], ("", "", ""))[2]:
            problems.append(f"--help: --{key['option']} does not say [{text}]")
        entry = re.search(rf"^\.It Fl -{key['option']} .*?(?=^\.It |\Z)", page8, re.M | re.S)
        if not entry or text not in entry[0]:
            problems.append(f"northflare-runner(8): --{key['option']} does not say {text}")

# ENVIRONMENT
variables = set(re.findall(r"\b([A-Z][A-Z_]+)\b", " ".join(re.findall(r"^\.It (Ev .*)$", section(page8, "ENVIRONMENT"), re.M))))
wanted = {k["env"] for k in keys.values() if "env" in k}
wanted |= {"NORTHFLARE_RUNNER_TOKEN", "CREDENTIALS_DIRECTORY", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"}
compare("northflare-runner(8)", variables, wanted)

# northflare-runner.json(5): every key with its type and default.
listed = {}
for line in section(page5, "KEYS").splitlines():
    m = re.match(r"\.It Ic (\S+) Pq ([a-z ]+?)(?:, default (.+))?$", line)
    if m:
        if m[1] in listed:
            problems.append(f"northflare-runner.json(5): {m[1]} is there twice")
        listed[m[1]] = (m[2], m[3])
    elif line.startswith(".It "):
        problems.append(f"northflare-runner.json(5): not understood: {line}")
compare("northflare-runner.json(5)", listed, keys)


def written(value):
    if value is None:
        return None
    if isinstance(value, list):
        return "Qo " + " , ".join(value) + " Qc"
    return value if isinstance(value, str) else json.dumps(value)


for name, (kind, default) in listed.items():
    if name not in keys:
        continue
    if kind != keys[name]["type"]:
        problems.append(f"northflare-runner.json(5): {name} is a {keys[name]['type']}, not a {kind}")
    # Depends on who runs it; the page gives the machine's.
    expected = "/var/lib/northflare" if name == "dataDir" else written(keys[name]["default"])
    if default != expected:
        problems.append(f"northflare-runner.json(5): {name}: the default is {expected}, not {default}")
for key in keys.values():
    if "env" in key and f".Ev {key['env']}" not in page5:
        problems.append(f"northflare-runner.json(5): {key['env']} is missing at {key['name']}")

# What a reload takes over: whole groups, or single keys.
compare("northflare-runner.json(5), RELOAD", re.findall(r"^\.Ic (\w+)", section(page5, "RELOAD"), re.M),
        {n.split(".")[0] for n, k in keys.items() if k["live"]})
for name in {n.split(".")[0] for n in keys}:
    if len({k["live"] for n, k in keys.items() if n.split(".")[0] == name}) != 1:
        problems.append(f"{name}: a reload must take over the whole group or nothing of it")

# `config --json` of an empty configuration has a row for each.
with tempfile.TemporaryDirectory() as folder:
    empty = Path(folder) / "runner.json"
    empty.write_text("{}\n")
    rows = json.loads(run("config", str(empty)))
compare("config --json", rows, {n.split(".")[0] if "*" in n else n for n in keys} | {"token"})
if ".Ic token :" not in page5:
    problems.append("northflare-runner.json(5): the row token is not explained")

# The codes of errors: the table of the protocol's page, and whatever code another page names.
codes = {str(e["code"]) for e in interface["errors"] if e["code"]}
table = re.search(r"^\| code \| meaning \|\n\|---\|---\|\n((?:\|.*\n)+)", (source / "docs/protocol.md").read_text(), re.M)
coded = [c for row in table[1].splitlines() for c in re.findall(r"-\d+", row.split("|")[1])] if table else []
compare("docs/protocol.md", coded, codes)
if len(coded) != len(set(coded)):
    problems.append("docs/protocol.md: a code is there twice")
for page in sorted(source.glob("docs/*.md")):
    for code in sorted(set(re.findall(r"-32\d{3}\b", page.read_text())) - codes):
        problems.append(f"{page.name}: {code} is no code of an error")

# The errors on D-Bus, and the code that each stands for.
prefix = "org.northflare.Runner1.Error"
names = {e["bus"].removeprefix(prefix + "."): str(e["code"] or "") for e in interface["errors"] if e["bus"]}
rows = dict(re.findall(rf"^\| `{prefix}\.(\w+)` \| *(-\d+)? *\|", (source / "docs/dbus.md").read_text(), re.M))
compare("docs/dbus.md", rows, names)
for name in set(rows) & set(names):
    if rows[name] != names[name]:
        problems.append(f"docs/dbus.md: {name} stands for the code {names[name] or '(none)'}")
page = section((man / "org.northflare.Runner1.5").read_text(), "ERRORS").partition("\nand\n")[0]
compare("org.northflare.Runner1(5)", re.findall(r" \.(\w+)", page.replace("\n.Li", " ")), names)
comment = re.search(rf"Errors: {prefix}\.(.*?);", (source / "dbus/org.northflare.Runner1.xml").read_text(), re.S)
compare("org.northflare.Runner1.xml", re.findall(r"\w+", comment[1]) if comment else [], names)

for problem in problems:
    print(problem)
if not keys or not options or not listed or not codes or not names:
    sys.exit("nothing was compared")
sys.exit(1 if problems else 0)
