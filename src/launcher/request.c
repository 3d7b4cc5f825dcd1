/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/ident.h"
#include "launcher/request.h"

static const struct {
        const char *name, *unit;
} kinds[_KIND_MAX] = {
        [KIND_AGENT] = {"agent", "northflare-conversation-"},
        [KIND_GIT] = { "git",  "northflare-git-"         },
        [KIND_HOOK] = { "hook", "northflare-hook-"        },
};

#define BYTES_MAX (UINT64_C(1) << 60)
#define WEIGHT_MAX UINT64_C(10000)
#define WEIGHT_DEFAULT UINT64_C(100)

const LimitInfo limit_infos[_LIMIT_MAX] = {
        [LIMIT_MEMORY_HIGH] = {"MemoryHigh",          "memoryHigh",      1,                  1,    BYTES_MAX },
        [LIMIT_MEMORY_MAX] = { "MemoryMax",          "memoryMax",       1,                  1,    BYTES_MAX },
 /* The one that may be 0: no swap is less than some. */
        [LIMIT_MEMORY_SWAP_MAX] = { "MemorySwapMax",      "memorySwapMax",   1,                  0,    BYTES_MAX },
        [LIMIT_TASKS_MAX] = { "TasksMax",           "tasksMax",        1,                  1,    UINT32_MAX},
        [LIMIT_CPU_QUOTA] = { "CPUQuotaPerSecUSec", "cpuQuotaPercent", USEC_PER_SEC / 100, 1000, BYTES_MAX },
        [LIMIT_CPU_WEIGHT] = { "CPUWeight",          "cpuWeight",       1,                  1,    WEIGHT_MAX},
        [LIMIT_IO_WEIGHT] = { "IOWeight",           "ioWeight",        1,                  1,    WEIGHT_MAX},
        [LIMIT_RUNTIME_MAX] = { "RuntimeMaxUSec",     "runtimeMaxSec",   USEC_PER_SEC,       1,    BYTES_MAX },
};

/* Set here for every program, or of use only to take it over before it begins. */
static const char *const own_variables[] = {
        "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "NORTHFLARE_FDS",
};

#define invalid(e, ...) sd_bus_error_setf((e), ERROR_INVALID_ARGUMENT, __VA_ARGS__)

void request_done(Request *r) {
        r->argv = strv_free(r->argv);
        r->env = strv_free(r->env);
}

Kind kind_from_string(const char *s) {
        for (Kind k = 0; k < _KIND_MAX; k++)
                if (streq(kinds[k].name, s))
                        return k;
        return _KIND_INVALID;
}

int limits_add(Limits *l, const char *property, uint64_t value, sd_bus_error *e) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                if (!streq(limit_infos[i].property, property))
                        continue;
                if (l->set[i])
                        return invalid(e, "limits: %s is there twice.", property);
                if (value < limit_infos[i].minimum || value > limit_infos[i].maximum)
                        return invalid(e, "limits: %s is out of range.", property);
                l->set[i] = true;
                l->value[i] = value;
                return 0;
        }
        return invalid(e, "limits: a limit that there is none of.");
}

int limits_cap(Limits *l, const uint64_t ceilings[static _LIMIT_MAX], sd_bus_error *e) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                if (ceilings[i] == 0)
                        continue;
                if (!l->set[i]) {
                        l->set[i] = true;
                        l->value[i] = limit_infos[i].maximum == WEIGHT_MAX ?
                                        MIN(ceilings[i], WEIGHT_DEFAULT) :
                                        ceilings[i];
                } else if (l->value[i] > ceilings[i])
                        return sd_bus_error_setf(
                                        e,
                                        ERROR_LIMIT_TOO_HIGH,
                                        "limits: %s is %" PRIu64 ", above the ceiling of %" PRIu64 ".",
                                        limit_infos[i].property,
                                        l->value[i],
                                        ceilings[i]);
        }
        return 0;
}

static bool is_variable_name(const char *s) {
        for (const char *p = s; *p; p++)
                if (!(*p == '_' || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
                      (p > s && *p >= '0' && *p <= '9')))
                        return false;
        return *s;
}

