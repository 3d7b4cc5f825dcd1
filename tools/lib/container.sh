# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Containers on overlays. Every one gets a cgroup of its own: two that share one see, and kill, each other's scopes.

# The cgroup2 hierarchy and our place in it, where this machine's PID 1 is not systemd.
cgroup2_mount() {
        local m
        for m in /sys/fs/cgroup/unified /sys/fs/cgroup; do
                if [ "$(stat -f -c %T "$m" 2>/dev/null)" = cgroup2fs ]; then
                        echo "$m"
                        return 0
                fi
        done
        die "no cgroup2 hierarchy at /sys/fs/cgroup or /sys/fs/cgroup/unified; the containers need one"
}

own_cgroup() {
        sed -n 's/^0:://p' /proc/self/cgroup
}

nf_cgroups=0

# in_own_cgroup NAME COMMAND…
in_own_cgroup() {
        local name=$1 mount home group r=0
        shift
        # Each has a name of its own, also where a machine boots again: the one before may not be gone for good yet.
        nf_cgroups=$((nf_cgroups + 1))
        name=$name-$$-$nf_cgroups
        if [ -d /run/systemd/system ]; then
                systemd-run -q --wait --pipe --collect -p Delegate=yes --unit="nf-$name" "$@" || r=$?
                return $r
        fi
        mount=$(cgroup2_mount)
        home=$(own_cgroup)
        group=$mount${home%/}/nf-$name
        mkdir "$group"
        (
                echo "$BASHPID" >"$group/cgroup.procs"
                exec "$@"
        ) || r=$?
        # What a container left behind must not outlive it.
        [ ! -e "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill" || true
        local i
        for i in $(seq 50); do
                find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
                [ "$i" -lt 50 ] || echo "cgroup $group could not be removed" >&2
                read -rt 0.1 <> <(:) || true
        done
        return $r
}

# overlay_mount DIR LOWER: DIR/merged over LOWER (several by ':', uppermost first).
overlay_mount() {
        local dir=$1 lower=$2
        mkdir -p "$dir"/{upper,work,merged}
        mount -t overlay nf-overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" "$dir/merged" ||
                die "no overlay on $dir: the file system below NF_CACHE=$NF_CACHE must be able to hold an overlay's upper directory"
}

overlay_umount() {
        local dir=$1
        umount "$dir/merged" 2>/dev/null || umount -l "$dir/merged" 2>/dev/null || true
}

# run_in LOWER NAME SECONDS NSPAWN-ARGUMENT… -- COMMAND…: a command in a throw-away overlay, no boot.
run_in() {
        local lower=$1 name=$2 seconds=$3 dir r=0
        shift 3
        mkdir -p "$NF_CACHE/tmp"
        dir=$(mktemp -d "$NF_CACHE/tmp/run-$$-XXXXXX")
        overlay_mount "$dir" "$lower"
        # A root that was never booted has none, and libsystemd leaves the bus where a program asks for it (GetMachineId).
        [ -s "$dir/merged/etc/machine-id" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/merged/etc/machine-id"
        local -a args=()
        while [ "$1" != -- ]; do
                args+=("$1")
                shift
        done
        shift
        in_own_cgroup "$name" env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --foreground -k 5 "$seconds" \
                systemd-nspawn -q --register=no --keep-unit --as-pid2 "${NF_NETWORK:---private-network}" --pipe \
                -M "nf-${name//[^a-zA-Z0-9-]/-}" -D "$dir/merged" "${args[@]}" "$@" </dev/null || r=$?
        overlay_umount "$dir"
        rm -rf "$dir"
        return $r
}

# boot LOWER NAME SECONDS OUT SCRIPT NSPAWN-ARGUMENT…: boots an overlay, runs SCRIPT (a path inside) as a oneshot unit,
# switches off. OUT gets `log` (the script's output), `console`, `journal`. Returns the script's status.
boot() {
        local lower=$1 name=$2 seconds=$3 out=$4 script=$5 dir r=0
        shift 5
        mkdir -p "$NF_CACHE/tmp" "$out"
        dir=$(mktemp -d "$NF_CACHE/tmp/boot-$$-XXXXXX")
        # In use: a run of hours continues with the product that it began with (see product_locked).
        touch -c "$(dirname "${lower%%:*}")"
        overlay_mount "$dir" "$lower"
        mkdir -p "$dir/merged/etc/systemd/system/default.target.wants"
        cat >"$dir/merged/etc/systemd/system/nf-script.service" <<END
[Unit]
Description=The script that this container was booted for
After=basic.target dbus.socket systemd-user-sessions.service systemd-logind.service
Wants=dbus.socket systemd-logind.service
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=$script
ExecStopPost=-/bin/sh -c 'journalctl -q --no-pager -o short-precise >/out/journal 2>&1'
StandardInput=null
StandardOutput=append:/out/log
StandardError=append:/out/log
WorkingDirectory=/root
Environment=HOME=/root LANG=C.UTF-8
PassEnvironment=NF_RELEASE NF_CASE
TimeoutStartSec=$((seconds - 10))
TimeoutStopSec=10
END
        ln -sf ../nf-script.service "$dir/merged/etc/systemd/system/default.target.wants/"
        : >"$out/console"
        while :; do
                r=0
                in_own_cgroup "$name" env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --foreground -k 5 "$seconds" \
                        systemd-nspawn -q --register=no --keep-unit --boot "${NF_NETWORK:---private-network}" \
                        -M "nf-${name//[^a-zA-Z0-9-]/-}" --bind="$out:/out" -D "$dir/merged" "$@" \
                        systemd.show_status=no </dev/null >>"$out/console" 2>&1 || r=$?
                # What nspawn says where the container wants to boot again, and its caller is to do that.
                [ "$r" = 133 ] || break
        done
        overlay_umount "$dir"
        rm -rf "$dir"
        return $r
}
