# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# User Mode Linux: a kernel of Debian's that is an ordinary process, with every cgroup controller but io. What containers
# on this machine cannot give (memory, cpu and pids limits that act) is tested in there.

# make_disk RELEASE: prints a file system image with the product installed, without what only builds need.
make_disk() {
        local release=$1 lower dir
        lower=$(make_product "$release") || return 1
        dir=$NF_CACHE/disk-$release-$(echo "$lower $(cat "$NF_TOP/tools/lib/uml.sh")" | short_hash)
        [ -e "$dir/complete" ] || with_lock "disk-$release" disk_locked "$release" "$lower" "$dir" >&2 || {
                tail -n 20 "$NF_CACHE/disk-$release.log" >&2
                return 1
        }
        echo "$dir/root.ext4"
}

disk_locked() {
        local release=$1 lower=$2 dir=$3 r=0
        [ ! -e "$dir/complete" ] || return 0
        say "Making a disk of Debian $release"
        find "$NF_CACHE" -maxdepth 1 -name "disk-$release-*" ! -name '*.l*' -mmin +60 -exec rm -rf {} +
        rm -rf "$dir"
        mkdir -p "$dir"
        overlay_mount "$dir" "$lower"
        (
                cd "$dir/merged"
                rm -rf usr/lib/llvm-* usr/lib/gcc usr/libexec/gcc usr/include usr/libexec/valgrind usr/bin/node usr/bin/nodejs \
                        usr/lib/x86_64-linux-gnu/lib{LLVM,clang,node}* usr/share/{man,info,locale} \
                        usr/lib/x86_64-linux-gnu/*.a usr/lib/udev/hwdb.bin
                # Slow, and of no use to a test.
                rm -f etc/systemd/system/{multi-user,sysinit,timers}.target.wants/{e2scrub*,systemd-pstore*,systemd-timesyncd*}
                local u
                for u in systemd-timesyncd systemd-hwdb-update systemd-update-utmp e2scrub_reap systemd-random-seed \
                        getty@tty1 console-getty serial-getty@ttyS0 systemd-firstboot; do
                        ln -sf /dev/null "etc/systemd/system/$u.service"
                done
                mkdir -p etc/systemd/system/default.target.wants
                cat >etc/systemd/system/nf-script.service <<'END'
[Unit]
Description=The script that this machine was booted for
After=basic.target dbus.socket systemd-user-sessions.service systemd-logind.service
Wants=dbus.socket systemd-logind.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/usr/local/libexec/nf-script
StandardInput=null
WorkingDirectory=/root
Environment=HOME=/root LANG=C.UTF-8
TimeoutStartSec=infinity
END
                ln -sf ../nf-script.service etc/systemd/system/default.target.wants/
                mkdir -p usr/local/libexec out src
                cat >usr/local/libexec/nf-script <<'END'
#!/bin/bash
# What to run, and the host's folders for it, are on the kernel's command line.
for word in $(cat /proc/cmdline); do
        case $word in nf_*=*) export "${word?}" ;; esac
done
mount -t hostfs none /out -o "$nf_out" || exit 1
mount -t hostfs none /src -o "$nf_src" || exit 1
exec >>/out/log 2>&1
export NF_RELEASE=$nf_release NF_CASE=$nf_case NF_MACHINE=uml NF_SEED=$nf_seed
r=0
"/src/$nf_script" || r=$?
timeout 30 journalctl -q --no-pager -o short-precise >/out/journal
echo "$r" >/out/status
sync
END
                chmod +x usr/local/libexec/nf-script
        ) >"$NF_CACHE/disk-$release.log" 2>&1 || r=1
        [ $r != 0 ] || mke2fs -q -F -t ext4 -O ^has_journal -d "$dir/merged" "$dir/root.ext4" 2G >>"$NF_CACHE/disk-$release.log" 2>&1 || r=1
        overlay_umount "$dir"
        rm -rf "$dir"/{upper,work,merged}
        [ $r = 0 ] || return 1
        : >"$dir/complete"
}

# make_preload: sets preload, what User Mode Linux needs on some processors (tests/limits/ptrace-xstate.c).
make_preload() {
        local source=$NF_TOP/tests/limits/ptrace-xstate.c
        preload=$NF_CACHE/ptrace-xstate-$(short_hash <"$source").so
        [ -e "$preload" ] && return 0
        gcc -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -shared -fPIC -o "$preload.$$" "$source" -ldl && mv "$preload.$$" "$preload"
}

# boot_uml DISK NAME SECONDS OUT SCRIPT RELEASE CASE: boots a copy-on-write view of DISK, runs SCRIPT (a path below the
# checkout), switches off. OUT gets `log`, `console`, `journal`. Returns the script's status; 1 where there was none.
boot_uml() {
        local disk=$1 name=$2 seconds=$3 out=$4 script=$5 release=$6 case=$7 dir r=0
        mkdir -p "$NF_CACHE/tmp" "$out"
        dir=$(mktemp -d "$NF_CACHE/tmp/uml-$$-XXXXXX")
        rm -f "$out/status"
        make_preload || return 1
        # TMPDIR holds the machine's memory; on a file system of memory it is not written to a disk.
        TMPDIR=/dev/shm LD_PRELOAD=$preload timeout -k 5 "$seconds" linux.uml "ubd0=$dir/cow,$disk" root=/dev/ubda rw mem=1G "umid=nf-$name-$$" \
                "uml_dir=$dir" con=null con0=fd:0,fd:1 con1=null ssl=null init=/lib/systemd/systemd systemd.unified_cgroup_hierarchy=1 \
                systemd.show_status=no "nf_out=$out" "nf_src=$NF_TOP" "nf_script=$script" "nf_release=$release" "nf_case=$case" "nf_seed=${NF_SEED:-}" \
                </dev/null >"$out/console" 2>&1 || true
        r=$(cat "$out/status" 2>/dev/null || echo 1)
        rm -rf "$dir"
        return "$r"
}
