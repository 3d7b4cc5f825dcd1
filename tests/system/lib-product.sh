# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the cases that need a running product: an orchestrator, a token, a repository, a runner, conversations.

# shellcheck source=tests/system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ORCHESTRATOR_URL=http://127.0.0.1:8420
REPOSITORY_URL=http://localhost:8088/demo.git
export ORCHESTRATOR_URL REPOSITORY_URL

orc() {
        timeout -k 2 "${ORC_TIMEOUT:-60}" northflare-orchestrator "$@"
}

start_orchestrator() {
        systemctl start northflare-orchestrator.socket
}

# make_token NAME: prints the token.
make_token() {
        orc token create --name "$1"
}

# put_token TOKEN: where the unit's drop-in reads it.
put_token() {
        (umask 077 && printf '%s\n' "$1" >/etc/northflare/runner-token)
        mkdir -p /etc/systemd/system/northflare-runner.service.d
        cp /usr/share/doc/northflare-runner/samples/runner-token.conf /etc/systemd/system/northflare-runner.service.d/
        systemctl daemon-reload
}

# configure_runner [JSON]: runner.json with members of JSON on top of what every test needs.
configure_runner() {
        nf-test object --lines orchestratorUrl=http://127.0.0.1:8420 git.allowLoopback:=true minFreeDiskBytes:=1048576 debug:=true \
                :="${1:-"{}"}" >/etc/northflare/runner.json
}

# The name of the runner's bus object changes with nothing: its properties by their name.
runner_property() {
        busctl --json=short get-property org.northflare.Runner1 /org/northflare/Runner1 org.northflare.Runner1.Manager "$1" |
                json 'd["data"]'
}

property_is() {
        local v
        v=$(runner_property "$1") || return 1
        [ "$v" = "$2" ] || {
                echo "$1 is $v, not $2"
                return 1
        }
}

# service_status_has REGEX: in what `systemctl status` shows of the runner.
service_status_has() {
        systemctl status northflare-runner --no-pager | has "$1"
}

# status_text_has REGEX: in the text that the runner gives to systemd.
status_text_has() {
        systemctl show -P StatusText northflare-runner | grep -E "$1"
}

# heartbeat_says REASON: why the runner accepts no work, as its orchestrator has it; `open` where it does.
heartbeat_says() {
        local v
        v=$(orc runners --json | json '(d if isinstance(d, list) else d["runners"])[0]["heartbeat"]["admission"].get("reason", "open")') || return 1
        [ "$v" = "$1" ] || {
                echo "the heartbeat says $v, not $1"
                return 1
        }
}

# runner_logged REGEX: in the runner's journal.
runner_logged() {
        journalctl -q -u northflare-runner --no-pager -o cat | has -E -- "$1"
}

# runner_pid: its main process.
runner_pid() {
        systemctl show -P MainPID northflare-runner
}

# unit_property PROPERTY UNIT
unit_property() {
        systemctl show -P "$1" "$2"
}

# as_user USER COMMAND…
as_user() {
        runuser -u "$1" -- "${@:2}"
}

# in_session USER COMMAND…: as in a session of that user, with the bus of her user manager.
in_session() {
        local user=$1 uid
        shift
        uid=$(id -u "$user")
        runuser -u "$user" -- env -C "/home/$user" HOME="/home/$user" XDG_RUNTIME_DIR="/run/user/$uid" \
                DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" NO_COLOR=1 "$@"
}

# alice COMMAND…: for the cases that make this user.
alice() {
        in_session alice "$@"
}

# alice_is_connected: her runner, to its orchestrator.
alice_is_connected() {
        alice northflarectl --user status | has 'State: active'
}

# alice_property NAME: of her runner, as runner_property.
alice_property() {
        alice busctl --user --json=short get-property org.northflare.Runner1 /org/northflare/Runner1 org.northflare.Runner1.Manager "$1" |
                json 'd["data"]'
}

# alice_property_is NAME VALUE
alice_property_is() {
        [ "$(alice_property "$1")" = "$2" ]
}

