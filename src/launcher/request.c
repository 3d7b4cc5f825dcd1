/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/ident.h"
#include "launcher/request.h"

#define BYTES_MAX (UINT64_C(1) << 60)
#define WEIGHT_MAX UINT64_C(10000)

const LimitInfo limit_infos[_LIMIT_MAX] = {
        [LIMIT_MEMORY_HIGH] = { "MemoryHigh", 1, BYTES_MAX },
        [LIMIT_MEMORY_MAX] = { "MemoryMax", 1, BYTES_MAX },
        /* The one that may be 0: no swap is less than some. */
        [LIMIT_MEMORY_SWAP_MAX] = { "MemorySwapMax", 0, BYTES_MAX },
        [LIMIT_TASKS_MAX] = { "TasksMax", 1, UINT32_MAX },
        [LIMIT_CPU_QUOTA] = { "CPUQuotaPerSecUSec", 1000, BYTES_MAX },
        [LIMIT_CPU_WEIGHT] = { "CPUWeight", 1, WEIGHT_MAX },
        [LIMIT_IO_WEIGHT] = { "IOWeight", 1, WEIGHT_MAX },
        [LIMIT_RUNTIME_MAX] = { "RuntimeMaxUSec", 1, BYTES_MAX },
};

#define invalid(e, ...) sd_bus_error_setf((e), ERROR_INVALID_ARGUMENT, __VA_ARGS__)

static bool in_range(LimitId i, uint64_t value) {
        return value >= limit_infos[i].minimum && value <= limit_infos[i].maximum;
}

bool limits_are_valid(const Limits *l) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                /* Any other byte is no bool. */
                if (*(const unsigned char *) &l->set[i] > 1 ||
                    (l->set[i] ? !in_range(i, l->value[i]) : l->value[i] != 0))
                        return false;
        return true;
}

int limits_add(Limits *l, const char *property, uint64_t value, sd_bus_error *e) {
        LimitId i = 0;

        while (i < _LIMIT_MAX && !streq(limit_infos[i].property, property))
                i++;
        if (i == _LIMIT_MAX)
                return invalid(e, "limits: unknown limit.");
        if (l->set[i])
                return invalid(e, "limits: %s is given twice.", property);
        if (!in_range(i, value))
                return invalid(e, "limits: %s is out of range.", property);
        l->set[i] = true;
        l->value[i] = value;
        return 0;
}

int limits_check(const Limits *l, const Limits *ceilings, sd_bus_error *e) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                if (ceilings->set[i] && l->set[i] && l->value[i] > ceilings->value[i])
                        return sd_bus_error_setf(
                                e,
                                ERROR_LIMIT_TOO_HIGH,
                                "limits: %s is %" PRIu64 ", above the ceiling of %" PRIu64 ".",
                                limit_infos[i].property,
                                l->value[i],
                                ceilings->value[i]);
        return 0;
}

void limits_default(Limits *l, const Limits *defaults) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                if (!l->set[i] && defaults->set[i]) {
                        l->set[i] = true;
                        l->value[i] = defaults->value[i];
                }
}

int limits_append(sd_bus_message *m, const Limits *l) {
        int r = 0;

        for (LimitId i = 0; i < _LIMIT_MAX && r >= 0; i++)
                if (l->set[i] && i != LIMIT_RUNTIME_MAX)
                        r = sd_bus_message_append(m, "(sv)", limit_infos[i].property, "t", l->value[i]);
        return r;
}

int limits_read(sd_bus_message *m, Limits *l, sd_bus_error *e) {
        const char *name;
        uint64_t value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{st}");
        while (r >= 0 && (r = sd_bus_message_read(m, "{st}", &name, &value)) > 0)
                r = limits_add(l, name, value, e);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int request_read(sd_bus_message *m, Request *ret, sd_bus_error *e) {
        const char *kind;
        int fd, r;

        if ((r = sd_bus_message_read(m, "ssus", &kind, &ret->id, &ret->run, &ret->workspace)) < 0 ||
            (r = sd_bus_message_skip(m, "asa{ss}s")) < 0 || (r = limits_read(m, &ret->limits, e)) < 0 ||
            (r = sd_bus_message_read(m, "h", &ret->dirfd)) < 0 ||
            (r = sd_bus_message_enter_container(m, 'a', "h")) < 0)
                return r;
        ret->kind = scope_kind_from_string(kind);
        ret->call = m;
        while ((r = sd_bus_message_read(m, "h", &fd)) > 0) {
                if (ret->n_extra >= REQUEST_EXTRA_MAX)
                        return invalid(e, "extra: more than %u descriptors.", REQUEST_EXTRA_MAX);
                ret->extra[ret->n_extra++] = fd;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int request_check(const Request *r, sd_bus_error *e) {
        if (r->kind < 0)
                return invalid(e, "kind: must be agent, git or hook.");
        if (!ident_is_valid(r->id))
                return invalid(e, "id: not a valid id.");
        if (r->run == 0)
                return invalid(e, "run: runs are counted from 1.");
        if (!(r->kind == SCOPE_GIT && isempty(r->workspace)) && !ident_is_valid(r->workspace))
                return invalid(e, "workspace: not a valid id.");
        return 0;
}

unsigned request_fds(const Request *r, int fds[static REQUEST_FDS_MAX]) {
        fds[1] = r->dirfd;
        memcpy(fds + 2, r->extra, r->n_extra * sizeof(int));
        return 2 + r->n_extra;
}
