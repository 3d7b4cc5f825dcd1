# SPDX-License-Identifier: MIT

function __northflarectl_ids
    set -l where
    set -l words (commandline -opc)
    contains -- --user $words; and set where --user
    for i in (seq (count $words))
        switch $words[$i]
            case -H --host -M --machine
                set -q words[(math $i + 1)]; and set where $words[$i] $words[(math $i + 1)]
            case '--host=*' '--machine=*'
                set where $words[$i]
        end
    end
    northflarectl $where --no-legend --no-pager --no-ask-password list 2>/dev/null | string replace -r ' .*' ''
end

set -l verbs status list show run attach send interrupt stop freeze thaw set-property events logs permissions answer audit top workspace drain undrain reload metrics
set -l with_id show attach send interrupt stop freeze thaw set-property events logs permissions answer audit
set -l without_json attach send interrupt stop freeze thaw set-property answer drain undrain metrics
set -l needs "not __fish_seen_subcommand_from $verbs"

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

complete -c northflarectl -n "__fish_seen_subcommand_from $with_id" -a '(__northflarectl_ids)'
complete -c northflarectl -n '__fish_seen_subcommand_from answer' -a 'allow deny'
complete -c northflarectl -n '__fish_seen_subcommand_from set-property' -a 'MemoryHigh= MemoryMax= MemorySwapMax= TasksMax= CPUQuota= CPUWeight= IOWeight='

complete -c northflarectl -s h -l help -d 'Show help'
complete -c northflarectl -l version -d 'Show the version'
complete -c northflarectl -l user -d 'Your own runner'
complete -c northflarectl -s H -l host -x -a '(__fish_print_hostnames)' -d 'The runner of another host'
complete -c northflarectl -s M -l machine -x -d 'The runner in a container'
complete -c northflarectl -n "not __fish_seen_subcommand_from $without_json" -l json -x -a 'short pretty off' -d 'Print JSON'
complete -c northflarectl -l no-pager -d 'No pager'
complete -c northflarectl -l no-legend -d 'No titles and no totals'
complete -c northflarectl -l no-ask-password -d 'Never ask for a password'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s a -l agent -x -a 'shell claude codex' -d 'The agent'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s w -l workspace -x -d 'The workspace'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s d -l directory -x -a '(__fish_complete_directories)' -d 'Where it works'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s r -l repository -x -d 'Check this out first'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s b -l branch -x -d 'Its branch'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -s m -l model -x -d 'The model'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -l task -x -d 'The task'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -l id -x -d 'The name of the conversation'
complete -c northflarectl -n '__fish_seen_subcommand_from run' -l detach -d 'Print the id and leave'
complete -c northflarectl -n '__fish_seen_subcommand_from stop' -l reason -x -d 'Why'
complete -c northflarectl -n '__fish_seen_subcommand_from stop' -l grace -x -d 'Milliseconds until processes are killed'
complete -c northflarectl -n '__fish_seen_subcommand_from answer' -l message -x -d 'What the agent is told'
complete -c northflarectl -n '__fish_seen_subcommand_from attach list' -l all -d 'From the start; ended ones too'
complete -c northflarectl -n '__fish_seen_subcommand_from events' -l cursor -x -a end -d 'From here'
complete -c northflarectl -n '__fish_seen_subcommand_from events' -l set-aside -d 'What the orchestrator refused'
complete -c northflarectl -n '__fish_seen_subcommand_from events' -l resend -d 'Send what was set aside again'
complete -c northflarectl -n '__fish_seen_subcommand_from events logs' -s f -l follow -d 'Wait for more'
complete -c northflarectl -n '__fish_seen_subcommand_from logs audit top' -s n -l lines -x -d 'The last lines; how often'
complete -c northflarectl -n '__fish_seen_subcommand_from top' -l batch -d 'Plain text, one look after the other'
complete -c northflarectl -n '__fish_seen_subcommand_from drain' -l wait -d 'Until nothing is left'
complete -c northflarectl -n '__fish_seen_subcommand_from drain' -l deadline -x -d 'Seconds after which what is left is stopped'
complete -c northflarectl -n '__fish_seen_subcommand_from top' -l delay -x -d 'Seconds between two looks'
complete -c northflarectl -n '__fish_seen_subcommand_from workspace' -a 'list show remove'
complete -c northflarectl -n '__fish_seen_subcommand_from workspace' -l force -d 'What is nowhere else, too'
complete -c northflarectl -n '__fish_seen_subcommand_from metrics' -l http -d 'Answer one request on stdin'