# below NAME LIMIT VALUE: passes where VALUE is above 0 and below LIMIT.
below() {
        if [ "${3:-0}" -gt 0 ] && [ "$3" -lt "$2" ]; then ok "$1 ($3)"; else not_ok "$1 ($3)"; fi
}

# between NAME LOW VALUE HIGH: passes where VALUE is neither below LOW nor above HIGH.
between() {
        if [ "$3" -ge "$2" ] && [ "$3" -le "$4" ]; then ok "$1 ($2 <= $3 <= $4)"; else not_ok "$1 ($2 <= $3 <= $4)"; fi
}

# load_said NAME: a number or text that load.py printed to $nf_tmp/load; a name that it did not print is no number either.
load_said() {
        grep -q "^$1: " "$nf_tmp/load" || echo '?'
        sed -n "s/^$1: //p" "$nf_tmp/load"
}

# A runner with its orchestrator, connected.
start_all() {
        start_orchestrator
        put_token "$(make_token test)"
        configure_runner "${1:-"{}"}"
        check "northflare-runner starts" systemctl start northflare-runner || journalctl -u northflare-runner -n 30
        eventually "the runner is connected" 20 property_is Connected true
}

# launcher_up: starts the launcher where it is not there, and prints its process. One that was killed keeps its name until the
# bus has seen the end of its connection.
launcher_up() {
        local pid
        until_ok 30 busctl call org.northflare.Launcher1 /org/northflare/Launcher1 org.freedesktop.DBus.Peer Ping || return 1
        pid=$(systemctl show -P MainPID northflare-launcher)
        # 0 is everybody here for kill.
        [ "$pid" -gt 1 ] && echo "$pid"
}

# A small repository over http.
start_repository() {
        git init -q -b main "$nf_tmp/work"
        git -C "$nf_tmp/work" config user.name Test
        git -C "$nf_tmp/work" config user.email test@example.org
        printf 'Hello from the repository.\n' >"$nf_tmp/work/README"
        printf '#!/bin/sh\necho built\n' >"$nf_tmp/work/build.sh"
        chmod +x "$nf_tmp/work/build.sh"
        git -C "$nf_tmp/work" add -A
        git -C "$nf_tmp/work" commit -q -m 'First commit'
        mkdir -p /srv/git
        git clone -q --bare "$nf_tmp/work" /srv/git/demo.git
        systemd-run -q --unit=nf-git-server -p StandardOutput=file:/run/nf-git-server \
                python3 /src/tools/lib/git-server.py /srv/git 8088
        until_ok 20 grep -q listening /run/nf-git-server
}

# start_conversation ID PARAMS-JSON: by the orchestrator, with the shell agent; waits for the runner's answer.
start_conversation() {
        orc conversation start --wait --timeout 30 --id "$1" --agent shell --param "${2:-"{}"}"
}

# stop_conversation ID: answered when it has stopped.
stop_conversation() {
        orc conversation stop --wait --timeout 50 --json "$1"
}

prompt() {
        nf-test object prompt="$1"
}

# The conversation's events so far, one JSON-RPC notification a line.
events() {
        orc conversation events --json "$1" | nf-test notifications
}

# event ID EXPRESSION [NUMBER]: prints EXPRESSION of the first event, or that NUMBER, for which it is neither None nor False; m is
# the method, p the params, e the agent's event ({} where it is none).
event() {
        orc conversation events --json "$1" | nf-test event "${@:2}"
}

# each_event ID EXPRESSION: the same of every event, a line each.
each_event() {
        orc conversation events --json "$1" | nf-test each "$2"
}

# agent_text ID [TURN]: all that the agent wrote, in the order of arrival, or what it wrote behind the end of so many turns.
agent_text() {
        orc conversation events --json "$1" | nf-test text "${@:2}"
}

turns_ended() {
        orc conversation events --json "$1" | nf-test turns "$2"
}

# text_has ID REGEX: the agent wrote a line that is that.
text_has() {
        agent_text "$1" | has -x -- "$2"
}

