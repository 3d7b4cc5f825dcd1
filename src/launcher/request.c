/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/ident.h"
#include "launcher/request.h"

#define BYTES_MAX (UINT64_C(1) << 60)
#define WEIGHT_MAX UINT64_C(10000)

const LimitInfo limit_infos[_LIMIT_MAX] = {
        [LIMIT_MEMORY_HIGH] = { "MemoryHigh", "memoryHigh", 1, 1, BYTES_MAX },
        [LIMIT_MEMORY_MAX] = { "MemoryMax", "memoryMax", 1, 1, BYTES_MAX },
        /* The one that may be 0: no swap is less than some. */
        [LIMIT_MEMORY_SWAP_MAX] = { "MemorySwapMax", "memorySwapMax", 1, 0, BYTES_MAX },
        [LIMIT_TASKS_MAX] = { "TasksMax", "tasksMax", 1, 1, UINT32_MAX },
        [LIMIT_CPU_QUOTA] = { "CPUQuotaPerSecUSec", "cpuQuotaPercent", USEC_PER_SEC / 100, 1000, BYTES_MAX },
        [LIMIT_CPU_WEIGHT] = { "CPUWeight", "cpuWeight", 1, 1, WEIGHT_MAX },
        [LIMIT_IO_WEIGHT] = { "IOWeight", "ioWeight", 1, 1, WEIGHT_MAX },
        [LIMIT_RUNTIME_MAX] = { "RuntimeMaxUSec", "runtimeMaxSec", USEC_PER_SEC, 1, BYTES_MAX },
};

#define invalid(e, ...) sd_bus_error_setf((e), ERROR_INVALID_ARGUMENT, __VA_ARGS__)

void request_done(Request *r) {
        r->argv = strv_free(r->argv);
        r->env = strv_free(r->env);
}

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

void limits_default(Limits *l, const Limits *defaults, const uint64_t ceilings[static _LIMIT_MAX]) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                if (!l->set[i] && defaults->set[i]) {
                        l->set[i] = true;
                        l->value[i] = MIN(defaults->value[i], ceilings[i] > 0 ? ceilings[i] : UINT64_MAX);
                }
}

int limits_cap(Limits *l, const uint64_t ceilings[static _LIMIT_MAX], sd_bus_error *e) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                if (ceilings[i] > 0 && l->set[i] && l->value[i] > ceilings[i])
                        return sd_bus_error_setf(
                                e,
                                ERROR_LIMIT_TOO_HIGH,
                                "limits: %s is %" PRIu64 ", above the ceiling of %" PRIu64 ".",
                                limit_infos[i].property,
                                l->value[i],
                                ceilings[i]);
                if (ceilings[i] == 0 || l->set[i])
                        continue;
                l->set[i] = true;
                l->value[i] = MIN(
                        ceilings[i], limit_infos[i].maximum == WEIGHT_MAX ? WEIGHT_DEFAULT : UINT64_MAX);
        }
        return 0;
}

int limits_append(sd_bus_message *m, const Limits *l) {
        int r = 0;

        for (LimitId i = 0; i < _LIMIT_MAX && r >= 0; i++)
                if (l->set[i] && i != LIMIT_RUNTIME_MAX)
                        r = sd_bus_message_append(m, "(sv)", limit_infos[i].property, "t", l->value[i]);
        return r;
}

int environment_add(char ***env, const char *name, const char *value, sd_bus_error *e) {
        /* Set here for every program, or of use only to take it over before it begins. */
        static const char *const own[] = {
                "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "NORTHFLARE_FDS", NULL,
        };
        static const char characters[] = "0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        if (strv_length(*env) >= REQUEST_STRINGS_MAX)
                return invalid(e, "env: more than %u strings.", REQUEST_STRINGS_MAX);
        if (!*name || name[strspn(name, characters)] || strspn(name, "0123456789") > 0)
                return invalid(e, "env: invalid name of a variable.");
        if (startswith(name, "LD_") || strv_contains((char *const *) own, name))
                return invalid(e, "env: %.64s must not be set by the caller.", name);
        if (strv_env_get(*env, name))
                return invalid(e, "env: %.64s is given twice.", name);
        return strv_consume(env, xasprintf("%s=%s", name, value));
}

