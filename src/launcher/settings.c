/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "common/fileio.h"
#include "launcher/child.h"
#include "launcher/dropped/settings-answer.h"
#include "launcher/settings.h"

#define SETTINGS_BYTES_MAX (64U * 1024U)
/* About 100000 workspaces. */
#define WORKSPACES_BYTES_MAX (4U * 1024U * 1024U)

#define fail(error, ...) ((void) (*(error) = xasprintf(__VA_ARGS__)), -EINVAL)

/* Agent users must be separate from the runner and from git, by uid and by group: both hold what agents may not see. In
 * user mode all of them are the calling user, with separate homes. */
static int user_load(Settings *s, User *u, const char *name, char **ret_error) {
        struct passwd *p = s->user_mode ? getpwuid(getuid()) : getpwnam(name);
        bool is_agent = u != &s->runner && u != &s->git;

        if (!p)
                return fail(ret_error, "There is no user %s.", name);
        *u = (User){
                .name = strdup(p->pw_name),
                .uid = p->pw_uid,
                .gid = p->pw_gid,
                .n_groups = GROUPS_MAX,
        };
        if (!s->user_mode)
                u->home = strdup(p->pw_dir);
        else if (u == &s->git)
                u->home = xdg_path("XDG_CACHE_HOME", ".cache", name);
        else
                u->home = xdg_path("XDG_STATE_HOME", ".local/state", name);
        if (!u->name || (!u->home && u != &s->runner))
                return fail(ret_error, "User %s has no home directory, or memory is exhausted.", name);
        if (s->user_mode)
                return 0;
        if (getgrouplist(name, u->gid, u->groups, &u->n_groups) < 0)
                return fail(ret_error, "User %s is in more than %d groups.", name, GROUPS_MAX);
        if (u->uid == 0 || (is_agent && (u->uid == s->runner.uid || u->uid == s->git.uid)))
                return fail(ret_error, "Agents, the runner and git cannot run as %s.", name);
        for (int i = 0; i < u->n_groups; i++)
                if (u->groups[i] == 0 ||
                    (is_agent && (u->groups[i] == s->runner.gid || u->groups[i] == s->git.gid)))
                        return fail(ret_error, "User %s is in a group of root, the runner or git.", name);
        return 0;
}

/* The launcher trusts no field, its own parser's included. Nothing that is started may be without any of memory, tasks,
 * processors and time, whatever the caller leaves out, nor get more than a ceiling by leaving it out. */
static bool file_is_valid(const SettingsFile *f) {
        bool good = limits_are_valid(&f->ceilings) && limits_are_valid(&f->workspace_limits) &&
                f->max_scopes > 0 && f->max_scopes <= MAX_SCOPES_MAX && f->out_log_max > 0 &&
                f->n_agents <= AGENT_USERS_MAX && !f->workspace_limits.set[LIMIT_RUNTIME_MAX];

        for (ScopeKind k = 0; good && k < _SCOPE_KIND_MAX; k++) {
                const Limits *l = &f->defaults[k];

                good = limits_are_valid(l) && l->set[LIMIT_MEMORY_MAX] && l->set[LIMIT_MEMORY_SWAP_MAX] &&
                        l->set[LIMIT_TASKS_MAX] && l->set[LIMIT_RUNTIME_MAX] &&
                        l->set[k == SCOPE_AGENT ? LIMIT_CPU_WEIGHT : LIMIT_CPU_QUOTA];
                for (LimitId i = 0; good && i < _LIMIT_MAX; i++)
                        good = !f->ceilings.set[i] || (l->set[i] && l->value[i] <= f->ceilings.value[i]);
        }
        for (size_t i = 0; good && i < f->n_agents; i++)
                good = memchr(f->agents[i], 0, sizeof(f->agents[i]));
        return good;
}

int settings_init(Settings *s, bool user_mode, char **ret_error) {
        *s = (Settings){ .user_mode = user_mode, .state_fd = -EBADF };
        return user_load(s, &s->runner, "northflare", ret_error);
}

int settings_load(Settings *s, char **ret_error) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        SettingsText file = { "{}", 2 };
        SettingsAnswer a = {};
        const char *state;
        size_t n;
        int r;

        path = s->user_mode ? xdg_path("XDG_CONFIG_HOME", ".config", "northflare/launcher.json") :
                              xasprintf("%s/launcher.json", NF_SYSCONFDIR);
        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, SETTINGS_BYTES_MAX, &text, &file.size);
        file.text = text ?: file.text;
        /* Parsed without privileges; without a file all are the defaults. */
        if (r >= 0 || r == -ENOENT)
                r = child_ask(s, settings_file_answer, &file, NULL, &a.answer, sizeof(a));
        if (r >= 0 && !file_is_valid(&a.file))
                r = -EINVAL;
        if (r < 0)
                return fail(ret_error, "%s: %s", path, *a.answer.error ? a.answer.error : strerror(-r));
        s->file = a.file;
        if ((r = user_load(s, &s->git, "northflare-git", ret_error)) < 0)
                return r;
        n = s->user_mode ? 0 : s->file.n_agents;
        do {
                const char *name = n > 0 ? s->file.agents[s->n_agents] : "northflare-agent";

                if ((r = user_load(s, &s->agents[s->n_agents++], name, ret_error)) < 0)
                        return r;
        } while (s->n_agents < n);
        if (s->user_mode)
                return 0;
        state = getenv("STATE_DIRECTORY") ?: NF_STATEDIR "-launcher";
        s->state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->state_fd < 0)
                return fail(ret_error, "Failed to open the state directory of the launcher: %m");
        return 0;
}

/* The file has a line "KEY USER" for each decision, and the last one of a workspace holds. A line without an end was cut
 * short by a crash before the decision was used. */
static const User *look_up(Settings *s, char *text, const char *key, size_t counts[]) {
        const User *found = NULL;
        char *end = strrchr(text, '\n');

        *(end ?: text) = 0;
        for (char *line = text, *save; (line = strtok_r(line, "\n", &save)); line = NULL) {
                char *user = line, *workspace = strsep(&user, " ");

                for (size_t i = 0; user && i < s->n_agents; i++)
                        if (streq(s->agents[i].name, user)) {
                                counts[i]++;
                                found = streq(workspace, key) ? &s->agents[i] : found;
                        }
        }
        return found;
}

int settings_agent_user(Settings *s, const char *key, const User **ret) {
        _cleanup_free_ char *text = NULL;
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
        fd = openat(s->state_fd, "workspaces", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        /* The line before may have been cut short. */
        if (fd < 0 || dprintf(fd, "\n%s %s\n", key, s->agents[best].name) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}
