/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* Host keys of ssh. libgit2 knows one known_hosts file, in the home directory, and asks the server for the one type of
 * key that it finds there first; so the lines that matter are copied to a home of our own, in an order that works, and
 * the key that the server shows is compared here, with every line of every file. */
typedef struct HostKeys HostKeys;

/* Reads the files: knownHostsFile of the request, or ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. home: a directory
 * (borrowed path) that the copy goes below. Changes $HOME: to be called before libgit2 is started. request is borrowed for the
 * life of *ret. Returns 0, or -EIO after output_fail(). */
int hostkeys_load(const Request *request, const char *home, HostKeys **ret);
HostKeys *hostkeys_free(HostKeys *k);
DEFINE_TRIVIAL_CLEANUP_FUNC(HostKeys *, hostkeys_free);

/* 0, or GIT_ECERTIFICATE after the failure was noted. */
int hostkeys_check(HostKeys *k, const git_cert_hostkey *cert);
