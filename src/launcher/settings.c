/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "common/fileio.h"
#include "common/json.h"
#include "launcher/settings.h"

#define SETTINGS_BYTES_MAX (64U * 1024U)
#define AGENT_USERS_MAX 64U
#define GROUPS_MAX 64
#define MAX_SCOPES_DEFAULT 256U
#define MAX_SCOPES_MAX 4096U
#define OUT_LOG_MAX_DEFAULT (UINT64_C(1) << 30)
#define MEMORY_DEFAULT_MAX (UINT64_C(4) << 30)
#define AGENT_RUNTIME_DEFAULT (UINT64_C(30) * 86400 * USEC_PER_SEC)
#define OPERATION_RUNTIME_DEFAULT (UINT64_C(3600) * USEC_PER_SEC)
#define OPERATION_QUOTA_DEFAULT (2 * USEC_PER_SEC) /* of each second: two processors */
/* About 100000 workspaces. */
#define WORKSPACES_BYTES_MAX (4U * 1024U * 1024U)

#define OPERATION_LIMITS(tasks)                                               \
        {                                                                     \
                .value = { [LIMIT_MEMORY_MAX] = MEMORY_DEFAULT_MAX,           \
                           [LIMIT_TASKS_MAX] = (tasks),                       \
                           [LIMIT_CPU_QUOTA] = OPERATION_QUOTA_DEFAULT,       \
                           [LIMIT_RUNTIME_MAX] = OPERATION_RUNTIME_DEFAULT }, \
                .set = { [LIMIT_MEMORY_MAX] = true,                           \
                         [LIMIT_MEMORY_SWAP_MAX] = true,                      \
                         [LIMIT_TASKS_MAX] = true,                            \
                         [LIMIT_CPU_QUOTA] = true,                            \
                         [LIMIT_RUNTIME_MAX] = true }                         \
        }

/* Nothing that is started may be without any of memory, tasks, processors and time, whatever the caller leaves out. An
 * agent shares the processors with the others; what is short (git, hooks) has no swap and two of them. */
static const Limits default_limits[_SCOPE_KIND_MAX] = {
        [SCOPE_AGENT] = {.value = { [LIMIT_MEMORY_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_MEMORY_SWAP_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_TASKS_MAX] = 1024,
                                     [LIMIT_CPU_WEIGHT] = WEIGHT_DEFAULT,
                                     [LIMIT_RUNTIME_MAX] = AGENT_RUNTIME_DEFAULT },
                         .set = { [LIMIT_MEMORY_MAX] = true,
                                   [LIMIT_MEMORY_SWAP_MAX] = true,
                                   [LIMIT_TASKS_MAX] = true,
                                   [LIMIT_CPU_WEIGHT] = true,
                                   [LIMIT_RUNTIME_MAX] = true }},
        [SCOPE_GIT] = OPERATION_LIMITS(64),
        [SCOPE_HOOK] = OPERATION_LIMITS(512),
};

#define fail(error, ...) ((void) (*(error) = xasprintf(__VA_ARGS__)), -EINVAL)

/* Agent users must be apart from the runner and from git, by uid and by group: both hold what agents may not see. In
 * user mode all are whoever calls, with homes of their own. */
static int user_load(Settings *s, User *u, const char *name, char **ret_error) {
        struct passwd *p = s->user_mode ? getpwuid(getuid()) : getpwnam(name);
        bool is_agent = u != &s->runner && u != &s->git;

        if (!p)
                return fail(ret_error, "There is no user %s.", name);
        *u = (User){
                .name = strdup(p->pw_name),
                .uid = p->pw_uid,
                .gid = p->pw_gid,
                .groups = new0(gid_t, GROUPS_MAX),
                .n_groups = GROUPS_MAX,
        };
        if (!s->user_mode)
                u->home = strdup(p->pw_dir);
        else if (u == &s->git)
                u->home = xdg_path("XDG_CACHE_HOME", ".cache", name);
        else
                u->home = xdg_path("XDG_STATE_HOME", ".local/state", name);
        if (!u->name || (!u->home && u != &s->runner) || !u->groups)
                return fail(ret_error, "User %s: no home directory is known, or no memory is left.", name);
        if (s->user_mode)
                return 0;
        if (getgrouplist(name, u->gid, u->groups, &u->n_groups) < 0)
                return fail(ret_error, "User %s is in more than %d groups.", name, GROUPS_MAX);
        if (u->uid == 0 || (is_agent && (u->uid == s->runner.uid || u->uid == s->git.uid)))
                return fail(ret_error, "Agents, the runner and git cannot run as %s.", name);
        for (int i = 0; i < u->n_groups; i++)
                if (u->groups[i] == 0 ||
                    (is_agent && (u->groups[i] == s->runner.gid || u->groups[i] == s->git.gid)))
                        return fail(ret_error,
                                    "User %s is in a group of root's, the runner's or git's.",
                                    name);
        return 0;
}

