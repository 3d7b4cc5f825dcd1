# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Roots by mmdebstrap, the project built inside them, and the product's image: all cached below NF_CACHE, outside the
# checkout, by a hash of what they are made from.

release_codename() {
        case $1 in
        12) echo bookworm ;;
        13) echo trixie ;;
        *) die "no Debian release '$1' here, only 12 and 13" ;;
        esac
}

# make_root RELEASE: prints the directory of a root that builds and runs everything.
make_root() {
        local release=$1 codename packages hash dir
        codename=$(release_codename "$release")
        packages=$("$NF_TOP/tools/deps" --list --root --release "$release" | paste -sd,)
        hash=$(echo "$codename $packages" | short_hash)
        dir=$NF_CACHE/root-$release-$hash
        [ -e "$dir/.complete" ] || with_lock "root-$release" make_root_locked "$release" "$codename" "$packages" "$dir" >&2 ||
                die "the root for Debian $release could not be made: see $NF_CACHE/root-$release.log"
        # Used: not to be cleared away by a checkout that has another list of packages.
        touch -c "$dir/.complete"
        echo "$dir"
}

bootstrap() {
        local codename=$1 packages=$2 dir=$3 log=$4
        rm -rf "$dir"
        mmdebstrap --quiet --variant=minbase --include="$packages" \
                --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
                --dpkgopt='path-exclude=/usr/share/locale/*' "$codename" "$dir" >"$log" 2>&1
}

