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
complete -c northflarectl -n $needs -a status -d 'State of the runner'
complete -c northflarectl -n $needs -a list -d 'Conversations that live here'
complete -c northflarectl -n $needs -a show -d 'All there is to know'
complete -c northflarectl -n $needs -a run -d 'Start one, show its output, end it'
complete -c northflarectl -n $needs -a attach -d 'Talk to its agent'
complete -c northflarectl -n $needs -a send -d 'Send a message'
complete -c northflarectl -n $needs -a interrupt -d 'End the turn that runs'
complete -c northflarectl -n $needs -a stop -d 'End conversations'
complete -c northflarectl -n $needs -a freeze -d 'Stop all its processes'
complete -c northflarectl -n $needs -a set-property -d 'Set limits of one that runs'
complete -c northflarectl -n $needs -a thaw -d 'Let them go on'
complete -c northflarectl -n $needs -a events -d 'Events, one JSON object a line'
complete -c northflarectl -n $needs -a logs -d 'The journal'
complete -c northflarectl -n $needs -a permissions -d 'Questions that wait'
complete -c northflarectl -n $needs -a answer -d 'Answer a question'
complete -c northflarectl -n $needs -a audit -d 'Who had what done'
complete -c northflarectl -n $needs -a drain -d 'Take no new conversations'
complete -c northflarectl -n $needs -a undrain -d 'Take conversations again'
complete -c northflarectl -n $needs -a reload -d 'Read the configuration anew'
complete -c northflarectl -n $needs -a workspace -d 'What is on the disk'
complete -c northflarectl -n $needs -a top -d 'What conversations use'
complete -c northflarectl -n $needs -a metrics -d 'All figures as OpenMetrics text'

complete -c northflarectl -n '__northflarectl_verb_is show interrupt stop freeze thaw permissions' -a '(__northflarectl_ids list)'
complete -c northflarectl -n '__northflarectl_word 0 attach send set-property events logs answer audit' -a '(__northflarectl_ids list)'
complete -c northflarectl -n '__northflarectl_word 1 answer; or __northflarectl_word 2 answer' -a 'allow deny'
complete -c northflarectl -n '__northflarectl_verb_is set-property; and not __northflarectl_word 0 set-property' -a 'MemoryHigh= MemoryMax= MemorySwapMax= TasksMax= CPUQuota= CPUWeight= IOWeight='
complete -c northflarectl -n '__northflarectl_word 0 workspace' -a 'list show remove'
complete -c northflarectl -n __northflarectl_workspace_is_wanted -a '(__northflarectl_ids workspace list)'

complete -c northflarectl -s h -l help -d 'Show help'
complete -c northflarectl -l version -d 'Show the version'
complete -c northflarectl -l user -d 'Your own runner'
complete -c northflarectl -s H -l host -x -a '(__northflarectl_hosts)' -d 'The runner of another host'
complete -c northflarectl -s M -l machine -x -a '(__northflarectl_machines)' -d 'The runner in a container'
complete -c northflarectl -n "not __northflarectl_verb_is $without_json" -l json -x -a 'short pretty off' -d 'Print JSON'
complete -c northflarectl -l no-pager -d 'No pager'
complete -c northflarectl -l no-legend -d 'No titles and no totals'
complete -c northflarectl -l no-ask-password -d 'Never ask for a password'
complete -c northflarectl -n '__northflarectl_verb_is run' -s a -l agent -x -a 'shell claude codex' -d 'The agent'
complete -c northflarectl -n '__northflarectl_verb_is run' -s w -l workspace -x -a '(__northflarectl_ids workspace list)' -d 'The workspace'
complete -c northflarectl -n '__northflarectl_verb_is run' -s d -l directory -x -a '(__fish_complete_directories)' -d 'Where it works'
complete -c northflarectl -n '__northflarectl_verb_is run' -s r -l repository -x -d 'Check this out first'
complete -c northflarectl -n '__northflarectl_verb_is run' -s b -l branch -x -d 'Its branch'
complete -c northflarectl -n '__northflarectl_verb_is run' -s m -l model -x -d 'The model'
complete -c northflarectl -n '__northflarectl_verb_is run' -l task -x -d 'The task'
complete -c northflarectl -n '__northflarectl_verb_is run' -l id -x -d 'The name of the conversation'
complete -c northflarectl -n '__northflarectl_verb_is run' -l detach -d 'Print the id and leave'
complete -c northflarectl -n '__northflarectl_verb_is stop' -l reason -x -d 'Why'
complete -c northflarectl -n '__northflarectl_verb_is stop' -l grace -x -d 'Milliseconds until processes are killed'
complete -c northflarectl -n '__northflarectl_verb_is answer' -l message -x -d 'What the agent is told'
complete -c northflarectl -n '__northflarectl_verb_is attach list permissions' -l all -d 'From the start; ended ones too; whole questions'
complete -c northflarectl -n '__northflarectl_verb_is events' -l cursor -x -a end -d 'From here'
complete -c northflarectl -n '__northflarectl_verb_is events' -l set-aside -d 'What the orchestrator refused'
complete -c northflarectl -n '__northflarectl_verb_is events' -l resend -d 'Send what was set aside again'
complete -c northflarectl -n '__northflarectl_verb_is events logs' -s f -l follow -d 'Wait for more'
complete -c northflarectl -n '__northflarectl_verb_is logs audit top' -s n -l lines -x -d 'The last lines; how often'
complete -c northflarectl -n '__northflarectl_verb_is top' -l batch -d 'Plain text, one look after the other'
complete -c northflarectl -n '__northflarectl_verb_is drain' -l wait -d 'Until nothing is left'
complete -c northflarectl -n '__northflarectl_verb_is drain' -l deadline -x -d 'Seconds after which what is left is stopped'
complete -c northflarectl -n '__northflarectl_verb_is top' -l delay -x -d 'Seconds between two looks'
complete -c northflarectl -n '__northflarectl_verb_is workspace' -l force -d 'What is nowhere else, too'
complete -c northflarectl -n '__northflarectl_verb_is metrics' -l http -d 'Answer one request on stdin'