int environment_add(char ***env, const char *name, const char *value, sd_bus_error *e) {
        size_t l = strlen(name);

        if (!is_variable_name(name))
                return invalid(e, "env: a name that is none.");
        if (startswith(name, "LD_"))
                return invalid(e, "env: %.64s is not for the caller.", name);
        for (size_t i = 0; i < ELEMENTSOF(own_variables); i++)
                if (streq(own_variables[i], name))
                        return invalid(e, "env: %s is set by the launcher.", name);
        STRV_FOREACH(s, *env)
                if (strncmp(*s, name, l) == 0 && (*s)[l] == '=')
                        return invalid(e, "env: %.64s is there twice.", name);
        return strv_consume(env, xasprintf("%s=%s", name, value));
}

static int read_pairs(sd_bus_message *m, Request *r, bool limits, sd_bus_error *e) {
        int k = sd_bus_message_enter_container(m, 'a', limits ? "{st}" : "{ss}");

        if (k < 0)
                return k;
        for (unsigned n = 0;; n++) {
                const char *name, *text = NULL;
                uint64_t value = 0;

                k = sd_bus_message_enter_container(m, 'e', limits ? "st" : "ss");
                if (k < 0)
                        return k;
                if (k == 0)
                        return sd_bus_message_exit_container(m);
                k = limits ? sd_bus_message_read(m, "st", &name, &value) :
                             sd_bus_message_read(m, "ss", &name, &text);
                if (k < 0)
                        return k;
                if (!limits && n >= REQUEST_STRINGS_MAX)
                        return invalid(e, "env: more than %u strings.", REQUEST_STRINGS_MAX);
                k = limits ? limits_add(&r->limits, name, value, e) :
                             environment_add(&r->env, name, text, e);
                if (k < 0)
                        return k;
                k = sd_bus_message_exit_container(m);
                if (k < 0)
                        return k;
        }
}

int request_read(sd_bus_message *m, Request *ret, sd_bus_error *e) {
        const char *kind;
        int r;

        r = sd_bus_message_read(m, "ssus", &kind, &ret->id, &ret->run, &ret->workspace);
        if (r < 0)
                return r;
        ret->kind = kind_from_string(kind);
        r = sd_bus_message_read_strv(m, &ret->argv);
        if (r < 0)
                return r;
        r = read_pairs(m, ret, false, e);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "s", &ret->cwd);
        if (r < 0)
                return r;
        r = read_pairs(m, ret, true, e);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "h", &ret->dirfd);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'a', "h");
        for (int fd; r > 0 && (r = sd_bus_message_read(m, "h", &fd)) > 0;) {
                if (ret->n_extra >= REQUEST_EXTRA_MAX)
                        return invalid(e, "extra: more than %u descriptors.", REQUEST_EXTRA_MAX);
                ret->extra[ret->n_extra++] = fd;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Below the workspace's folder: names with single slashes between them, none of which leads out. */
static bool is_below(const char *path) {
        if (strlen(path) >= 1024)
                return false;
        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");
                if (n == 0 || n > 255 || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))))
                        return false;
                p += n;
                if (*p == '/' && !*++p)
                        return false;
        }
        return true;
}

