/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* An id from outside (conversation, task, workspace, session, agent name): [A-Za-z0-9][A-Za-z0-9_.-]{0,63}
 * and nowhere "..". One spelling serves paths, unit names, branches and logs, so nothing is ever escaped. */
#define IDENT_MAX 64
bool ident_is_valid(const char *s);

/* A path that stays below the directory that it is relative to: names with single slashes between them, none of which is
 * "." or "..", fewer than 1,024 bytes together. "" is that directory. */
bool path_is_below(const char *path);

/* 16 hex digits of the SHA-256 of a workspace id: the name of its directory and of its slice. */
#define WORKSPACE_KEY_SIZE 17
void workspace_key(const char *workspace, char ret[static WORKSPACE_KEY_SIZE]);

/* 64 hex digits and a NUL. */
#define SHA256_HEX_SIZE 65
void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE]);

/* A UUID version 4 from the kernel's random source. */
#define UUID_SIZE 37
void uuid_make(char ret[static UUID_SIZE]);
bool uuid_is_valid(const char *s);
