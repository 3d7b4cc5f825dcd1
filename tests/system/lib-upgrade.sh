# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For the cases that begin with what a released runner left: lays down tests/upgrade/COMMIT and starts its live runs under
# its own supervisor. tests/upgrade/README.md says what is in there. A case sources this after lib-product.sh, then
#
#     lay_down_release                         users, configuration, both stores, runs, registry, homes
#     start_released_runs                      the runs that were live, each in a scope as the launcher of then made it
#
# and starts orchestrator and runner when it likes. Times in the stores are moved so that the capture was just now. The stores
# are as captured but for two things: the response to the conversation.resume of c-resumed is not delivered yet, and the
# orchestrator has removed the events of c-limits, which it had acknowledged, so that it would accept them again.

RELEASE_DIR=/src/tests/upgrade/d178ae2
released_supervisor=/run/northflare-released/supervisor

# The live runs: ID RUN USER KEY PROPERTIES-OF-THE-SCOPE.
released_runs() {
        sed -n '/^[^#]/p' "$RELEASE_DIR/live-runs"
}


# message_of CONVERSATION METHOD: the id of the orchestrator's message.
message_of() {
        sed -n "s/^INSERT INTO \"messages\" VALUES([0-9]*,'\([^']*\)',.*,'$1',[^,]*,'$2',.*/\1/p" "$RELEASE_DIR/orchestrator.sql"
}

# acknowledged_events CONVERSATION: the messageIds of the events that the orchestrator had.
acknowledged_events() {
        sed -n "s/^INSERT INTO \"events\" VALUES([0-9]*,'[^']*','\([^']*\)','$1',.*/\1/p" "$RELEASE_DIR/orchestrator.sql"
}

# released_store FILE DATABASE SHIFT STATEMENTS: the store in FILE, and STATEMENTS carried out in it.
released_store() {
        "$RELEASE_DIR/../lay-store.py" <(cat "$RELEASE_DIR/$1" - <<<"$4") "$2" "$3"
}

build_released_supervisor() {
        install -d "${released_supervisor%/*}"
        install -t "${released_supervisor%/*}" "$RELEASE_DIR/agent.py"
        gcc -std=gnu17 -O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$RELEASE_DIR/src" -static -o "$released_supervisor" \
                "$RELEASE_DIR"/src/supervisor/*.c "$RELEASE_DIR"/src/common/*.c
}

released_run_directories() {
        local d
        mkdir -p /var/lib/northflare/conversations
        cp -r "$RELEASE_DIR/conversations/." /var/lib/northflare/conversations/
        while read -r id run _; do
                d=/var/lib/northflare/conversations/$id/$run
                # The supervisor writes these again.
                rm -f "$d/started" "$d/out.log"
        done < <(released_runs)
        for d in /var/lib/northflare/conversations/*/*/; do
                mkfifo -m 0600 "$d/bell"
        done
        chown -R northflare:northflare /var/lib/northflare
        find /var/lib/northflare -type d -exec chmod 0700 {} +
        find /var/lib/northflare -type f -exec chmod 0600 {} +
}

released_homes() {
        local home user
        cp -r "$RELEASE_DIR/homes/." /var/lib/
        for home in /var/lib/northflare-agent*/; do
                user=$(basename "$home")
                chown -R "$user:" "$home"
                chmod -R go-rwx "$home"
        done
}

lay_down_release() {
        local captured shift
        captured=$(cat "$RELEASE_DIR/captured")
        shift=$((${EPOCHREALTIME/./} - captured))
        useradd -r -d /var/lib/northflare-agent2 -m -k /dev/null -s /usr/sbin/nologin northflare-agent2
        chmod 0700 /var/lib/northflare-agent2
        cp "$RELEASE_DIR"/etc/{runner.json,launcher.json} /etc/northflare/
        put_token "$(cat "$RELEASE_DIR/etc/runner-token")"
        # The configuration of then names its agents in /usr/local/bin.
        install -T "$RELEASE_DIR/asking-agent.py" /usr/local/bin/asking-agent
        install -d -o northflare -g northflare -m 0700 /var/lib/northflare
        released_store store.sql /var/lib/northflare/store.db "$shift" \
                "INSERT INTO responses (inbound) SELECT seq FROM inbound WHERE envelope_id = '$(message_of c-resumed conversation.resume)';" ||
                return 1
        chown northflare: /var/lib/northflare/store.db*
        released_run_directories
        install -d -m 0700 /var/lib/northflare-launcher
        install -m 0600 "$RELEASE_DIR/workspaces" /var/lib/northflare-launcher/workspaces
        install -d -o northflare-orchestrator -g northflare-orchestrator -m 0700 /var/lib/northflare-orchestrator
        released_store orchestrator.sql /var/lib/northflare-orchestrator/orchestrator.db "$shift" \
                "UPDATE messages SET answered = NULL, response = NULL WHERE id = '$(message_of c-resumed conversation.resume)';
                DELETE FROM events WHERE conversation = 'c-limits';" || return 1
        chown northflare-orchestrator: /var/lib/northflare-orchestrator/*
        released_homes
        build_released_supervisor
}

# start_released_run ID RUN USER KEY PROPERTIES: its agent goes on where the capture left it.
start_released_run() {
        local id=$1 run=$2 user=$3 key=$4 d=$RELEASE_DIR/conversations/$1/$2
        local place=${released_supervisor%/*}
        local -a agent=("$place/agent.py" "$place/$id.out" "$(stat -c %s "$d/in.log")")
        # The agents' users may not be let into the checkout.
        install -m 0644 "$d/out.log" "$place/$id.out"
        # This one says the same to the same, without help.
        [[ "$(cat "$d/spec.json")" != *'"agent":"asking"'* ]] || agent=(/usr/local/bin/asking-agent)
        "$RELEASE_DIR/start-run.py" "$released_supervisor" "$id" "$run" "$user" "$key" "" "$5" -- "${agent[@]}" || return 1
        # What was in out.log is there again, to the byte: the offsets of the store hold.
        until_ok 20 cmp -n "$(stat -c %s "$d/out.log")" "$d/out.log" "/var/lib/northflare/conversations/$id/$run/out.log"
}

start_released_runs() {
        local id run user key properties
        while read -r id run user key properties; do
                start_released_run "$id" "$run" "$user" "$key" "$properties" || {
                        echo "$id did not start"
                        return 1
                }
                # It was frozen by its orchestrator.
                [ "$id" != c-frozen ] || systemctl freeze "northflare-conversation-$id-$run.scope" || return 1
        done < <(released_runs)
}
