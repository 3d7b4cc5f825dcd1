# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the scripts tests/system/<case>/run, inside a booted container. A script sources this, calls the checks below and
# ends with `finish`. Results are TAP lines in /out/tap; everything else is for whoever reads a failure.

set -uo pipefail
export LANG=C.UTF-8 NO_COLOR=1 SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat PAGER=cat
tap_n=0 tap_failed=0
nf_tmp=$(mktemp -d /tmp/nf-test-XXXXXX)
chmod 755 "$nf_tmp"
exec 9>>"${NF_TAP:-/out/tap}"
# All that is done in Python: `nf-test --help`. An agent is started without this PATH, and takes $NF_TEST.
export NF_TEST=/src/tests/lib/nf-test NF_PYCACHE=/run/nf-pycache PATH=$PATH:/src/tests/lib

ok() {
        tap_n=$((tap_n + 1))
        echo "ok $tap_n - $*" >&9
        echo "ok $tap_n - $*"
}

not_ok() {
        tap_n=$((tap_n + 1))
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_n - $*" >&9
        echo "not ok $tap_n - $*"
}

# skip REASON NAME: a check that cannot be made here.
skip() {
        tap_n=$((tap_n + 1))
        echo "ok $tap_n - $2 # SKIP $1" >&9
        echo "ok $tap_n - $2 # SKIP $1"
}

note() {
        printf '# %s\n' "$@"
}

# check NAME COMMAND…: passes where COMMAND succeeds; its output is shown where it does not.
check() {
        local name=$1 r=0
        shift
        "$@" >"$nf_tmp/check.out" 2>&1 </dev/null || r=$?
        if [ $r = 0 ]; then
                ok "$name"
        else
                not_ok "$name"
                note "exit status $r of: $*"
                sed 's/^/#   /' "$nf_tmp/check.out" | tail -n "${NF_LINES:-40}"
        fi
        return $r
}

# refuse NAME COMMAND…: passes where COMMAND fails by itself (not by a timeout, not for being missing).
refuse() {
        local name=$1 r=0
        shift
        # A function is of this shell, and has bounds of its own.
        case $(type -t "$1") in
        function) "$@" >"$nf_tmp/check.out" 2>&1 </dev/null || r=$? ;;
        *) timeout -k 2 30 "$@" >"$nf_tmp/check.out" 2>&1 </dev/null || r=$? ;;
        esac
        case $r in
        0 | 124 | 126 | 127 | 137)
                not_ok "$name"
                note "exit status $r of: $*"
                sed 's/^/#   /' "$nf_tmp/check.out" | tail -n "${NF_LINES:-40}"
                return 1
                ;;
        *) ok "$name" ;;
        esac
}

# same NAME EXPECTED ACTUAL
same() {
        if [ "$2" = "$3" ]; then
                ok "$1"
        else
                not_ok "$1"
                note "expected: $2" "actual:   $3"
                return 1
        fi
}

# matches NAME REGEX TEXT
matches() {
        if grep -qE -- "$2" <<<"$3"; then
                ok "$1"
        else
                not_ok "$1"
                note "no match of: $2" "in:"
                head -c 4000 <<<"$3" | sed 's/^/#   /'
                return 1
        fi
}

# lacks NAME FIXED-STRING TEXT
lacks() {
        if grep -qF -- "$2" <<<"$3"; then
                not_ok "$1"
                note "found: $2"
                grep -F -- "$2" <<<"$3" | head -n 5 | sed 's/^/#   /'
                return 1
        else
                ok "$1"
        fi
}

# A descriptor on which nothing ever comes.
exec {nf_silence}<> <(:)

# A tenth of a second, or so many seconds, without a process.
tick() {
        read -rt "${1:-0.1}" -u "$nf_silence" || true
}

# until_ok SECONDS COMMAND…: asks again until COMMAND succeeds; 1 at the deadline. It rests twice as long as the question
# took, within a tenth of a second and one: what waits shall not take the processor from what is waited for.
until_ok() {
        local deadline=$((SECONDS + $1)) begun took
        shift
        while :; do
                begun=${EPOCHREALTIME/./}
                ! "$@" >"$nf_tmp/until.out" 2>&1 </dev/null || return 0
                [ "$SECONDS" -lt "$deadline" ] || return 1
                took=$((2 * (${EPOCHREALTIME/./} - begun)))
                took=$((took < 100000 ? 100000 : took > 1000000 ? 1000000 : took))
                tick "$((took / 1000000)).$(printf %06d $((took % 1000000)))"
        done
}

# eventually NAME SECONDS COMMAND…: a check by until_ok. Less than half a minute is said by nobody who means it: the time is for
# what takes longer, and a busy machine is no failure.
eventually() {
        local name=$1 seconds=$(($2 < 30 ? 30 : $2))
        shift 2
        if until_ok "$seconds" "$@"; then
                ok "$name"
        else
                not_ok "$name"
                note "not within $seconds s: $*"
                sed 's/^/#   /' "$nf_tmp/until.out" | tail -n 40
                return 1
        fi
}

# COMMAND | has [GREP-OPTION…] REGEX: what grep -q says, of all that COMMAND writes. grep -q itself leaves at the first match; whoever
# still writes then dies of it, and by pipefail what was found counts as not found.
has() {
        local all
        all=$(cat)
        grep -q "$@" <<<"$all"
}

# What was said before this is asked is in the answer: journald takes lines when it gets round to it, and sorts them in until it has
# none left before it answers --sync.
journalctl() {
        command journalctl --sync >/dev/null 2>&1 || true
        command journalctl "$@"
}

# processes_of USER: those that live. One that has died and waits for its parent is still a number in pgrep's list.
processes_of() {
        local p
        for p in $(pgrep -u "$1"); do
                [[ $(sed -n 's/^State:[[:space:]]*//p' "/proc/$p/status" 2>/dev/null) =~ ^([ZX]|$) ]] || echo "$p"
        done
}

# needs NAME FILE…: skips the rest of the case where the product has not got FILE. Only for what is being built.
needs() {
        local f
        for f; do
                [ -e "$f" ] || {
                        not_ok "$f is installed"
                        finish
                }
        done
}

finish() {
        echo "1..$tap_n" >&9
        echo "1..$tap_n"
        [ $tap_failed = 0 ] || exit 1
        exit 0
}

# A field of JSON on standard input: json PYTHON-EXPRESSION, with the parsed value as `d`.
json() {
        nf-test json "$@"
}

# reboot_machine [COMMAND…]: goes down in good order (by logind, or as COMMAND does it) and comes up again; the script is
# run anew then, and after_reboot is true.
reboot_machine() {
        echo "tap_n=$tap_n tap_failed=$tap_failed" >/var/lib/nf-rebooted
        # The unit that this script is must not switch off when it is stopped.
        mkdir -p /run/systemd/system/nf-script.service.d
        printf '[Unit]\nSuccessAction=none\nFailureAction=none\n' >/run/systemd/system/nf-script.service.d/reboot.conf
        systemctl daemon-reload
        sync
        [ $# -gt 0 ] || set -- systemctl reboot --no-block
        "$@"
        while :; do tick; done
}

after_reboot() {
        [ -e /var/lib/nf-rebooted ] || return 1
        # shellcheck source=/dev/null
        . /var/lib/nf-rebooted
}
