/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/scope-name.h"

/* One call of Start: what was asked, and whether it may be. No function here touches the system but for fstat of the
 * descriptors. */

#define LAUNCHER_ERROR(name) "org.northflare.Launcher1.Error." name
#define ERROR_INVALID_ARGUMENT LAUNCHER_ERROR("InvalidArgument")
#define ERROR_LIMIT_TOO_HIGH LAUNCHER_ERROR("LimitTooHigh")
#define ERROR_TOO_MANY LAUNCHER_ERROR("TooMany")
#define ERROR_NOT_OURS LAUNCHER_ERROR("NotOurs")
#define ERROR_NO_SUCH_UNIT LAUNCHER_ERROR("NoSuchUnit")
#define ERROR_EXISTS LAUNCHER_ERROR("Exists")
#define ERROR_ACCESS_DENIED LAUNCHER_ERROR("AccessDenied")
#define ERROR_FAILED LAUNCHER_ERROR("Failed")

#define WEIGHT_DEFAULT UINT64_C(100)
#define REQUEST_STRINGS_MAX 128U
#define REQUEST_BYTES_MAX (128U * 1024U)
#define REQUEST_PRIVATE_MAX (1024U * 1024U)
#define REQUEST_EXTRA_MAX 2U

typedef enum LimitId {
        LIMIT_MEMORY_HIGH,
        LIMIT_MEMORY_MAX,
        LIMIT_MEMORY_SWAP_MAX,
        LIMIT_TASKS_MAX,
        LIMIT_CPU_QUOTA,
        LIMIT_CPU_WEIGHT,
        LIMIT_IO_WEIGHT,
        LIMIT_RUNTIME_MAX,
        _LIMIT_MAX,
} LimitId;

typedef struct LimitInfo {
        const char *property; /* of the scope, and of the request */
        const char *key;      /* in launcher.json */
        uint64_t scale;       /* from the key's unit to the property's */
        uint64_t minimum, maximum;
} LimitInfo;

extern const LimitInfo limit_infos[_LIMIT_MAX];

typedef struct Limits {
        uint64_t value[_LIMIT_MAX];
        bool set[_LIMIT_MAX];
} Limits;

typedef struct Request {
        ScopeKind kind;
        const char *id, *workspace, *cwd; /* borrowed */
        uint32_t run;
        char **argv, **env; /* env: NAME=value */
        Limits limits;
        int dirfd, extra[REQUEST_EXTRA_MAX]; /* borrowed */
        unsigned n_extra;
} Request;

/* Frees what request_read() has made; what is borrowed stays. */
void request_done(Request *r);

/* Whether the values of those that are set are in range, and those of the others 0. */
bool limits_are_valid(const Limits *l);
/* Adds one limit. Returns 0, or negative with e set: unknown, twice, or out of range. */
int limits_add(Limits *l, const char *property, uint64_t value, sd_bus_error *e);
/* What was not asked for becomes the default, or its ceiling (0: none) where that is lower. */
void limits_default(Limits *l, const Limits *defaults, const uint64_t ceilings[static _LIMIT_MAX]);
/* Holds them against the ceilings (0: none); a limit that was not asked for becomes its ceiling, a weight at most the
 * usual 100. Returns 0, or negative with e set. */
int limits_cap(Limits *l, const uint64_t ceilings[static _LIMIT_MAX], sd_bus_error *e);
/* Appends them as a(sv) of a scope's properties, without its outermost container and without the time: systemd does not
 * enforce it, since its clock for a scope continues while it is frozen and cannot be set again. Returns 0 or more, or
 * negative errno. */
int limits_append(sd_bus_message *m, const Limits *l);

/* Adds one variable to the list, which is for the caller to free. Returns 0, or negative with e set: a name that is none,
 * twice, one too many, or the launcher's own; -ENOMEM leaves e alone. */
int environment_add(char ***env, const char *name, const char *value, sd_bus_error *e);

/* Reads a{st} into limits, or without limits a{ss} into env. Returns 0 or more, or negative with e set. */
int pairs_read(sd_bus_message *m, Limits *limits, char ***env, sd_bus_error *e);
/* Reads the arguments of Start; they stay borrowed from the message. Returns as above. */
int request_read(sd_bus_message *m, Request *ret, sd_bus_error *e);
/* Checks everything that does not depend on other scopes. owner: the uid that must own the run's directory. Returns 0, or
 * negative with e set. */
int request_check(const Request *r, uid_t owner, sd_bus_error *e);
