/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "common/scope-name.h"

#define SLICE_PREFIX "northflare-ws_"

static const struct {
        const char *name, *prefix;
} kinds[_SCOPE_KIND_MAX] = {
        [SCOPE_AGENT] = { "agent", "northflare-conversation-" },
        [SCOPE_GIT] = { "git", "northflare-git-" },
        [SCOPE_HOOK] = { "hook", "northflare-hook-" },
};

const char *scope_kind_to_string(ScopeKind kind) {
        return kinds[kind].name;
}

ScopeKind scope_kind_from_string(const char *s) {
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++)
                if (streq(kinds[k].name, s))
                        return k;
        return _SCOPE_KIND_INVALID;
}

char *scope_name(ScopeKind kind, const char *id, uint32_t run) {
        return xasprintf("%s%s-%" PRIu32 ".scope", kinds[kind].prefix, id, run);
}

/* The number before ".scope", written as scope_name() writes it; 0 where it is none. */
static uint32_t parse_run(const char *s) {
        uint32_t run = 0;

        for (; *s >= '0' && *s <= '9'; s++)
                if ((run == 0 && *s == '0') || __builtin_mul_overflow(run, 10, &run) ||
                    __builtin_add_overflow(run, (uint32_t) (*s - '0'), &run))
                        return 0;
        return streq(s, ".scope") ? run : 0;
}

bool scope_name_parse(const char *unit, ScopeName *ret) {
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                const char *id = startswith(unit, kinds[k].prefix), *dash = id ? strrchr(id, '-') : NULL;
                ScopeName n = { .kind = k };

                if (!dash || (size_t) (dash - id) >= sizeof(n.id))
                        continue;
                memcpy(n.id, id, (size_t) (dash - id));
                n.run = parse_run(dash + 1);
                if (n.run == 0 || !ident_is_valid(n.id))
                        continue;
                if (ret)
                        *ret = n;
                return true;
        }
        return false;
}

void workspace_slice(const char *workspace, char ret[static WORKSPACE_SLICE_SIZE]) {
        char key[WORKSPACE_KEY_SIZE];

        workspace_key(workspace, key);
        (void) snprintf(ret, WORKSPACE_SLICE_SIZE, SLICE_PREFIX "%s.slice", key);
}

bool workspace_slice_is_valid(const char *name) {
        const char *key = startswith(name, SLICE_PREFIX);

        return key && strspn(key, "0123456789abcdef") == WORKSPACE_KEY_SIZE - 1 &&
                streq(key + WORKSPACE_KEY_SIZE - 1, ".slice");
}