static int check_strings(const Request *r, sd_bus_error *e) {
        size_t bytes = 0;

        STRV_FOREACH(s, r->argv) {
                bytes += strlen(*s) + 1;
                if (strstr(*s, "{private}") && (r->kind != KIND_AGENT || r->n_extra == 0))
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
        if (r->kind != KIND_GIT && (!r->argv || !r->argv[0] || r->argv[0][0] != '/'))
                return invalid(e, "argv: the program's path is not absolute.");
        return 0;
}

static int check_descriptors(const Request *r, uid_t owner, sd_bus_error *e) {
        struct stat st;

        if (fstat(r->dirfd, &st) < 0 || !S_ISDIR(st.st_mode))
                return invalid(e, "dirfd: not a directory.");
        if (st.st_uid != owner || (st.st_mode & 07777) != 0700)
                return invalid(e, "dirfd: not a directory of the caller's with mode 0700.");
        if (r->n_extra > (r->kind == KIND_AGENT ? 1U : REQUEST_EXTRA_MAX))
                return invalid(e, "extra: more descriptors than this kind takes.");
        for (unsigned i = 0; i < r->n_extra; i++) {
                if (fstat(r->extra[i], &st) < 0)
                        return invalid(e, "extra: descriptor %u cannot be looked at.", i);
                if (r->kind == KIND_AGENT) {
                        if (!S_ISREG(st.st_mode) || st.st_size > (off_t) REQUEST_PRIVATE_MAX)
                                return invalid(e,
                                               "extra: not a regular file, or longer than %u bytes.",
                                               REQUEST_PRIVATE_MAX);
                } else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
                        return invalid(e, "extra: descriptor %u is a directory or a device.", i);
        }
        return 0;
}

int request_check(const Request *r, uid_t owner, sd_bus_error *e) {
        int k;

        if (r->kind < 0)
                return invalid(e, "kind: none of agent, git, hook.");
        if (!ident_is_valid(r->id))
                return invalid(e, "id: not a valid id.");
        if (r->run == 0)
                return invalid(e, "run: runs are counted from 1.");
        if (!(r->kind == KIND_GIT && isempty(r->workspace)) && !ident_is_valid(r->workspace))
                return invalid(e, "workspace: not a valid id.");
        if (r->cwd[0] == '/' ? strlen(r->cwd) >= 4096 : !is_below(r->cwd))
                return invalid(e, "cwd: neither an absolute path nor one below the workspace.");
        k = check_strings(r, e);
        if (k < 0)
                return k;
        return check_descriptors(r, owner, e);
}

char *request_unit_name(const Request *r) {
        return xasprintf("%s%s-%" PRIu32 ".scope", kinds[r->kind].unit, r->id, r->run);
}

bool unit_name_is_ours(const char *unit) {
        if (strlen(unit) > 255 || !endswith(unit, ".scope"))
                return false;
        for (Kind k = 0; k < _KIND_MAX; k++) {
                const char *p = startswith(unit, kinds[k].unit);
                char id[256];
                uint64_t run;

                if (!p)
                        continue;
                memcpy(id, p, strlen(p) + 1);
                id[strlen(id) - strlen(".scope")] = 0;
                char *dash = strrchr(id, '-');
                if (!dash)
                        return false;
                *dash = 0;
                return ident_is_valid(id) && dash[1] != '0' && safe_atou64(dash + 1, &run) >= 0 &&
                                run <= UINT32_MAX;
        }
        return false;
}

/* A copy of s with every {private} replaced. */
static char *expand(const char *s, const char *tmp) {
        char *out = strdup("");

        for (const char *p; out; s = p + strlen("{private}")) {
                p = strstr(s, "{private}");
                char *next = p ? xasprintf("%s%.*s%s/private", out, (int) (p - s), s, tmp) :
                                 xasprintf("%s%s", out, s);
                free(out);
                out = next;
                if (!p)
                        break;
        }
        return out;
}

char **request_argv(const Request *r, const Place *place) {
        _cleanup_strv_free_ char **v = NULL;
        char *const *from = r->argv;

        if (r->kind == KIND_GIT) {
                if (strv_extend(&v, NF_LIBEXECDIR "/northflare-git") < 0)
                        return NULL;
                if (from && *from)
                        from++;
        }
        STRV_FOREACH(s, from)
                if (strv_consume(&v, expand(*s, place->tmp)) < 0)
                        return NULL;
        return TAKE_PTR(v);
}

char **request_environment(const Request *r, const Place *place) {
        _cleanup_strv_free_ char **v = NULL;
        bool lang = false;

        if (strv_extend(&v, "PATH=/usr/local/bin:/usr/bin:/bin") < 0 ||
            strv_consume(&v, xasprintf("USER=%s", place->user)) < 0 ||
            strv_consume(&v, xasprintf("LOGNAME=%s", place->user)) < 0 ||
            strv_consume(&v, xasprintf("SHELL=%s", place->shell)) < 0 ||
            strv_consume(&v, xasprintf("HOME=%s", place->home)) < 0 ||
            strv_consume(&v, xasprintf("TMPDIR=%s", place->tmp)) < 0)
                return NULL;
        if (r->kind != KIND_AGENT && r->n_extra > 0 &&
            strv_consume(&v, xasprintf("NORTHFLARE_FDS=%u", r->n_extra)) < 0)
                return NULL;
        STRV_FOREACH(s, r->env) {
                lang = lang || startswith(*s, "LANG=");
                if (strv_extend(&v, *s) < 0)
                        return NULL;
        }
        if (!lang && strv_extend(&v, "LANG=C.UTF-8") < 0)
                return NULL;
        return TAKE_PTR(v);
}
