# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Work of tools/check, several pieces at a time. Most cases wait for systemd most of the time, so those that compute fit
# beside them. A job prints and counts into files of its own, which are shown when it is over; what it cost is kept for a
# table at the end.

# Jobs at a time, and of these at most so many that keep processors busy. More than this take as long, and make a machine
# busier than one that is to be relied on.
JOBS_MAX=${NF_JOBS:-$(($(nproc) + 1))}
JOBS_BUSY_MAX=$(((JOBS_MAX + 1) / 2))

jobs_dir='' jobs_n=0 jobs_busy=0
jobs_queue_busy=() jobs_queue_waits=()
declare -A jobs_running=() jobs_kind=()

# jobs_begin DIR: where files of jobs go.
jobs_begin() {
        jobs_dir=$1
        mkdir -p "$jobs_dir"
        : >"$jobs_dir/times"
}

# timed GROUP COMMAND…: a row of the table, with the processor time of all that this shell waited for meanwhile.
timed() {
        local group=$1 begun=$EPOCHREALTIME file=$jobs_dir/times.$BASHPID r=0
        shift
        times >"$file.begin"
        "$@" || r=$?
        times >"$file.end"
        awk -v g="$group" -v wall="$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" '
                function seconds(t,   p) { split(t, p, /[ms]/); return 60 * p[1] + p[2] }
                FNR == 2 { cpu = seconds($1) + seconds($2) - cpu }
                END { printf "%s\t%.1f\t%.1f\n", g, wall, cpu }' "$file.begin" "$file.end" >>"$jobs_dir/times"
        rm -f "$file".{begin,end}
        return $r
}

# job busy|waits GROUP COMMAND…: for jobs_run. COMMAND is a function that counts with add and report; busy is one that
# keeps a processor busy nearly all of its time.
job() {
        local kind=$1 command
        shift
        printf -v command '%q ' "$@"
        case $kind in
        busy) jobs_queue_busy+=("$command") ;;
        *) jobs_queue_waits+=("$command") ;;
        esac
}

job_start() {
        local kind=$1 n command=$2
        jobs_n=$((jobs_n + 1))
        n=$jobs_n
        : >"$jobs_dir/$n.results"
        (
                results=$jobs_dir/$n.results
                eval "timed $command" || true
        ) >"$jobs_dir/$n.said" 2>&1 </dev/null &
        jobs_running[$!]=$n
        jobs_kind[$!]=$kind
        [ "$kind" != busy ] || jobs_busy=$((jobs_busy + 1))
}

# Waits for one job, and shows what it said.
job_reap() {
        local pid='' n
        wait -n -p pid "${!jobs_running[@]}" || true
        n=${jobs_running[$pid]}
        [ "${jobs_kind[$pid]}" != busy ] || jobs_busy=$((jobs_busy - 1))
        unset "jobs_running[$pid]" "jobs_kind[$pid]"
        cat "$jobs_dir/$n.said" >&2
        cat "$jobs_dir/$n.results" >>"$results"
}

# Runs all jobs, in the order in which they came, as far as there is room.
jobs_run() {
        while [ $((${#jobs_queue_busy[@]} + ${#jobs_queue_waits[@]} + ${#jobs_running[@]})) -gt 0 ]; do
                if [ ${#jobs_running[@]} -lt "$JOBS_MAX" ]; then
                        if [ ${#jobs_queue_busy[@]} -gt 0 ] && [ $jobs_busy -lt $JOBS_BUSY_MAX ]; then
                                job_start busy "${jobs_queue_busy[0]}"
                                jobs_queue_busy=("${jobs_queue_busy[@]:1}")
                                continue
                        fi
                        if [ ${#jobs_queue_waits[@]} -gt 0 ]; then
                                job_start waits "${jobs_queue_waits[0]}"
                                jobs_queue_waits=("${jobs_queue_waits[@]:1}")
                                continue
                        fi
                fi
                job_reap
        done
}

# Where the time went, by group, the longest first.
jobs_table() {
        echo ' seconds processor longest   jobs   of what (jobs run beside one another)'
        awk -F'\t' '
                { n[$1]++; wall[$1] += $2; cpu[$1] += $3; if ($2 > most[$1]) most[$1] = $2; w += $2; c += $3 }
                END {
                        for (g in n)
                                printf "%8.0f %9.0f %7.0f %6d   %s\n", wall[g], cpu[g], most[g], n[g], g | "sort -rn"
                        close("sort -rn")
                        printf "%8.0f %9.0f %7s %6d   %s\n", w, c, "", NR, "all"
                }' "$jobs_dir/times"
}
