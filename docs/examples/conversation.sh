#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one conversation from its start to its end, over D-Bus with busctl(1). It reads the events piece by piece (ReadEvents),
# allows each question of the agent, and stops the conversation after the first turn.
#
#     ./conversation.sh claude 'Fix the test'
#
# For a person, `northflarectl run` does all of this. A program would parse the events with jq(1). For an example, a search for
# words is enough.
set -eu

N=org.northflare.Runner1
manager() {
        busctl call $N /org/northflare/Runner1 $N.Manager "$@"
}
conversation() {
        busctl --json=short --timeout=60 call $N "$path" $N.Conversation "$@"
}

# Replies look like: s "c-0123456789ab"
id=$(manager StartConversation 'a{sv}' 2 agent s "${1:-claude}" prompt s "${2:-Say hello.}" | cut -d'"' -f2)
echo "started $id"
path=$(manager GetConversation s "$id" | cut -d'"' -f2)

cursor='' answered='' stopping=''
while :; do
        # {"type":"ass","data":[["event","event"],"cursor"]}; quotes inside an event are escaped.
        reply=$(conversation ReadEvents su "$cursor" 100)
        cursor=$(printf '%s\n' "$reply" | sed 's/.*\],"\([^"]*\)"\]}$/\1/')
        for question in $(printf '%s\n' "$reply" | sed 's/\\"jsonrpc\\"/\n&/g' | sed -n '/permission\.request/s/.*\\"messageId\\":\\"\([^\\]*\)\\".*/\1/p'); do
                [ "$question" != "$answered" ] || continue
                echo "question $question: allow"
                conversation AnswerPermission 'ssa{sv}' "$question" allow 0
                answered=$question
        done
        case $reply in
        *'\"conversation.ended\"'*)
                echo "ended: $(printf '%s\n' "$reply" | sed 's/.*conversation\.ended.*\\"reason\\":\\"\([^\\]*\)\\".*/\1/')"
                exit 0
                ;;
        *'\"turn_end\"'*)
                [ -n "$stopping" ] || conversation Stop 'a{sv}' 1 reason s 'the example is over'
                stopping=yes
                ;;
        '{"type":"ass","data":[[],'*)
                sleep 1
                ;;
        esac
done
