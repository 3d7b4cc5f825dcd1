/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/git-bounds.h"
#include "common/git-url.h"
#include "common/json.h"

/* The one line on stdin, checked. Strings are borrowed from json and NULL where they are missing. */
typedef enum RequestVerb {
        VERB_FETCH,
        VERB_CHECKOUT,
        VERB_STATUS,
        VERB_MEASURE,
        VERB_REMOVE,
} RequestVerb;

typedef struct Request {
        Json *json;
        RequestVerb verb;
        const char *url, *branch, *base_branch, *commit, *cache, *directory;
        const char *ca_file, *known_hosts_file, *username, *credential;
        const char *key; /* of a workspace: the name of its directory */
        bool allow_loopback, force;
        GitUrl parsed; /* of url */
        uint64_t bounds[_GIT_BOUND_MAX];
} Request;

/* Reads and checks it. verb: what the command line says, or NULL. *ret is for request_done(). Returns 0, or -EIO after
 * output_fail(). */
int request_read(int fd, const char *verb, Request *ret);
void request_done(Request *r);
