#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/lib/rooms, over a small source that is right, and over the same with one thing wrong after the other: it reports
each, and nothing else.

usage: check-rooms.py TOOL COMPILER...
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

tool, compiler = sys.argv[1], sys.argv[2:]

# Right, though much in it looks like what is wrong.
RIGHT = {
    "rooms": """# a comment
common:
        util
tool:
        low/ # the lowest
        mid/
        high: high high-*
        main
other:
        main
""",
    "common/util.h": "int util(void);\n",
    "common/util.c": '#include "common/util.h"\nint util(void) { return 1; }\n',
    "tool/low/low.h": """#pragma once
#include "common/util.h"
/* int high(void); */
#define DEFINE(type, f) static inline void f##p(type *x) { f(*x); }
typedef int (*Callback)(int (*f)(void), void *userdata);
typedef struct Own {
        int a, b, c;
} Own;
typedef struct Plain {
        int a, b, c;
} Plain;
struct Forward;
extern const int low_table[];
extern int (*low_variable)(void);
extern volatile int low_number, low_numbers[2][2];
int low(
                Own *own,
                int (*f)(void)) __attribute__((nonnull));
int (*low_function(void))(void);
Own *low_free(Own *own);
DEFINE(Own *, low_free);
static inline int low_inline(void) {
        return low((Own *) 1, (void *) 0) + util();
}
""",
    "tool/low/low.c": """#include "tool/low/low.h"
#include "tool/low/low-internal.h"
static int hidden(int i);
static const char text[] = "int high(void); /*";
const int low_table[] = { 1, 2 };
int (*low_variable)(void) = util;
volatile int low_number, low_numbers[2][2];
int low(Own *own, int (*f)(void)) { return hidden(own->a) + text[0]; }
int (*low_function(void))(void) { return util; }
Own *low_free(Own *own) { return 0; }
static int hidden(int i) { return low_table[i]; }
/* In the C library's place. */
int connect(int fd) { return fd; }
""",
    "tool/low/low-internal.h": """#pragma once
#include "tool/low/low.h"
struct Runner;
typedef struct Runner {
        int a;
} Runner;
typedef struct {
        int a;
} Link;
struct Conversation {
        int a;
};
struct Run { /* thirty */
        int a, *b, c[10];
        int d1 : 1, d2 : 1;
        int (*f)(int, int, int);
        enum { ONE, TWO } e;
        Own own, *pointer;
        const Plain plain, rows[2];
        struct {
                int g, h;
                union {
                        int i;
                        struct Own *j;
                } k;
        } l, m[3];
        struct {
                int n, o, p, q, r, s, t, u, v, w, x, *y;
        };
};
""",
    # Three files that use each other are no error.
    "tool/mid/a.h": "int a(int n);\n",
    "tool/mid/a.c": '#include "tool/mid/a.h"\n#include "tool/mid/b.h"\nint a(int n) { return b(n); }\n',
    "tool/mid/b.h": "int b(int n);\n",
    "tool/mid/b.c": '#include "tool/mid/b.h"\n#include "tool/mid/c.h"\nstatic int low(int n);\n'
    'static int low(int n) { return c(n); }\nint b(int n) { return low(n); }\n',
    "tool/mid/c.h": "int c(int n);\n",
    "tool/mid/c.c": """#include "tool/mid/c.h"
#include "tool/low/low.h"
#include "tool/mid/a.h"
int c(int n) { return n ? a(n - 1) : low_number; }
""",
    "tool/high.h": "extern int high_number;\nint high(void);\n",
    "tool/high.c": '#include "tool/high.h"\n#include "tool/mid/a.h"\nint high_number;\nint high(void) { return a(1); }\n',
    "tool/main.c": '#include "tool/high.h"\nint main(void) { return high(); }\n',
    "other/main.c": '#include "common/util.h"\nint main(void) { return util(); }\n',
}
LOW, MID, HIGH = "src/tool/low/low.c", "src/tool/mid/a.c", "src/tool/high.c"
ROUND = ("src/tool/high.c → src/tool/mid/a.c: a()", "src/tool/mid/c.c → src/tool/low/low.c: low_number")
A, C = RIGHT["tool/mid/a.c"], RIGHT["tool/mid/c.c"]
LOW_C, RUN, ROOMS = RIGHT["tool/low/low.c"], RIGHT["tool/low/low-internal.h"], RIGHT["rooms"]