/* The members of the object called name; a slice has no time. */
static int parse_limits(Limits *l, const char *name, bool slice, Json *o, char **ret_error) {
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "%s is no object.", name);
        json_object_object_foreach(o, key, value) {
                LimitId i = 0;

                (void) value;
                while (i < _LIMIT_MAX && !streq(limit_infos[i].key, key))
                        i++;
                if (i == _LIMIT_MAX || (slice && i == LIMIT_RUNTIME_MAX))
                        return fail(ret_error, "%s has no member %s.", name, key);
                if (json_get_u64(o, key, &l->value[i]) <= 0 ||
                    __builtin_mul_overflow(l->value[i], limit_infos[i].scale, &l->value[i]) ||
                    l->value[i] < MAX(limit_infos[i].minimum, 1U) || l->value[i] > limit_infos[i].maximum)
                        return fail(ret_error, "%s.%s is no number that it can be.", name, key);
                l->set[i] = true;
        }
        return 0;
}

/* One member for each kind of scope. */
static int parse_defaults(Settings *s, Json *o, char **ret_error) {
        int r = 0;

        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "defaults is no object.");
        json_object_object_foreach(o, key, value) {
                _cleanup_free_ char *name = xasprintf("defaults.%s", key);
                ScopeKind kind = scope_kind_from_string(key);

                if (kind < 0 || !name)
                        return fail(ret_error, "defaults has no member %s.", key);
                if ((r = parse_limits(&s->defaults[kind], name, false, value, ret_error)) < 0)
                        return r;
        }
        return r;
}

int settings_parse(Settings *s, const char *text, size_t size, char ***ret_agent_users, char **ret_error) {
        _cleanup_strv_free_ char **users = NULL;
        _cleanup_json_ Json *o = NULL;
        int r;

        if ((r = json_parse_from(JSON_OF_ADMINISTRATOR, text, size, &o, ret_error)) < 0)
                return r;
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "Not an object.");
        json_object_object_foreach(o, key, value) {
                bool good;

                if (streq(key, "agentUsers"))
                        good = json_get_strv(o, key, &users) > 0 && users[0] &&
                                        strv_length(users) <= AGENT_USERS_MAX;
                else if (streq(key, "maxScopes"))
                        good = json_get_u64(o, key, &s->max_scopes) > 0 && s->max_scopes > 0 &&
                                        s->max_scopes <= MAX_SCOPES_MAX;
                else if (streq(key, "outLogMaxBytes"))
                        good = json_get_u64(o, key, &s->out_log_max) > 0 && s->out_log_max > 0;
                else if (streq(key, "ceilings"))
                        good = (r = parse_limits(&s->ceilings, key, false, value, ret_error)) >= 0;
                else if (streq(key, "defaults"))
                        good = (r = parse_defaults(s, value, ret_error)) >= 0;
                else if (streq(key, "workspaceLimits"))
                        good = (r = parse_limits(&s->workspace_limits, key, true, value, ret_error)) >= 0;
                else
                        return fail(ret_error, "There is no member %s.", key);
                if (!good)
                        return r < 0 ? r : fail(ret_error, "%s is nothing that it can be.", key);
        }
        *ret_agent_users = TAKE_PTR(users);
        return 0;
}

