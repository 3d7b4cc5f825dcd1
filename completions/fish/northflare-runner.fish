# SPDX-License-Identifier: MIT

set -l commands start config
set -l needs "not __fish_seen_subcommand_from $commands"

complete -c northflare-runner -f
complete -c northflare-runner -n $needs -a start -d 'Run until stopped'
complete -c northflare-runner -n $needs -a config -d 'Every setting, its value and where it is from'
complete -c northflare-runner -s c -l config -r -F -d 'Configuration'
complete -c northflare-runner -l retry-strategy -x -a 'none interval exponential' -d 'First registration'
complete -c northflare-runner -l retry-interval-secs -x -d 'Seconds between attempts'
complete -c northflare-runner -l retry-duration-secs -x -d 'Seconds in all'
complete -c northflare-runner -l data-dir -x -a '(__fish_complete_directories)' -d 'Where state is kept'
complete -c northflare-runner -l heartbeat-interval -x -d 'Milliseconds between heartbeats'
complete -c northflare-runner -l workspace-dir -x -a '(__fish_complete_directories)' -d 'Where agents work'
complete -c northflare-runner -l user -d 'Run for the calling user'
complete -c northflare-runner -l json -d 'config: print JSON'
complete -c northflare-runner -l debug -d 'Log messages for debugging'
complete -c northflare-runner -s V -l version -d 'Show the version'
complete -c northflare-runner -s h -l help -d 'Show the help text'