# What is wrong: {file: text, or None}, and the lines that report it.
WRONG = {
    "nothing": ({}, []),
    "an #include of a room above, and a circle of three rooms": (
        {"tool/low/low.c": '#include "tool/high.h"\n' + LOW_C},
        [f"{LOW}:1 → src/tool/high.h: #include up, from the room low to high",
         f"circle of rooms low → high → mid → low: {LOW} → src/tool/high.h: #include; {'; '.join(ROUND)}"],
    ),
    "an #include of a room above, in angle brackets": (
        {"tool/low/low.c": '#include <tool/high.h>\n' + LOW_C},
        [f"{LOW}:1 → src/tool/high.h: #include up, from the room low to high",
         f"circle of rooms low → high → mid → low: {LOW} → src/tool/high.h: #include; {'; '.join(ROUND)}"],
    ),
    "an #include of a room above, by a header and its own directory": (
        {"tool/high.h": '#include "low/low.h"\nextern int high_number;\nint high(void);\n',
         "tool/high.c": '#include "tool/high.h"\nint high_number;\nint high(void) { return low_number; }\n',
         "tool/high-top.h": "#pragma once\n", "tool/mid/b.h": '#include "../high-top.h"\nint b(int n);\n'},
        ["src/tool/mid/b.h:1 → src/tool/high-top.h: #include up, from the room mid to high"],
    ),
    "a call, an address in static data and a variable of a room above": (
        {"tool/mid/c.c": C + 'int high(void);\nextern int high_number;\nint c2(void);\n'
         "static int (*const table[])(void) = { high };\nint c2(void) { return table[low_number]() + high_number; }\n",
         "tool/mid/c.h": "int c(int n);\nint c2(void);\n"},
        ["src/tool/mid/c.c → src/tool/high.c: use up, from the room mid to high: high(), high_number",
         "src/tool/high.c → src/tool/mid/c.c: declared there and not in high.h: high(), high_number",
         "circle of rooms mid → high → mid: src/tool/mid/c.c → src/tool/high.c: high(); " + ROUND[0],
         "circle of 4 files: src/tool/high.c → src/tool/mid/a.c: a(); src/tool/mid/a.c → src/tool/mid/b.c: b(); "
         "src/tool/mid/b.c → src/tool/mid/c.c: c(); src/tool/mid/c.c → src/tool/high.c: high()"],
    ),
    "another program": (
        {"other/main.c": '#include "tool/low/low.h"\nint main(void) { return util(); }\n'},
        ["src/other/main.c:1 → src/tool/low/low.h: #include of another program: src/other may use src/common alone"],
    ),
    "common uses a program": (
        {"common/util.c": '#include "common/util.h"\n#include "tool/high.h"\nint util(void) { return high(); }\n',
         "tool/high.c": '#include "tool/high.h"\nint high_number;\nint high(void) { return 1; }\n'},
        ["src/common/util.c:2 → src/tool/high.h: #include of another program: src/common may use src/common alone",
         "src/common/util.c → src/tool/high.c: use of another program: src/common may use src/common alone: high()"],
    ),
    "a circle of four files": (
        {"tool/mid/c.c": C.replace("a(n - 1)", "d(n - 1)").replace("mid/a.h", "mid/d.h"), "tool/mid/d.h": "int d(int n);\n",
         "tool/mid/d.c": '#include "tool/mid/d.h"\n#include "tool/mid/a.h"\nint d(int n) { return a(n); }\n'},
        ["circle of 4 files: src/tool/mid/a.c → src/tool/mid/b.c: b(); src/tool/mid/b.c → src/tool/mid/c.c: c(); "
         "src/tool/mid/c.c → src/tool/mid/d.c: d(); src/tool/mid/d.c → src/tool/mid/a.c: a()"],
    ),
    "a file without a header": (
        {"tool/low/bare.c": "static int x;\nint main2;\n"},
        ["src/tool/low/bare.c → src/tool/low/bare.h: it has no header of its own name",
         "src/tool/low/bare.c → src/tool/low/bare.h: exported, and declared in no header: main2"],
    ),
    "a function and a variable in another file's header": (
        {"tool/mid/a.h": None, "tool/mid/b.h": "int a(int n);\nint b(int n);\nextern int number;\n",
         "tool/mid/a.c": '#include "tool/mid/b.h"\nint number;\nint a(int n) { return b(n); }\n',
         "tool/mid/c.c": C.replace("mid/a.h", "mid/b.h"), "tool/high.c": RIGHT["tool/high.c"].replace("mid/a.h", "mid/b.h")},
        [f"{MID} → src/tool/mid/a.h: it has no header of its own name",
         f"{MID} → src/tool/mid/b.h: declared there and not in a.h: a(), number"],
    ),
    "a function in a header for the inside": (
        {"tool/low/low-internal.h": RUN + "int low_secret(void);\n",
         "tool/low/low.c": LOW_C + "int low_secret(void) { return 1; }\n"},
        [f"{LOW} → src/tool/low/low-internal.h: declared there and not in low.h: low_secret()"],
    ),
    "a header that declares what nothing defines": (
        {"tool/mid/a.h": "int a(int n);\nint gone(void);\n"},
        ["src/tool/mid/a.h → src/tool/mid/a.c: gone is declared there and defined in no file"],
    ),
    "main.c that others use": (
        {"tool/main.c": '#include "tool/high.h"\nint asked;\nint main(void) { return high(); }\n',
         "tool/high.h": RIGHT["tool/high.h"] + "extern int asked;\n"},
        ["src/tool/main.c → src/tool/high.h: declared there and not in main.h: asked"],
    ),
    "a struct with a field too many": (
        {"tool/low/low-internal.h": RUN.replace("*b", "*b, b2")},
        ["src/tool/low/low-internal.h → struct Run: it has 31 fields, more than 30 "
         "(plain with 3 of Plain, k with 2, l with 4, anonymous with 12)"],
    ),
    "a struct that counts, since no function takes it": (
        {"tool/low/low-internal.h": RUN.replace("Own own", "Plain own")},
        ["src/tool/low/low-internal.h → struct Run: it has 32 fields, more than 30 "
         "(own with 3 of Plain, plain with 3 of Plain, k with 2, l with 4, anonymous with 12)"],
    ),
    "a struct by another name": (
        {"tool/low/low-internal.h": RUN.replace("} Link;", "} Chain;")},
        ["src → struct Link: no file has it: its fields are not counted"],
    ),
    "rooms that do not agree with the files": (
        {"rooms": ROOMS.replace("mid/", "mid/\n        empty/\n        again: high").replace("other:\n        main\n", "")},
        ["src/tool/high.c → src/rooms: it is in again and in high",
         "src/tool/high.h → src/rooms: it is in again and in high",
         "src/other/main.c → src/rooms: it is in no room", "src/rooms → src/tool: no file is in the room empty",
         "src/rooms → src/tool: no file is in the room high"],
    ),
    "a file that nothing compiles": (
        {"tool/mid/unbuilt.c": "", "tool/mid/unbuilt.h": ""},
        ["src/tool/mid/unbuilt.c → build: no program compiles it"],
    ),
}
ARROWS = """common:
        util
tool:
        main → high
        high → mid
        mid → low
        low → common
other:
        main → common
"""