int settings_init(Settings *s, bool user_mode, char **ret_error) {
        uint64_t memory = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);

        *s = (Settings){
                .user_mode = user_mode,
                .max_scopes = MAX_SCOPES_DEFAULT,
                .out_log_max = OUT_LOG_MAX_DEFAULT,
                .state_fd = -EBADF,
                .shell = access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh",
        };
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                s->defaults[k] = default_limits[k];
                s->defaults[k].value[LIMIT_MEMORY_MAX] = MIN(MEMORY_DEFAULT_MAX, memory / 2);
        }
        return user_load(s, &s->runner, "northflare", ret_error);
}

int settings_load(Settings *s, char **ret_error) {
        _cleanup_free_ char *path = NULL, *text = NULL, *error = NULL;
        _cleanup_strv_free_ char **names = NULL;
        const char *state;
        size_t size;
        int r;

        path = s->user_mode ? xdg_path("XDG_CONFIG_HOME", ".config", "northflare/launcher.json") :
                              xasprintf("%s/launcher.json", NF_SYSCONFDIR);
        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, SETTINGS_BYTES_MAX, &text, &size);
        if (r >= 0)
                r = settings_parse(s, text, size, &names, &error);
        if (r < 0 && r != -ENOENT)
                return fail(ret_error, "%s: %s", path, error ?: strerror(-r));
        if (s->user_mode)
                names = strv_free(names);
        if (!names && strv_extend(&names, "northflare-agent") < 0)
                return -ENOMEM;
        if ((r = user_load(s, &s->git, "northflare-git", ret_error)) < 0)
                return r;
        s->agents = new0(User, strv_length(names));
        if (!s->agents)
                return -ENOMEM;
        STRV_FOREACH(n, names)
                if ((r = user_load(s, &s->agents[s->n_agents++], *n, ret_error)) < 0)
                        return r;
        state = getenv("STATE_DIRECTORY");
        s->state_fd = s->user_mode ?
                        -EBADF :
                        open(state ?: NF_STATEDIR "-launcher", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->state_fd < 0 && !s->user_mode)
                return fail(ret_error,
                            "The launcher's own state directory cannot be opened: %s",
                            strerror(errno));
        return 0;
}

static void user_done(User *u) {
        free(u->name);
        free(u->home);
        free(u->groups);
}

void settings_done(Settings *s) {
        for (size_t i = 0; i < s->n_agents; i++)
                user_done(&s->agents[i]);
        free(s->agents);
        user_done(&s->runner);
        user_done(&s->git);
        safe_close(s->state_fd);
}

/* The file has a line "KEY USER" for each decision, and the last one of a workspace holds. A line without an end was cut
 * short by a crash, and told to nobody. */
static const User *look_up(Settings *s, char *text, const char *key, size_t counts[]) {
        const User *found = NULL;
        char *end = strrchr(text, '\n');

        *(end ?: text) = 0;
        for (char *line = text, *save; (line = strtok_r(line, "\n", &save)); line = NULL) {
                char *space = strchr(line, ' ');

                if (!space)
                        continue;
                *space = 0;
                for (size_t i = 0; i < s->n_agents; i++)
                        if (streq(s->agents[i].name, space + 1)) {
                                counts[i]++;
                                found = streq(line, key) ? &s->agents[i] : found;
                        }
        }
        return found;
}

int settings_agent_user(Settings *s, const char *key, const User **ret) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t counts[AGENT_USERS_MAX] = {}, best = 0;
        int r;

        *ret = s->agents;
        if (s->user_mode)
                return 0;
        r = read_file_at(s->state_fd, "workspaces", WORKSPACES_BYTES_MAX, &text, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        *ret = text ? look_up(s, text, key, counts) : NULL;
        if (*ret)
                return 0;
        for (size_t i = 1; i < s->n_agents; i++)
                if (counts[i] < counts[best])
                        best = i;
        *ret = &s->agents[best];
        /* The line before may have been cut short. */
        line = xasprintf("\n%s %s\n", key, s->agents[best].name);
        if (!line)
                return -ENOMEM;
        fd = openat(s->state_fd, "workspaces", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, line, strlen(line));
        return r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
}
