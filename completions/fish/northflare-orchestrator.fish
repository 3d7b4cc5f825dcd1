# SPDX-License-Identifier: MIT

# What stands before the cursor and is no option: the verb, and what it is for.
function __northflare_orchestrator_given
    set -l words (commandline -opc)
    set -l value 0
    for word in $words[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case --json --wait --follow --all --force --notification --help --version '--*=*'
            case '--*'
                set value 1
            case - # a text that comes from stdin
                printf '%s\n' $word
            case '-*'
            case '*'
                printf '%s\n' $word
        end
    end
end

# The verb is one of these; '' while there is none.
function __northflare_orchestrator_verb_is
    set -l given (__northflare_orchestrator_given)
    if contains -- "$given[1]" serve raw
        contains -- $given[1] $argv
    else
        contains -- "$given[1..2]" $argv
    end
end

# The same, and so many words are there: COUNT VERB...
function __northflare_orchestrator_word
    test (count (__northflare_orchestrator_given)) = $argv[1]; and __northflare_orchestrator_verb_is $argv[2..-1]
end

# The first column of what a list shows; nothing but ids.
function __northflare_orchestrator_ids
    set -l where
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case --socket
                set -q words[(math $i + 1)]; and set where $words[$i] $words[(math $i + 1)]
            case '--socket=*'
                set where $words[$i]
        end
    end
    northflare-orchestrator $where $argv 2>/dev/null | tail -n +2 | string match -r '^[A-Za-z0-9][A-Za-z0-9_.-]*(?= |$)'
end

complete -c northflare-orchestrator -f
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is ''" -a serve -d 'Run the orchestrator'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is ''" -a token -d 'Tokens of runners'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is ''" -a runners -d 'List the runners'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is ''" -a conversation -d 'Conversations with agents'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is ''" -a raw -d 'Send any message of the protocol'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is token" -a create -d 'Create a token for runners and print it'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is token" -a list -d 'List the tokens'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is token" -a revoke -d 'Revoke a token'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is runners" -a activate -d 'Give new work to this runner'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is runners" -a forget -d 'Remove a runner that will not come back'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is runners" -a events -d 'Show the events of a runner'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a start -d 'Start a conversation and print its id'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a send -d 'Send a message to the agent'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a answer -d 'Answer a permission question'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a interrupt -d 'Interrupt the turn of the agent'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a stop -d 'Stop a conversation'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a resume -d 'Resume one that has ended'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a config -d 'Change model, mode or limits'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a freeze -d 'Suspend its processes'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a thaw -d 'Resume suspended processes'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a takeover -d 'Assign it to the active runner'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a list -d 'List the conversations'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a show -d 'Show a conversation and its open questions'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is conversation" -a events -d 'Show its events'

complete -c northflare-orchestrator -n "__northflare_orchestrator_word 2 'token revoke'" -a '(__northflare_orchestrator_ids token list)'
complete -c northflare-orchestrator -n "__northflare_orchestrator_word 2 'runners activate' 'runners forget' 'runners events'" -a '(__northflare_orchestrator_ids runners)'
complete -c northflare-orchestrator -n "__northflare_orchestrator_word 2 'conversation show' 'conversation events' 'conversation resume'" -a '(__northflare_orchestrator_ids conversation list --all)'
complete -c northflare-orchestrator -n "__northflare_orchestrator_word 2 'conversation send' 'conversation answer' 'conversation interrupt' 'conversation stop' 'conversation config' 'conversation freeze' 'conversation thaw' 'conversation takeover'" -a '(__northflare_orchestrator_ids conversation list)'
complete -c northflare-orchestrator -n "__northflare_orchestrator_word 3 'conversation answer'" -a 'allow deny'

complete -c northflare-orchestrator -s h -l help -d 'Show help'
complete -c northflare-orchestrator -l version -d 'Show the version'
complete -c northflare-orchestrator -n "not __northflare_orchestrator_verb_is serve" -l socket -r -F -d 'Administration socket of the orchestrator'
complete -c northflare-orchestrator -n "not __northflare_orchestrator_verb_is serve" -s j -l json -d 'Print JSON'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l listen -x -d 'Loopback address and port for runners'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l admin-socket -r -F -d 'Unix socket to serve administration on'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l data-dir -x -a '(__fish_complete_directories)' -d 'Where the state is kept'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l max-body -x -d 'Largest request of a runner, in MiB'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l dead-after -x -d 'Seconds of silence after which a runner is dead'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l keep-days -x -d 'How long ended conversations are kept'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l heartbeat -x -d 'Seconds between heartbeats of runners'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is serve" -l log-level -x -a 'debug info notice warning err' -d 'What is logged'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'token create'" -l name -x -d 'Name of the token'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l id -x -d 'Id of the conversation'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l agent -x -a 'shell claude codex' -d 'Agent'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l workspace -x -d 'Workspace'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l task -x -d 'Task'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l repository -x -d 'Git repository to check out'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l branch -x -d 'Branch to work on'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l base-branch -x -d 'Branch to start from'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start'" -l commit -x -d 'Commit to start from'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation resume'" -l prompt -x -d 'First message'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation config'" -l model -x -d 'Model'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation config'" -l permission-mode -x -d 'Permission mode'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' raw" -l token -x -a '(__northflare_orchestrator_ids token list)' -d 'Work for the runners of this token'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is raw" -l runner -x -a '(__northflare_orchestrator_ids runners)' -d 'Send it to this runner'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is raw" -l conversation -x -a '(__northflare_orchestrator_ids conversation list)' -d 'Send it to the owner of this conversation'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is raw" -l notification -d 'Do not request an answer'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation answer'" -l request -x -d 'The question'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation answer'" -l message -x -d 'Message to the agent'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation stop'" -l reason -x -d 'Reason to report'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation stop'" -l grace-ms -x -d 'Milliseconds until processes are killed'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation send' 'conversation answer' 'conversation interrupt' 'conversation stop' 'conversation resume' 'conversation config' 'conversation freeze' 'conversation thaw'" -l param -x -d 'Object of further params, JSON'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation send' 'conversation answer' 'conversation interrupt' 'conversation stop' 'conversation resume' 'conversation config' 'conversation freeze' 'conversation thaw' 'conversation takeover' raw" -s w -l wait -d 'Wait for the answer of the runner'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation start' 'conversation send' 'conversation answer' 'conversation interrupt' 'conversation stop' 'conversation resume' 'conversation config' 'conversation freeze' 'conversation thaw' 'conversation takeover' raw" -l timeout -x -d 'Seconds to wait'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'runners events' 'conversation events'" -s f -l follow -d 'Wait for new events'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'runners events' 'conversation events'" -l since -x -d 'Start after the event with this number'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation list'" -s a -l all -d 'List those that have ended, too'
complete -c northflare-orchestrator -n "__northflare_orchestrator_verb_is 'conversation takeover'" -l force -d 'Even if its runner is connected'