def build(changes):
    """the source and its objects in the current directory"""
    commands = []
    for name, text in (RIGHT | changes).items():
        if text is None:
            continue
        source = Path("src", name)
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
    for name in sorted(RIGHT | changes):
        source = Path("src", name)
        if source.suffix != ".c" or source.stem == "unbuilt":
            continue
        output = Path("build", source.parent, source.name + ".o")
        output.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*compiler, "-w", "-O1", "-Isrc", "-Isrc/tool", "-c", "-o", output, source], check=True)
        commands.append({"directory": os.path.abspath("build"), "file": f"../{source}",
                         "output": str(output.relative_to("build"))})
    Path("build/compile_commands.json").write_text(json.dumps(commands))


def run(*arguments):
    return subprocess.run([tool, *arguments, "build"], stdout=subprocess.PIPE, text=True)


def run_with_ninja():
    """a file more, of which neither compile_commands.json nor an object knows: both come by ninja"""
    build({})
    Path("src/tool/mid/d.h").write_text("int d(int n);\n")
    Path("src/tool/mid/d.c").write_text('#include "tool/mid/d.h"\nint d(int n) { return n; }\n')
    commands = json.loads(Path("build/compile_commands.json").read_text())
    commands.append({**commands[0], "file": "../src/tool/mid/d.c", "output": "src/tool/mid/d.c.o"})
    Path("build/later.json").write_text(json.dumps(commands))
    compile_it = " ".join([*compiler, "-w", "-I../src", "-c", "-o", "$out", "$in"])
    Path("build/build.ninja").write_text(
        "rule again\n  command = cp later.json compile_commands.json && touch build.ninja\n  generator = 1\n"
        f"build build.ninja: again later.json\nrule cc\n  command = {compile_it}\n"
        + "".join(f"build {c['output']}: cc {c['file']}\n" for c in commands)
    )
    os.utime("build/build.ninja", (1, 1))
    return run()


def page(picture, rows):
    return (f"# Page\n\n<!-- rooms -->\n{picture}<!-- end of rooms -->\n\n### src/common/\n\n| file | task |\n|---|---|\n{rows}"
            "\n## `common` without a directory\n\n| `nothing` | is not looked for here |\n")


