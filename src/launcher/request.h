/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/scope-name.h"

/* One call of Start: what was asked, and whether it may be. No function here touches the system. */

#define LAUNCHER_ERROR(name) "org.northflare.Launcher1.Error." name
#define ERROR_INVALID_ARGUMENT LAUNCHER_ERROR("InvalidArgument")
#define ERROR_LIMIT_TOO_HIGH LAUNCHER_ERROR("LimitTooHigh")
#define ERROR_TOO_MANY LAUNCHER_ERROR("TooMany")
#define ERROR_NOT_OURS LAUNCHER_ERROR("NotOurs")
#define ERROR_NO_SUCH_UNIT LAUNCHER_ERROR("NoSuchUnit")
#define ERROR_EXISTS LAUNCHER_ERROR("Exists")
#define ERROR_ACCESS_DENIED LAUNCHER_ERROR("AccessDenied")
#define ERROR_FAILED LAUNCHER_ERROR("Failed")

#define REQUEST_EXTRA_MAX 2U
#define REQUEST_FDS_MAX (2 + REQUEST_EXTRA_MAX)

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
        uint64_t minimum, maximum;
} LimitInfo;

extern const LimitInfo limit_infos[_LIMIT_MAX];

typedef struct Limits {
        uint64_t value[_LIMIT_MAX];
        bool set[_LIMIT_MAX];
} Limits;

typedef struct Request {
        ScopeKind kind;
        const char *id, *workspace;
        uint32_t run;
        Limits limits;
        int dirfd, extra[REQUEST_EXTRA_MAX];
        unsigned n_extra;
        sd_bus_message *call; /* has all the rest */
} Request;

/* Whether the values of those that are set are in range, and those of the others 0. */
bool limits_are_valid(const Limits *l);
/* Adds one limit. Returns 0, or negative with e set: unknown, twice, or out of range. */
int limits_add(Limits *l, const char *property, uint64_t value, sd_bus_error *e);
/* Adds those of an a{st}. Returns 0 or more, or negative as above. */
int limits_read(sd_bus_message *m, Limits *l, sd_bus_error *e);
/* Holds them against the ceilings. Returns 0, or negative with e set. */
int limits_check(const Limits *l, const Limits *ceilings, sd_bus_error *e);
/* What was not asked for becomes the default. */
void limits_default(Limits *l, const Limits *defaults);
/* Appends them as a(sv) of a scope's properties, without its outermost container and without the time: systemd does not
 * enforce it, since its clock for a scope continues while it is frozen and cannot be set again. Returns 0 or more, or
 * negative errno. */
int limits_append(sd_bus_message *m, const Limits *l);

/* Reads the arguments of Start but those that arguments_read() reads; all of it stays borrowed from the message.
 * Returns 0 or more, or negative with e set. */
int request_read(sd_bus_message *m, Request *ret, sd_bus_error *e);
/* Checks what names the scope. Returns 0, or negative with e set. */
int request_check(const Request *r, sd_bus_error *e);
/* The descriptors of a request, behind the first one, which is the caller's to set. Returns how many there are. */
unsigned request_fds(const Request *r, int fds[static REQUEST_FDS_MAX]);