make_root_locked() {
        local release=$1 codename=$2 packages=$3 dir=$4
        [ ! -e "$dir/.complete" ] || return 0
        say "Making a root of Debian $release (a minute; kept in $NF_CACHE)"
        find "$NF_CACHE" -maxdepth 1 -name "root-$release-*" ! -name '*.new' | while read -r old; do
                [ -n "$(find "$old/.complete" -mmin -1440 2>/dev/null)" ] || rm -rf "$old"
        done
        persist bootstrap "$codename" "$packages" "$dir.new" "$NF_CACHE/root-$release.log" || return 1
        : >"$dir.new/etc/hostname"
        printf '127.0.0.1 localhost\n::1 localhost\n' >"$dir.new/etc/hosts"
        : >"$dir.new/etc/machine-id"
        # Nothing of Debian's own that would only slow a boot down.
        rm -f "$dir.new"/etc/systemd/system/multi-user.target.wants/{ssh.service,e2scrub_reap.service} \
                "$dir.new"/etc/systemd/system/sshd.service "$dir.new"/etc/systemd/system/timers.target.wants/*
        ln -sf /dev/null "$dir.new/etc/systemd/system/ssh.service"
        mkdir -p "$dir.new"/{src,build,dest,out,tests}
        rm -rf "$dir.new"/var/cache/apt/archives/*.deb "$dir.new"/var/lib/apt/lists/*
        : >"$dir.new/.complete"
        mv "$dir.new" "$dir"
}

# The files that a build reads, with their contents: what is neither ignored by git nor only for tests outside a build.
source_list() {
        git -c safe.directory='*' -C "$NF_TOP" ls-files -z -co --exclude-standard -- \
                meson.build meson_options.txt LICENSE NEWS README.md src units dbus man completions catalog sysusers.d tmpfiles.d \
                docs tests/unit tests/bus tests/fuzz tests/meson.build |
                (cd "$NF_TOP" && xargs -0 -r sh -c 'for f; do [ -f "$f" ] && echo "$f"; done' sh) | LC_ALL=C sort
}

source_hash() {
        (cd "$NF_TOP" && source_list | tr '\n' '\0' | xargs -0 -r sha256sum) | short_hash
}

# build_in RELEASE VARIANT [MESON-OPTION…]: configures and compiles in the root; the build directory stays for the next
# time. Prints the build directory. The compiler's output goes to its nf-log; warnings are in nf-warnings.
build_in() {
        local release=$1 variant=$2 root build hash
        shift 2
        root=$(make_root "$release")
        # A checkout has its own: ninja judges by times, which mean nothing between two.
        build=$NF_CACHE/build-$(echo "$NF_TOP" | short_hash)/$release-$variant
        mkdir -p "$build"
        hash=$(source_hash)-$(echo "$root $*" | short_hash)
        if [ "$(cat "$build/nf-hash" 2>/dev/null)" != "$hash" ]; then
                with_lock "build-$(echo "$NF_TOP" | short_hash)" build_locked "$root" "$build" "$release" "$variant" "$hash" "$@" >&2 || {
                        tail -n 40 "$build/nf-log" >&2
                        return 1
                }
        fi
        echo "$build"
}

build_locked() {
        local root=$1 build=$2 release=$3 variant=$4 hash=$5
        shift 5
        [ "$(cat "$build/nf-hash" 2>/dev/null)" != "$hash" ] || return 0
        say "Building in Debian $release ($variant)"
        # Configured with other options, or in another root: from the start. The same where there were warnings: which of
        # them were fixed shows only when all is compiled again.
        if [ "$(cat "$build/nf-options" 2>/dev/null)" != "$root $*" ] || [ -s "$build/nf-warnings" ]; then
                find "$build" -mindepth 1 -delete
        fi
        local cc=gcc targets=''
        case $variant in clang*) cc=clang ;; esac
        case $variant in *-fuzz) targets='all fuzzers' ;; esac
        cat >"$build/nf-build" <<END
#!/bin/sh
set -e
[ -e /build/build.ninja ] || meson setup --prefix=/usr --libexecdir=libexec $* /build /src
ninja -C /build $targets
END
        chmod +x "$build/nf-build"
        : >"$build/nf-log"
        run_in "$root" "build-$release-$variant" 2700 --bind-ro="$NF_TOP:/src" --bind="$build:/build" -E CC=$cc -- \
                /build/nf-build >"$build/nf-log" 2>&1 || return 1
        grep -E 'warning:' "$build/nf-log" >>"$build/nf-warnings" || true
        echo "$root $*" >"$build/nf-options"
        echo "$hash" >"$build/nf-hash"
}

# make_product RELEASE: prints the lower directories (for an overlay) of a system with the product installed.
make_product() {
        local release=$1 root build hash dir
        root=$(make_root "$release")
        build=$(build_in "$release" gcc) || return 1
        hash=$(cat "$build/nf-hash")
        dir=$NF_CACHE/product-$release-$(echo "$hash $(cat "$NF_TOP/tools/lib/image.sh")" | short_hash)
        [ -e "$dir/complete" ] || with_lock "product-$release" product_locked "$release" "$root" "$build" "$dir" >&2 || {
                tail -n 40 "$NF_CACHE/product-$release.log" >&2
                return 1
        }
        echo "$dir/upper:$root"
}

product_locked() {
        local release=$1 root=$2 build=$3 dir=$4 r=0
        [ ! -e "$dir/complete" ] || return 0
        say "Installing into a system of Debian $release"
        # An older one may still be in use by a run beside this one: only those of an hour ago go.
        find "$NF_CACHE" -maxdepth 1 -name "product-$release-*" -mmin +60 -exec rm -rf {} +
        rm -rf "$dir"
        mkdir -p "$dir"
        overlay_mount "$dir" "$root"
        in_own_cgroup "install-$release" env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 5 900 \
                systemd-nspawn -q --register=no --keep-unit --as-pid2 --private-network --pipe -M "nf-install-$release" \
                -D "$dir/merged" --bind-ro="$NF_TOP:/src" --bind="$build:/build" \
                /bin/sh -c 'set -ex
                        DESTDIR=/dest meson install --no-rebuild -C /build
                        tar -C /dest -c . | tar -C / -x --keep-directory-symlink --no-overwrite-dir
                        find /dest ! -type d -printf "%P\n" | sort >/usr/share/northflare-installed
                        rm -rf /dest/*
                        systemd-sysusers
                        systemd-tmpfiles --create --prefix=/var --prefix=/etc
                        journalctl --update-catalog' </dev/null >"$NF_CACHE/product-$release.log" 2>&1 || r=1
        overlay_umount "$dir"
        [ $r = 0 ] || return 1
        : >"$dir/complete"
}
