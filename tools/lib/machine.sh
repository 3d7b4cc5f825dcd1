# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Machines with a kernel of their own, for what containers on this one cannot give: limits that act.
#
# User Mode Linux: a kernel of Debian's that is an ordinary process, with every cgroup controller but io, and without PSI.
# Quick; most cases run there. QEMU: Debian's kernel for virtual machines, without the help of this machine's processor (CI
# has none), so that it is slow; for what the other one lacks.

# make_disk RELEASE uml|qemu: prints a file system image with the product installed, without what only builds need.
make_disk() {
        local release=$1 machine=$2 lower kernel dir name=$2-$1
        lower=$(make_product "$release") || return 1
        if [ "$machine" = qemu ]; then
                kernel=$(make_kernel "$release") || return 1
                lower=${lower%%:*}:$kernel/upper:${lower#*:}
        fi
        dir=$NF_CACHE/disk-$name-$(echo "$lower $(cat "$NF_TOP/tools/lib/machine.sh")" | short_hash)
        # Used: not to be cleared away by a run beside this one that has another product.
        touch -c "$dir"
        [ -e "$dir/complete" ] || with_lock "disk-$name" disk_locked "$release" "$name" "$lower" "$dir" >&2 || {
                tail -n 20 "$NF_CACHE/disk-$name.log" >&2
                return 1
        }
        echo "$dir/root.ext4"
}

# make_kernel RELEASE: prints a directory whose `upper`, over the root, has a kernel and systemd-oomd; vmlinuz and initrd.img
# are links beside it.
make_kernel() {
        local release=$1 root dir
        root=$(make_root "$release")
        dir=$NF_CACHE/kernel-$release-$(echo "$root $KERNEL_PACKAGES" | short_hash)
        [ -e "$dir/complete" ] || with_lock "kernel-$release" kernel_locked "$release" "$root" "$dir" >&2 || {
                tail -n 20 "$NF_CACHE/kernel-$release.log" >&2
                return 1
        }
        echo "$dir"
}

# lacks_qemu RELEASE: prints why no machine can be had, and is true then.
lacks_qemu() {
        if [ "$(uname -m)" != x86_64 ]; then
                echo "QEMU is used for x86_64 only"
        elif ! type qemu-system-x86_64 >/dev/null 2>&1; then
                echo "there is no qemu-system-x86_64, and it could not be installed"
        elif ! make_kernel "$1" >/dev/null; then
                echo "no kernel of Debian $1 could be had"
        else
                return 1
        fi
}

KERNEL_PACKAGES='linux-image-cloud-amd64 initramfs-tools zstd systemd-oomd'

kernel_locked() {
        local release=$1 root=$2 dir=$3 r=0
        [ ! -e "$dir/complete" ] || return 0
        say "Making a kernel of Debian $release (kept in $NF_CACHE)"
        find "$NF_CACHE" -maxdepth 1 -name "kernel-$release-*" ! -name '*.l*' -mmin +1440 -exec rm -rf {} +
        rm -rf "$dir"
        overlay_mount "$dir" "$root"
        persist install_kernel "$dir/merged" >"$NF_CACHE/kernel-$release.log" 2>&1 || r=1
        overlay_umount "$dir"
        # Nothing here stops by itself where a command fails: each that must not fail says so.
        [ $r = 0 ] &&
                ln -s "$(cd "$dir" && echo upper/boot/vmlinuz-*)" "$dir/vmlinuz" &&
                ln -s "$(cd "$dir" && echo upper/boot/initrd.img-*)" "$dir/initrd.img" &&
                [ -s "$dir/vmlinuz" ] && [ -s "$dir/initrd.img" ] &&
                : >"$dir/complete"
}

install_kernel() {
        local root=$1
        # shellcheck disable=SC2086
        cp /etc/resolv.conf "$root/etc/resolv.conf" &&
                DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -o Acquire::Retries=3 -qq update &&
                DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq install \
                        --no-install-recommends -y $KERNEL_PACKAGES &&
                rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* &&
                # An administrator's to start, and each case is one.
                rm -f "$root"/etc/systemd/system/{*.wants/systemd-oomd.*,dbus-org.freedesktop.oom1.service}
}

disk_locked() {
        local release=$1 name=$2 lower=$3 dir=$4 r=0
        [ ! -e "$dir/complete" ] || return 0
        say "Making a disk of Debian $release (${name%-*})"
        find "$NF_CACHE" -maxdepth 1 -name "disk-$name-*" ! -name '*.l*' -mmin +60 -exec rm -rf {} +
        rm -rf "$dir"
        mkdir -p "$dir"
        overlay_mount "$dir" "$lower"
        (
                cd "$dir/merged"
                rm -rf usr/lib/llvm-* usr/lib/gcc usr/libexec/gcc usr/include usr/libexec/valgrind usr/bin/node usr/bin/nodejs \
                        usr/lib/x86_64-linux-gnu/lib{LLVM,clang,node}* usr/share/{man,info,locale} \
                        usr/lib/x86_64-linux-gnu/*.a usr/lib/udev/hwdb.bin boot
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
# What to run, and the host's directories for it, are on the kernel's command line.
for word in $(cat /proc/cmdline); do
        case $word in nf_*=*) export "${word?}" ;; esac
done
if [ "$nf_machine" = uml ]; then
        mount -t hostfs none /out -o "$nf_out" || exit 1
        mount -t hostfs none /src -o "$nf_src" || exit 1
        exec >>/out/log 2>&1
else
        mount -t tmpfs none /out || exit 1
        mount -t ext4 -o ro /dev/vdb /src || exit 1
        # The console has it too, for where this machine does not come to its end.
        exec > >(tee -a /out/log >/dev/ttyS0) 2>&1
fi
export NF_RELEASE=$nf_release NF_CASE=$nf_case NF_MACHINE=$nf_machine NF_SEED=$nf_seed
r=0
"/src/$nf_script" || r=$?
timeout 60 journalctl -q --no-pager -o short-precise >/out/journal
echo "$r" >/out/status
[ "$nf_machine" = uml ] || tar -cf /dev/vdc -C /out .
sync
END
                chmod +x usr/local/libexec/nf-script
        ) >"$NF_CACHE/disk-$name.log" 2>&1 || r=1
        [ $r != 0 ] || mke2fs -q -F -t ext4 -O ^has_journal -d "$dir/merged" "$dir/root.ext4" 2G >>"$NF_CACHE/disk-$name.log" 2>&1 || r=1
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
                systemd.show_status=no nf_machine=uml "nf_out=$out" "nf_src=$NF_TOP" "nf_script=$script" "nf_release=$release" "nf_case=$case" "nf_seed=${NF_SEED:-}" \
                </dev/null >"$out/console" 2>&1 || true
        r=$(cat "$out/status" 2>/dev/null || echo 1)
        rm -rf "$dir"
        return "$r"
}

# boot_qemu DISK NAME SECONDS OUT SCRIPT RELEASE CASE: the same in QEMU. There are two processors, swap there is none.
boot_qemu() {
        local disk=$1 name=$2 seconds=$3 out=$4 script=$5 release=$6 case=$7 kernel dir r=0
        mkdir -p "$NF_CACHE/tmp" "$out"
        kernel=$(make_kernel "$release") || return 1
        dir=$(mktemp -d "$NF_CACHE/tmp/qemu-$$-XXXXXX")
        rm -f "$out/status"
        mkdir "$dir/src"
        (cd "$NF_TOP" && cp -a --parents tests/lib tests/system tests/limits tools docs "$dir/src/")
        mke2fs -q -F -t ext4 -O ^has_journal -d "$dir/src" "$dir/src.ext4" 64M
        truncate -s 64M "$dir/out"
        # TMPDIR holds what is written to the disk, which is not kept.
        TMPDIR=$dir timeout -k 5 "$seconds" qemu-system-x86_64 -machine q35,accel=tcg -cpu max -smp 2 -m 1500 -nodefaults -no-reboot \
                -display none -serial stdio -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd.img" \
                -drive "file=$disk,if=virtio,format=raw,snapshot=on" \
                -drive "file=$dir/src.ext4,if=virtio,format=raw,read-only=on" \
                -drive "file=$dir/out,if=virtio,format=raw" \
                -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=no systemd.mask=serial-getty@ttyS0.service net.ifnames=0 nf_machine=qemu nf_script=$script nf_release=$release nf_case=$case nf_seed=${NF_SEED:-}" \
                </dev/null >"$out/console" 2>&1 || true
        tar -xf "$dir/out" -C "$out" 2>/dev/null || true
        r=$(cat "$out/status" 2>/dev/null || echo 1)
        rm -rf "$dir"
        return "$r"
}
