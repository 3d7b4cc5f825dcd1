# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Claude Code from npm, into the cache, for the tests and the demo.

claude_program() {
        local f
        for f in "$NF_CACHE/claude-code-$1"/node_modules/@anthropic-ai/claude-code-linux-*/claude; do
                [ -x "$f" ] || continue
                echo "$f"
                return
        done
}

# fetch_claude VERSION: prints the program's path; 1 where it cannot be had. By this machine's npm, or, where there is
# none, by one in a throw-away container: npm brings hundreds of packages along.
fetch_claude() {
        local f
        f=$(claude_program "$1")
        if [ -z "$f" ]; then
                with_lock claude fetch_claude_locked "$1" >&2 || true
                f=$(claude_program "$1")
        fi
        [ -z "$f" ] || echo "$f"
        [ -n "$f" ]
}

fetch_claude_locked() {
        local version=$1 half
        [ -z "$(claude_program "$version")" ] || return 0
        say "Getting Claude Code $version from npm"
        half=$(mktemp -d "$NF_CACHE/claude-half-XXXXXX")
        local -a install=(npm install --silent --no-audit --no-fund --prefix)
        if command -v npm >/dev/null; then
                persist timeout 300 "${install[@]}" "$half" "@anthropic-ai/claude-code@$version" || true
        else
                NF_NETWORK=--resolv-conf=copy-host persist run_in "$(make_root 13)" npm 600 --bind="$half:/out" -- \
                        /bin/sh -c "apt-get -qq update && apt-get -qq install -y --no-install-recommends npm >/dev/null &&
                                ${install[*]} /out @anthropic-ai/claude-code@$version" || true
        fi
        chmod 755 "$half"
        rm -rf "$NF_CACHE/claude-code-$version"
        mv "$half" "$NF_CACHE/claude-code-$version"
}