# counted_lines ID OPTION…: the agent's lines "line 1", "line 2", … arrived whole, once and in order (nf-test numbered).
counted_lines() {
        agent_text "$1" | nf-test numbered "${@:2}"
}

# counted_to_last ID: the same of a turn that counts until $HOME/enough is there, to its line "last N".
counted_to_last() {
        counted_lines "$1" --last
}

# end_counting: all turns that count until $HOME/enough is there may end.
end_counting() {
        local h
        for h in /var/lib/northflare-agent/*/home; do
                install -o northflare-agent /dev/null "$h/enough"
        done
}

# marking_script NAME: for an agent, which leaves a file in /srv/marks each time that it runs it.
marking_script() {
        echo "mktemp -q /srv/marks/$1.$(printf 'X%.0s' {1..8}) >/dev/null; echo mark $1 by \$(id -un)"
}

# count_marks NAME: how often that script has run.
count_marks() {
        find /srv/marks -name "$1.*" | wc -l
}

# reports_of_runner [CODE] EXPRESSION: of l, the reports of errors that the orchestrator has of this runner.
reports_of_runner() {
        orc runners events --json "$(runner_property RunnerUid)" | nf-test reports "$@"
}

# as_runner VERB ARGUMENT…: nf-test as the runner's user. sql STATEMENT…: in the runner's store.
as_runner() {
        runuser -u northflare -- nf-test "$@"
}

sql() {
        as_runner sql "$@"
}

# limits_of ID EXPRESSION: of what `northflarectl show` says; l is its member limits, f the filter of addresses in there or None.
limits_of() {
        northflarectl --json=short show "$1" | nf-test limits "$2"
}

# state_of ID: its state, as the runner has it.
state_of() {
        northflarectl show --json=short "$1" | json 'd["state"]'
}

# state_is ID STATE
state_is() {
        local state
        state=$(state_of "$1")
        [ "$state" = "$2" ] || {
                echo "$1 is $state"
                return 1
        }
}

# say_to ID TEXT
say_to() {
        orc conversation send --wait --timeout 20 "$1" "$2"
}

# The scope of run 1, its cgroup, and the agent's main process.
scope_of() {
        echo "northflare-conversation-$1-${2:-1}.scope"
}

# scope_is_gone ID [RUN]: for systemd too. The runner knows by the cgroup that nothing is left, and says so before systemd
# has looked.
scope_is_gone() {
        ! systemctl is-active -q "$(scope_of "$@")"
}

# workspace_key WORKSPACE: the name of its directory.
workspace_key() {
        printf %s "$1" | sha256sum | cut -c1-16
}

run_folder() {
        echo "/var/lib/northflare/conversations/$1/${2:-1}"
}

agent_pid() {
        json 'str(d["agentPid"])' <"$(run_folder "$1" "${2:-1}")/started"
}

cgroup_of() {
        sed -n 's/^0:://p' "/proc/$1/cgroup"
}

ended() {
        event "$1" 'm == "conversation.ended"'
}

# count_ends ID: how many ends of it the orchestrator has.
count_ends() {
        events "$1" | grep -c '"conversation.ended"'
}

# start_shell ID SCRIPT: a conversation that runs SCRIPT and is known to have begun with it.
start_shell() {
        start_conversation "$1" "$(prompt "$2")" >/dev/null || return 1
        until_ok 20 event "$1" 'm == "conversation.started"'
}

# told_before_boot ID: the orchestrator heard of the end before this boot began.
told_before_boot() {
        local begun
        begun=$(busctl --json=short get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
                UserspaceTimestamp | json 'd["data"]')
        orc conversation events --json "$1" | nf-test ended-before "$begun"
}

# carry_their_id ID...: every line of the runner's journal that names one of these conversations in its text has the id in its
# field; shows those that have not. At least one line has to name each.
carry_their_id() {
        journalctl -q -o json _SYSTEMD_UNIT=northflare-runner.service | nf-test carry-ids "$@"
}
