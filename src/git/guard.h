/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/git-url.h"

/* The last word on where this process connects to. libgit2 resolves a host itself and follows a redirect itself, so
 * a check of the address beforehand can be made wrong by the name server a moment later; this program therefore takes
 * the place of connect(2) for the libraries above it, and checks the very address that is about to be used. The C
 * library's own connections, to name servers, do not pass here. */
/* Allows connections to the port of url, at the addresses that giturl_address_is_allowed() lets pass; nothing was allowed
 * before. url is not kept. */
void guard_set(const GitUrl *url, bool allow_loopback);
/* Whether a connection was refused. */
bool guard_refused(void);
