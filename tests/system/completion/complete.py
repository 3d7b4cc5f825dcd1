#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a real shell offers for what somebody types, by the files that are installed.

usage: complete.py bash|zsh|fish LINE...

Prints a line for each LINE: the words that are offered, sorted. A LINE with a tab at its end is answered with what the
shell makes of it at a single press of that key (not in fish). What a completion says on standard error, and a file that
does not load, ends this with 1.

bash and zsh sit on a terminal, where their own line editor reads the keys; they tell through descriptor 7 what came of
it. Nothing here waits for time to pass: a key is sent when the editor has said that it listens.
"""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASH = r"""
PS1='listening>' PS2=
unset PROMPT_COMMAND HISTFILE
. /usr/share/bash-completion/bash_completion
bind 'set enable-bracketed-paste off'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind '"\C-xa": insert-completions'
tell() {
        printf '%s\0' "$READLINE_LINE" >&7
        READLINE_LINE='' READLINE_POINT=0
}
# From the second key on: the file is there, by bash-completion's own loader.
watch() {
        local f
        for f in _northflarectl _northflare_runner _northflare_orchestrator; do
                if declare -F "$f" >/dev/null && ! declare -F "real$f" >/dev/null; then
                        eval "real$(declare -f "$f"); $f() { real$f \"\$@\" 2>>'$ERRORS'; }"
                fi
        done
        tell
}
bind -x '"\C-xp": tell'
bind -x '"\C-xw": watch'
"""

ZSH = r"""
PS1= RPS1=
unsetopt beep
autoload -Uz compinit
compinit -i -d "$ZDOTDIR/dump"
exec 2>>"$ERRORS"
zle -N zle-line-init listening
listening() { print -rn -- listening$'\0' >&7 }
tell() {
        print -rn -- "$BUFFER"$'\0' >&7
        BUFFER=
}
zle -N tell
typeset -ga offered
# What is found is told from here; a call that only looks (-O, -A, -D) offers nothing.
compadd() {
        if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
                builtin compadd "$@"
                return
        fi
        local -a nf_found
        builtin compadd -A nf_found "$@"
        offered+=( $IPREFIX${^nf_found} )
        builtin compadd "$@"
}
collect() {
        offered=()
        _main_complete
        compstate[insert]= compstate[list]=
        print -rn -- "${(F)offered}"$'\0' >&7
}
zle -C collect complete-word collect
discard() { BUFFER= }
zle -N discard
bindkey -e
bindkey '^I' complete-word
bindkey '^Xa' collect '^Xp' tell '^Xd' discard
"""

FISH = r"""
for line in $argv
    complete -C $line
    printf '\1'
end
"""


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, argv, env):
        told, tell = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Not first: the end to read from may well be descriptor 7.
            os.dup2(tell, 7)
            os.execvpe(argv[0], argv, env)
        os.close(tell)
        self.told, self.screen, self.said = told, b"", b""

    def wait(self, ready):
        end = time.monotonic() + 100
        while not ready():
            left = end - time.monotonic()
            if left <= 0:
                sys.exit(f"the shell does not answer; on its screen: {self.screen!r}")
            for fd in select.select([self.master, self.told], [], [], left)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    sys.exit(f"the shell has gone; on its screen: {self.screen!r}")
                if fd == self.master:
                    self.screen += data
                else:
                    self.said += data

    def answer(self):
        self.wait(lambda: b"\0" in self.said)
        text, _, self.said = self.said.partition(b"\0")
        return text.decode()

    def type(self, keys):
        rest = keys.encode()
        while rest:
            rest = rest[os.write(self.master, rest):]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def typed_so_far(line):
    """How much of the line stays when its last word is completed: up to a blank, or "="."""
    return max(line.rfind(" "), line.rfind("=")) + 1


def within_word(line):
    return typed_so_far(line) - line.rfind(" ") - 1


def in_bash(lines, env, folder):
    (folder / "rc").write_text(BASH)
    shell = Terminal(["bash", "--noprofile", "--rcfile", str(folder / "rc"), "-i"], env)
    shell.wait(lambda: b"listening>" in shell.screen)
    for name in sorted({line.split()[0] for line in lines}):
        shell.type(f"{name} \x18a\x18w")
        shell.answer()
    for line in lines:
        if line.endswith("\t"):
            shell.type(f"{line}\x18p")
            yield [shell.answer()]
            continue
        shell.type(f"{line}\x18a\x18p")
        answer = shell.answer()
        # Nothing was offered, and the line is as it was.
        yield [] if answer == line else answer[typed_so_far(line):].split()
    shell.close()


def in_zsh(lines, env, folder):
    (folder / ".zshrc").write_text(ZSH)
    shell = Terminal(["zsh", "-i"], {**env, "ZDOTDIR": str(folder)})
    shell.answer()
    for line in lines:
        if line.endswith("\t"):
            shell.type(f"{line}\x18p")
            yield [shell.answer()]
            continue
        shell.type(f"{line}\x18a\x18d")
        yield [w[within_word(line):] for w in shell.answer().split("\n")]
    shell.close()


def in_fish(lines, env, folder):
    p = subprocess.run(["fish", "-c", FISH, *lines], env={**env, "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)},
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(env["ERRORS"], "a"), text=True, check=False, timeout=300)
    answers = p.stdout.split("\1")
    if p.returncode or len(answers) != len(lines) + 1:
        sys.exit(f"fish ended with {p.returncode}: {p.stdout!r} {Path(env['ERRORS']).read_text()}")
    for line, answer in zip(lines, answers):
        # The whole word each, with what it is behind a tab.
        begun = line[line.rfind(" ") + 1:]
        # Those that only have it somewhere inside come behind these on a screen.
        yield [w.split("\t")[0][within_word(line):] for w in answer.splitlines() if w.startswith(begun)]


def main():
    shell, lines = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        errors = folder / "errors"
        errors.touch()
        env = {**os.environ, "ERRORS": str(errors), "TERM": "xterm", "HOME": name}
        for line, words in zip(lines, {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}[shell](lines, env, folder)):
            if not line.endswith("\t"):
                # Whether "=" or "/" comes with it is the shell's own way.
                words = sorted({w[:-1] if (w.startswith("--") and w.endswith("=")) or w.endswith("/") else w for w in words if w})
            print(" ".join(words))
        if text := errors.read_text():
            sys.exit(f"{shell}, on standard error:\n{text}")


main()