def run_with_pages():
    """what is wrong with the pages: a list of texts"""
    problems = []
    build({})
    stems = sorted({os.path.splitext(str(p))[0] for p in Path("src").glob("*/**/*.[ch]")})
    tables = "".join(f"| `{os.path.relpath(stem, 'src/common')}` | text |\n" for stem in stems if "/common/" in stem)
    for directory in sorted({os.path.dirname(stem) for stem in stems} - {"src/common"}):
        tables += f"\n### `{directory}/`\n\n" + "".join(
            f"| `{os.path.basename(stem)}` | text |\n" for stem in stems if os.path.dirname(stem) == directory)
    Path("page.md").write_text(page("old\n", tables))
    if run("--document", "page.md").returncode != 0:
        problems.append("--document fails")
    right = Path("page.md").read_text()
    if any(f"    {line}\n" not in right for line in ARROWS.splitlines()) or "old" in right:
        problems.append(f"--document writes:\n{right}")
    changed = "its picture is not what there is; `tools/lib/rooms --document page.md BUILD` draws it"
    row = "| `util` | text |\n"
    for what, text, expected in (
        ("a page that is right", right, []),
        ("a picture with an arrow less", right.replace("mid → low", "mid", 1), [f"page.md → src/rooms: {changed}"]),
        ("a file without a row", right.replace(row, ""), ["src/common/util → page.md: it has no row"]),
        ("a file with two rows", right.replace(row, row + row), ["page.md → src/common/util: it has 2 rows for one file"]),
        ("a row without a file", right.replace(row, row + "| `gone` | text |\n"),
         ["page.md → src/common/gone: it has a row for a file that does not exist"]),
    ):
        if what != "a page that is right" and text == right:
            problems.append(f"{what}: nothing was changed")
        Path("page.md").write_text(text)
        done = run("--documented", "page.md")
        if done.stdout.splitlines() != expected or done.returncode != (1 if expected else 0):
            problems.append(f"{what}: exit status {done.returncode}\n{done.stdout}")
    return problems


def run_with_ways():
    """what is wrong with the ways of a page: a list of texts"""
    problems = []
    build({"tool/high.h": RIGHT["tool/high.h"] + "typedef struct Ops {\n        int (*act)(int n);\n        int number;\n} Ops;\n"})
    high, mid, low = "src/tool/high.c", "src/tool/mid/a.c", "src/tool/mid/b.c"
    for name in (high, mid, low):
        if not os.path.exists(name):
            problems.append(f"{name} does not exist")
    for what, way, expected in (
        ("down", [high, mid, low], []),
        ("up", [low, mid, high], []),
        ("two ways", [high, mid, None, low, mid], []),
        ("past one", [high, low], [f"page.md: {high} → {low}: neither uses the other one"]),
        ("a file that is gone", [high, "src/tool/gone.c"], ["page.md → src/tool/gone.c: no such file"]),
        ("six files", [high, mid] * 3, []),
        ("seven files", [high, mid] * 3 + [high], [f"page.md: {high} → {high}: a way of 7 files, more than 6"]),
        ("elsewhere", [high, "build/compile_commands.json", mid, "build/gone"], ["page.md → build/gone: no such file"]),
        ("by a table", [high, mid + "` (by `Ops.act`)"], []),
        ("by two tables", [high, low + "` (by `Ops.act`, `Ops.gone`)"],
         [f"page.md: {low} → Ops.gone: there is no such function in a table"]),
        ("by a member that is no function", [high, low + "` (by `Ops.number`)"],
         [f"page.md: {low} → Ops.number: there is no such function in a table"]),
        ("none", [], ["page.md → src: it has no way through the sources"]),
    ):
        text, n = "# Page\n\n1. Not a file\n2. `text` neither\n3. `a command/with blanks` neither\n\n", 0
        for name in way:
            n = n + 1 if name else 0
            name = name and (name if "`" in name else name + "`")
            text += f"{n}. `{name} does it\n   in two lines\n" if name else "\nAnother one:\n\n"
        Path("page.md").write_text(text)
        done = run("--ways", "page.md")
        if done.stdout.splitlines() != expected or done.returncode != (1 if expected else 0):
            problems.append(f"the way {what}: exit status {done.returncode}\n{done.stdout}")
    return problems


failed = False
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    done = run_with_ninja()
    if done.returncode != 0 or not os.path.exists("build/src/tool/mid/d.c.o"):
        failed = True
        print(f"a build directory that is behind: exit status {done.returncode}\n{done.stdout}")
    os.chdir("/")
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for problem in run_with_pages() + run_with_ways():
        failed = True
        print(problem)
    os.chdir("/")
for what, (changes, expected) in WRONG.items():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        build(changes)
        done = run()
        found = done.stdout.splitlines()
        if sorted(found) != sorted(expected) or done.returncode != (1 if expected else 0):
            failed = True
            print(f"{what}: exit status {done.returncode}")
            for line in sorted(set(found) - set(expected)):
                print(f"        not expected: {line}")
            for line in sorted(set(expected) - set(found)):
                print(f"        expected: {line}")
        if not changes and run("--arrows").stdout != ARROWS:
            failed = True
            print(f"--arrows prints:\n{run('--arrows').stdout}")
        os.chdir("/")
sys.exit(1 if failed else 0)
