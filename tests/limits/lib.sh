# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the cases of this folder, on a machine whose controllers act.

# shellcheck source=tests/system/lib-product.sh
. "$(dirname "${BASH_SOURCE[0]}")/../system/lib-product.sh"

# journal_has REGEX ARGUMENT…: journald writes down what it has got already, before it is asked. For use with `eventually`:
# what is said in the journal and what is told elsewhere come by different ways.
journal_has() {
        local regex=$1
        shift
        journalctl --sync
        journalctl -q --no-pager "$@" | grep -E -- "$regex" >/dev/null
}

# written ID: how much the agent has said, at the place where its supervisor writes it down.
written() {
        stat -c %s "$(run_folder "$1")/out.log"
}

# writes_more ID BYTES: it has said more than that.
writes_more() {
        [ "$(written "$1")" -gt "$2" ]
}

# start_limited ID LIMITS-JSON SCRIPT: a conversation with these limits that is known to have begun.
start_limited() {
        local params
        params=$(nf-test object limits:="$2" prompt="$3")
        start_conversation "$1" "$params" >/dev/null || return 1
        until_ok 40 event "$1" 'm == "conversation.started"'
}

# end ID MEMBER: a member of conversation.ended, "a.b" for one inside another; "null" where it is not there.
end() {
        orc conversation events --json "$1" | nf-test end "$2"
}

# hits ID LIMIT: the hits of its events, a JSON list.
hits() {
        events "$1" | nf-test jsonl '[x["params"]["hits"] for x in d if x["method"] == "conversation.limit" and x["params"]["limit"] == a[0]]' "$2"
}

scope_file() {
        cat "/sys/fs/cgroup/northflare.slice/$(scope_of "$1")/$2"
}

# The pid of a run's supervisor.
supervisor_pid() {
        json 'str(d["pid"])' <"$(run_folder "$1" "${2:-1}")/started"
}

# choose PID: makes it the one that the kernel kills first. Its children of now are not meant.
choose() {
        echo 1000 >"/proc/$1/oom_score_adj"
}

# Waits to be let, then takes more than there is, in several processes so that none of them is the largest by far.
# For the cases.
# shellcheck disable=SC2034
HUNGRY="while [ ! -e \"\$TMPDIR/go\" ]; do sleep 0.2; done
for i in 1 2 3 4; do python3 $NF_TEST hold 100 60 >/dev/null & done; wait"

# go ID: lets it.
go() {
        local f
        for f in /var/lib/northflare-agent/*/tmp/"$1"-1; do
                install -o northflare-agent /dev/null "$f/go"
        done
}
