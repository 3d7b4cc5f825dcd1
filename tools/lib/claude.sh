# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Claude Code from npm, into the cache, for the tests and the demo.

claude_program() {
        find "$NF_CACHE/claude-code-$1"/node_modules/@anthropic-ai/claude-code-linux-*/claude -type f -perm -1 2>/dev/null | head -n 1
}

# fetch_claude VERSION: prints the program's path; 1 where it cannot be had. By this machine's npm, or, where there is
# none, by one in a throw-away container: npm brings hundreds of packages along.
fetch_claude() {
        local version=$1 half install
        if [ -z "$(claude_program "$version")" ]; then
                say "Getting Claude Code $version from npm" >&2
                half=$NF_CACHE/claude-half-$$
                mkdir -p "$half"
                install="npm install --silent --no-audit --no-fund --prefix"
                if command -v npm >/dev/null; then
                        # shellcheck disable=SC2086
                        timeout 300 $install "$half" "@anthropic-ai/claude-code@$version" >&2 || true
                else
                        NF_NETWORK=--resolv-conf=copy-host run_in "$(make_root 13)" npm 600 --bind="$half:/out" -- \
                                /bin/sh -c "apt-get -qq update && apt-get -qq install -y --no-install-recommends npm >/dev/null &&
                                        $install /out @anthropic-ai/claude-code@$version" >&2 || true
                fi
                chmod 755 "$half"
                rm -rf "$NF_CACHE/claude-code-$version"
                mv "$half" "$NF_CACHE/claude-code-$version"
        fi
        claude_program "$version" | grep .
}
