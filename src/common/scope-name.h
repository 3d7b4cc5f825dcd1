/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/ident.h"

/* The names that the launcher gives to scopes and slices, and that others know them by. */

typedef enum ScopeKind {
        SCOPE_AGENT,
        SCOPE_GIT,
        SCOPE_HOOK,
        _SCOPE_KIND_MAX,
        _SCOPE_KIND_INVALID = -EINVAL,
} ScopeKind;

/* "agent", "git", "hook": how a kind is called in a request. _SCOPE_KIND_INVALID where none is called so. */
const char *scope_kind_to_string(ScopeKind kind);
ScopeKind scope_kind_from_string(const char *s);

typedef struct ScopeName {
        ScopeKind kind;
        char id[IDENT_MAX + 1]; /* of the conversation, or of what else it was started for */
        uint32_t run;           /* from 1 */
} ScopeName;

/* northflare-conversation-ID-RUN.scope, northflare-git-…, northflare-hook-…; for the caller to free, NULL where memory is
 * out. */
char *scope_name(ScopeKind kind, const char *id, uint32_t run);
/* The reverse: accepts what scope_name() makes of a valid id and a run from 1, and nothing else. ret may be NULL. */
bool scope_name_parse(const char *unit, ScopeName *ret);

/* The slice that all of them are in. */
#define SCOPES_SLICE "northflare.slice"

/* What every scope of ours fits, for systemd to select by. */
#define SCOPE_NAME_PATTERN "northflare-*.scope"

/* The slice of a workspace, northflare-ws_KEY.slice, where KEY is its workspace_key(). */
#define WORKSPACE_SLICE_SIZE (sizeof("northflare-ws_.slice") + WORKSPACE_KEY_SIZE - 1)
void workspace_slice(const char *workspace, char ret[static WORKSPACE_SLICE_SIZE]);
/* Whether name is that of such a slice. Being called so it is below SCOPES_SLICE. */
bool workspace_slice_is_valid(const char *name);