int pairs_read(sd_bus_message *m, Limits *limits, char ***env, sd_bus_error *e) {
        const char *name, *text;
        uint64_t value;
        int r;

        assert(limits || env);
        r = sd_bus_message_enter_container(m, 'a', limits ? "{st}" : "{ss}");
        while (r >= 0 &&
               (r = limits ? sd_bus_message_read(m, "{st}", &name, &value) :
                             sd_bus_message_read(m, "{ss}", &name, &text)) > 0)
                r = limits ? limits_add(limits, name, value, e) : environment_add(env, name, text, e);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int request_read(sd_bus_message *m, Request *ret, sd_bus_error *e) {
        const char *kind;
        int fd, r;

        if ((r = sd_bus_message_read(m, "ssus", &kind, &ret->id, &ret->run, &ret->workspace)) < 0 ||
            (r = sd_bus_message_read_strv(m, &ret->argv)) < 0 ||
            (r = pairs_read(m, NULL, &ret->env, e)) < 0 ||
            (r = sd_bus_message_read(m, "s", &ret->cwd)) < 0 ||
            (r = pairs_read(m, &ret->limits, NULL, e)) < 0 ||
            (r = sd_bus_message_read(m, "h", &ret->dirfd)) < 0 ||
            (r = sd_bus_message_enter_container(m, 'a', "h")) < 0)
                return r;
        ret->kind = scope_kind_from_string(kind);
        while ((r = sd_bus_message_read(m, "h", &fd)) > 0) {
                if (ret->n_extra >= REQUEST_EXTRA_MAX)
                        return invalid(e, "extra: more than %u descriptors.", REQUEST_EXTRA_MAX);
                ret->extra[ret->n_extra++] = fd;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int check_strings(const Request *r, sd_bus_error *e) {
        size_t bytes = 0;

        STRV_FOREACH(s, r->argv) {
                bytes += strlen(*s) + 1;
                if (strstr(*s, "{private}") && (r->kind != SCOPE_AGENT || r->n_extra == 0))
                        return invalid(e, "argv: {private} without a descriptor for it.");
        }
        STRV_FOREACH(s, r->env)
                bytes += strlen(*s) + 1;
        if (strv_length(r->argv) > REQUEST_STRINGS_MAX)
                return invalid(e, "argv: more than %u strings.", REQUEST_STRINGS_MAX);
        if (strv_length(r->env) > REQUEST_STRINGS_MAX)
                return invalid(e, "env: more than %u strings.", REQUEST_STRINGS_MAX);
        if (bytes > REQUEST_BYTES_MAX)
                return invalid(e, "argv and env: more than %u bytes.", REQUEST_BYTES_MAX);
        if (r->kind != SCOPE_GIT && (!r->argv || !r->argv[0] || r->argv[0][0] != '/'))
                return invalid(e, "argv: the program's path is not absolute.");
        return 0;
}

static int check_descriptors(const Request *r, uid_t owner, sd_bus_error *e) {
        bool agent = r->kind == SCOPE_AGENT;
        struct stat st;

        if (fstat(r->dirfd, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != owner ||
            (st.st_mode & 07777) != 0700)
                return invalid(e, "dirfd: not a directory of the caller with mode 0700.");
        if (r->n_extra > (agent ? 1U : REQUEST_EXTRA_MAX))
                return invalid(e, "extra: more descriptors than this kind accepts.");
        for (unsigned i = 0; i < r->n_extra; i++) {
                if (fstat(r->extra[i], &st) < 0 ||
                    !(S_ISREG(st.st_mode) || (!agent && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))))
                        return invalid(e, "extra: descriptor %u is of a type that is not accepted.", i);
                if (agent && st.st_size > (off_t) REQUEST_PRIVATE_MAX)
                        return invalid(e, "extra: longer than %u bytes.", REQUEST_PRIVATE_MAX);
        }
        return 0;
}

int request_check(const Request *r, uid_t owner, sd_bus_error *e) {
        int k;

        if (r->kind < 0)
                return invalid(e, "kind: must be agent, git or hook.");
        if (!ident_is_valid(r->id))
                return invalid(e, "id: not a valid id.");
        if (r->run == 0)
                return invalid(e, "run: runs are counted from 1.");
        if (!(r->kind == SCOPE_GIT && isempty(r->workspace)) && !ident_is_valid(r->workspace))
                return invalid(e, "workspace: not a valid id.");
        if (r->cwd[0] == '/' ? strlen(r->cwd) >= 4096 : !path_is_below(r->cwd))
                return invalid(e, "cwd: neither an absolute path nor one below the workspace.");
        k = check_strings(r, e);
        return k < 0 ? k : check_descriptors(r, owner, e);
}
