# SPDX-License-Identifier: MIT

# What stands before the cursor and is no option: the verb, and what it is for.
function __northflarectl_given
    set -l words (commandline -opc)
    set -l value 0
    for word in $words[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case -H --host -M --machine --json -a --agent -w --workspace -d --directory -r --repository -b --branch -m --model --task --id --reason --grace --message --cursor -n --lines --delay --deadline
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
function __northflarectl_verb_is
    set -l given (__northflarectl_given)
    contains -- "$given[1]" $argv
end

# Behind one of these verbs, and so many words after it are there: COUNT VERB...
function __northflarectl_word
    set -l given (__northflarectl_given)
    test (count $given) = (math $argv[1] + 1); and contains -- $given[1] $argv[2..-1]
end

function __northflarectl_workspace_is_wanted
    set -l given (__northflarectl_given)
    test "$given[1]" = workspace; and contains -- "$given[2]" show remove
end

# The first column of what a list shows, of the runner that the line names; nothing but ids.
function __northflarectl_ids
    set -l where
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case -H --host -M --machine
                set -q words[(math $i + 1)]; and set -a where $words[$i] $words[(math $i + 1)]
            case '--host=*' '--machine=*' --user
                set -a where $words[$i]
        end
    end
    northflarectl $where --no-legend --no-pager --no-ask-password $argv 2>/dev/null | string match -r '^[A-Za-z0-9][A-Za-z0-9_.-]*(?= |$)'
end

function __northflarectl_hosts
    set -l user (commandline -ct | string replace -r '^--host=' '' | string match -r '.*@')
    printf "$user%s\n" (__fish_print_hostnames)
end

function __northflarectl_machines
    command -q machinectl; and machinectl list --no-legend --no-pager 2>/dev/null | string replace -r ' .*' ''
end

set -l without_json attach send interrupt stop freeze thaw set-property answer drain undrain metrics
set -l needs "__northflarectl_verb_is ''"

complete -c northflarectl -f
complete -c northflarectl -n $needs -a status -d 'Show the state of the runner'
complete -c northflarectl -n $needs -a list -d 'List conversations'
complete -c northflarectl -n $needs -a show -d 'Show all properties of conversations'
complete -c northflarectl -n $needs -a run -d 'Run scripts, show their output'
complete -c northflarectl -n $needs -a attach -d 'Talk to an agent'
complete -c northflarectl -n $needs -a send -d 'Send a message'
complete -c northflarectl -n $needs -a interrupt -d 'Interrupt the current turn'
complete -c northflarectl -n $needs -a stop -d 'Stop conversations'
complete -c northflarectl -n $needs -a freeze -d 'Suspend all processes of conversations'
complete -c northflarectl -n $needs -a set-property -d 'Set limits of a running conversation'
complete -c northflarectl -n $needs -a thaw -d 'Resume frozen conversations'
complete -c northflarectl -n $needs -a events -d 'Show events, one JSON object per line'
complete -c northflarectl -n $needs -a logs -d 'Show the journal'
complete -c northflarectl -n $needs -a permissions -d 'List questions that wait for an answer'
complete -c northflarectl -n $needs -a answer -d 'Answer a question'
complete -c northflarectl -n $needs -a audit -d 'Show who called what, and who was refused'
complete -c northflarectl -n $needs -a drain -d 'Accept no new conversations'
complete -c northflarectl -n $needs -a undrain -d 'Accept conversations again'
complete -c northflarectl -n $needs -a reload -d 'Reload the configuration'
complete -c northflarectl -n $needs -a workspace -d 'Manage workspaces on the disk'
complete -c northflarectl -n $needs -a top -d 'Show resource usage continuously'
complete -c northflarectl -n $needs -a metrics -d 'Print all statistics as OpenMetrics text'

complete -c northflarectl -n '__northflarectl_verb_is show interrupt stop freeze thaw permissions' -a '(__northflarectl_ids list)'
complete -c northflarectl -n '__northflarectl_word 0 attach send set-property events logs answer audit' -a '(__northflarectl_ids list)'
complete -c northflarectl -n '__northflarectl_word 1 answer; or __northflarectl_word 2 answer' -a 'allow deny'
complete -c northflarectl -n '__northflarectl_verb_is set-property; and not __northflarectl_word 0 set-property' -a 'MemoryHigh= MemoryMax= MemorySwapMax= TasksMax= CPUQuota= CPUWeight= IOWeight='
complete -c northflarectl -n '__northflarectl_word 0 workspace' -a 'list show remove'
complete -c northflarectl -n __northflarectl_workspace_is_wanted -a '(__northflarectl_ids workspace list)'

complete -c northflarectl -s h -l help -d 'Show help'
complete -c northflarectl -l version -d 'Show the version'
complete -c northflarectl -l user -d 'Connect to your own runner'
complete -c northflarectl -s H -l host -x -a '(__northflarectl_hosts)' -d 'Connect to the runner of another host'
complete -c northflarectl -s M -l machine -x -a '(__northflarectl_machines)' -d 'Connect to the runner in a container'
complete -c northflarectl -n "not __northflarectl_verb_is $without_json" -l json -x -a 'short pretty off' -d 'Print JSON'
complete -c northflarectl -l no-pager -d 'Do not use a pager'
complete -c northflarectl -l no-legend -d 'Print no titles and no totals'
complete -c northflarectl -l no-ask-password -d 'Never ask for a password'
complete -c northflarectl -n '__northflarectl_verb_is run' -s a -l agent -x -a 'shell claude codex' -d 'The agent'
complete -c northflarectl -n '__northflarectl_verb_is run' -s w -l workspace -x -a '(__northflarectl_ids workspace list)' -d 'The workspace'
complete -c northflarectl -n '__northflarectl_verb_is run' -s d -l directory -x -a '(__fish_complete_directories)' -d 'Working directory of the agent'
complete -c northflarectl -n '__northflarectl_verb_is run' -s r -l repository -x -d 'Repository to check out first'
complete -c northflarectl -n '__northflarectl_verb_is run' -s b -l branch -x -d 'Branch of the repository'
complete -c northflarectl -n '__northflarectl_verb_is run' -s m -l model -x -d 'The model'
complete -c northflarectl -n '__northflarectl_verb_is run' -l task -x -d 'The task'
complete -c northflarectl -n '__northflarectl_verb_is run' -l id -x -d 'Id of the conversation'
complete -c northflarectl -n '__northflarectl_verb_is run' -l detach -d 'Print the id and exit'
complete -c northflarectl -n '__northflarectl_verb_is stop' -l reason -x -d 'Reason to report'
complete -c northflarectl -n '__northflarectl_verb_is stop' -l grace -x -d 'Milliseconds until processes are killed'
complete -c northflarectl -n '__northflarectl_verb_is answer' -l message -x -d 'Message to the agent'
complete -c northflarectl -n '__northflarectl_verb_is attach list permissions' -l all -d 'From the start; ended ones too; whole questions'
complete -c northflarectl -n '__northflarectl_verb_is events' -l cursor -x -a end -d 'Start at this event'
complete -c northflarectl -n '__northflarectl_verb_is events' -l set-aside -d 'List events that the orchestrator refused'
complete -c northflarectl -n '__northflarectl_verb_is events' -l resend -d 'Send what was set aside again'
complete -c northflarectl -n '__northflarectl_verb_is events logs' -s f -l follow -d 'Wait for more'
complete -c northflarectl -n '__northflarectl_verb_is logs audit top' -s n -l lines -x -d 'The last lines; how often'
complete -c northflarectl -n '__northflarectl_verb_is top' -l batch -d 'Print plain text, one update after the other'
complete -c northflarectl -n '__northflarectl_verb_is drain' -l wait -d 'Wait until all conversations have ended'
complete -c northflarectl -n '__northflarectl_verb_is drain' -l deadline -x -d 'Seconds after which remaining conversations are stopped'
complete -c northflarectl -n '__northflarectl_verb_is top' -l delay -x -d 'Seconds between two updates'
complete -c northflarectl -n '__northflarectl_verb_is workspace' -l force -d 'Discard unpushed work, too'
complete -c northflarectl -n '__northflarectl_verb_is metrics' -l http -d 'Answer one request on stdin'
