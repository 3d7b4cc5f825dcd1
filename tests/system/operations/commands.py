# SPDX-License-Identifier: MIT
"""The commands of a page of docs, one for each that stands in it, with what belongs to it (continued lines, a here-document).

commands.py PAGE                lists them, each with its number on a line of its own before it
commands.py PAGE BEGINNING [N]  prints the N-th that begins so (1 unless given)
"""
import sys


def commands(path):
    with open(path) as f:
        lines = f.read().splitlines()
    found, i, fence = [], 0, False
    while i < len(lines):
        line = lines[i]
        i += 1
        if line.startswith('```'):
            fence = not fence
        if fence or not line.startswith('    ') or line.lstrip() != line[4:] or not line.strip() or line[4] == '#':
            continue
        command = [line[4:]]
        while command[-1].endswith('\\'):
            command.append(lines[i][4:])
            i += 1
        if "<<'END'" in command[0]:
            while command[-1] != 'END':
                command.append(lines[i][4:])
                i += 1
        found.append('\n'.join(command))
    return found


if __name__ == '__main__':
    all_of_them = commands(sys.argv[1])
    if len(sys.argv) > 2:
        chosen = [c for c in all_of_them if c.startswith(sys.argv[2])]
        print(chosen[int(sys.argv[3]) - 1 if len(sys.argv) > 3 else 0])
    else:
        for command in all_of_them:
            print(command)
