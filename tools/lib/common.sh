# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For tools/check and tools/demo: where things are, messages, locks.

NF_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
NF_CACHE=${NF_CACHE:-/var/cache/northflare-check}
export NF_TOP NF_CACHE

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] || [ -n "${FORCE_COLOR:-}" ]; then
        C_BOLD=$'\e[1m' C_DIM=$'\e[2m' C_RED=$'\e[31m' C_GREEN=$'\e[32m' C_YELLOW=$'\e[33m' C_CYAN=$'\e[36m' C_OFF=$'\e[0m'
else
        C_BOLD='' C_DIM='' C_RED='' C_GREEN='' C_YELLOW='' C_CYAN='' C_OFF=''
fi
export C_BOLD C_DIM C_RED C_GREEN C_YELLOW C_CYAN C_OFF

say() {
        printf '%s\n' "$C_DIM$(date +%T)$C_OFF $*" >&2
}

die() {
        printf '%s\n' "${C_RED}${0##*/}: $*$C_OFF" >&2
        exit 1
}

need_root() {
        [ "$(id -u)" = 0 ] || die "containers need root: sudo ${0#"$PWD"/} $*"
}

# One hash over standard input, short enough for a name.
short_hash() {
        sha256sum | cut -c1-16
}

# persist COMMAND…: three times, for what asks other machines: a mirror that is just being changed, a line that is down.
persist() {
        local n
        for n in 1 2 3; do
                "$@" && return 0
                [ "$n" = 3 ] || {
                        say "once more: $1 did not succeed"
                        sleep $((n * 10))
                }
        done
        return 1
}

# with_lock NAME COMMAND…: two runs on one machine share the cache, not a half-made root.
with_lock() {
        local name=$1 fd r=0
        shift
        mkdir -p "$NF_CACHE"
        exec {fd}>"$NF_CACHE/$name.lock"
        flock "$fd"
        "$@" || r=$?
        exec {fd}>&-
        return $r
}

# What a result is of: the commit, with a + where the tree has changes of its own; - where this is no checkout.
tree_version() {
        local version
        version=$(git -c safe.directory='*' -C "$NF_TOP" rev-parse --short HEAD 2>/dev/null) || {
                echo -
                return 0
        }
        [ -z "$(git -c safe.directory='*' -C "$NF_TOP" status --porcelain -- src units dbus 2>/dev/null)" ] || version+=+
        echo "$version"
}
