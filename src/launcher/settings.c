/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "common/json.h"
#include "launcher/settings.h"

#define SETTINGS_BYTES_MAX (64U * 1024U)
#define AGENT_USERS_MAX 64U
#define MAX_SCOPES_DEFAULT 256U
#define MAX_SCOPES_MAX 4096U
#define OUT_LOG_MAX_DEFAULT (UINT64_C(1) << 30)
/* About 100000 workspaces. */
#define WORKSPACES_BYTES_MAX (4U * 1024U * 1024U)

#define fail(error, code, ...) ((void) (*(error) = xasprintf(__VA_ARGS__)), (code))

static void user_done(User *u) {
        free(u->name);
        free(u->home);
        free(u->groups);
        *u = (User){};
}

static int user_load(User *u, const char *name, char **ret_error) {
        errno = 0;
        struct passwd *p = getpwnam(name);

        if (!p)
                return fail(ret_error, errno ? -errno : -ESRCH, "There is no user %s.", name);
        u->uid = p->pw_uid;
        u->gid = p->pw_gid;
        u->name = strdup(name);
        u->home = strdup(p->pw_dir);
        u->n_groups = 64;
        u->groups = new0(gid_t, (size_t) u->n_groups);
        if (!u->name || !u->home || !u->groups)
                return -ENOMEM;
        if (getgrouplist(name, u->gid, u->groups, &u->n_groups) < 0)
                return fail(ret_error, -E2BIG, "User %s is in more than 64 groups.", name);
        if (u->uid == 0 || u->gid == 0)
                return fail(ret_error, -EPERM, "User %s is root.", name);
        for (int i = 0; i < u->n_groups; i++)
                if (u->groups[i] == 0)
                        return fail(ret_error, -EPERM, "User %s is in root's group.", name);
        return 0;
}

/* Agent users must be apart from the runner and from git, by uid and by group: both hold what agents may not see. */
static int check_agent(const Settings *s, const User *u, char **ret_error) {
        if (u->uid == s->runner.uid || u->uid == s->git.uid)
                return fail(ret_error, -EPERM, "Agents cannot run as %s.", u->name);
        for (int i = 0; i < u->n_groups; i++)
                if (u->groups[i] == s->runner.gid || u->groups[i] == s->git.gid)
                        return fail(ret_error,
                                    -EPERM,
                                    "Agent user %s is in a group of the runner's or git's.",
                                    u->name);
        return 0;
}

static int parse_ceilings(Settings *s, Json *o, char **ret_error) {
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, -EINVAL, "ceilings is no object.");
        json_object_object_foreach(o, key, value) {
                LimitId i = 0;

                (void) value;
                while (i < _LIMIT_MAX && !streq(limit_infos[i].key, key))
                        i++;
                if (i >= _LIMIT_MAX)
                        return fail(ret_error, -EINVAL, "ceilings has no member %s.", key);
                if (json_get_u64(o, key, &s->ceilings[i]) <= 0 ||
                    __builtin_mul_overflow(s->ceilings[i], limit_infos[i].scale, &s->ceilings[i]) ||
                    s->ceilings[i] < MAX(limit_infos[i].minimum, 1U) ||
                    s->ceilings[i] > limit_infos[i].maximum)
                        return fail(ret_error, -EINVAL, "ceilings.%s is no number that it can be.", key);
        }
        return 0;
}

int settings_parse(Settings *s, const char *text, size_t size, char ***ret_agent_users, char **ret_error) {
        _cleanup_strv_free_ char **users = NULL;
        _cleanup_json_ Json *o = NULL;
        int r;

        r = json_parse(text, size, &o, ret_error);
        if (r < 0)
                return r;
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, -EINVAL, "Not an object.");
        json_object_object_foreach(o, key, value) {
                if (streq(key, "agentUsers")) {
                        if (json_get_strv(o, key, &users) <= 0 || strv_length(users) == 0 ||
                            strv_length(users) > AGENT_USERS_MAX)
                                return fail(ret_error,
                                            -EINVAL,
                                            "agentUsers is no list of 1 to %u names.",
                                            AGENT_USERS_MAX);
                } else if (streq(key, "ceilings")) {
                        r = parse_ceilings(s, value, ret_error);
                        if (r < 0)
                                return r;
                } else if (streq(key, "maxScopes")) {
                        if (json_get_u64(o, key, &s->max_scopes) <= 0 || s->max_scopes == 0 ||
                            s->max_scopes > MAX_SCOPES_MAX)
                                return fail(ret_error,
                                            -EINVAL,
                                            "maxScopes is no number from 1 to %u.",
                                            MAX_SCOPES_MAX);
                } else if (streq(key, "outLogMaxBytes")) {
                        if (json_get_u64(o, key, &s->out_log_max) <= 0 || s->out_log_max == 0)
                                return fail(ret_error, -EINVAL, "outLogMaxBytes is no number above 0.");
                } else
                        return fail(ret_error, -EINVAL, "There is no member %s.", key);
        }
        *ret_agent_users = TAKE_PTR(users);
        return 0;
}

/* $variable/name, else $HOME/fallback/name. */
static char *user_path(const char *variable, const char *fallback, const char *name) {
        const char *e = getenv(variable), *home = getenv("HOME");

        if (e && e[0] == '/')
                return xasprintf("%s/%s", e, name);
        return home && home[0] == '/' ? xasprintf("%s/%s/%s", home, fallback, name) : NULL;
}

/* One uid for everything, and folders below the caller's own. */
static int load_own(Settings *s, char **ret_error) {
        struct passwd *p = getpwuid(getuid());

        s->git = (User){ .uid = getuid(), .gid = getgid() };
        s->agents = new0(User, 1);
        if (!s->agents)
                return -ENOMEM;
        s->n_agents = 1;
        s->agents[0] = (User){ .uid = getuid(), .gid = getgid() };
        s->agents[0].name = strdup(p ? p->pw_name : "user");
        s->git.name = strdup(strempty(s->agents[0].name));
        s->agents[0].home = user_path("XDG_STATE_HOME", ".local/state", "northflare-agent");
        s->git.home = user_path("XDG_CACHE_HOME", ".cache", "northflare-git");
        if (!s->agents[0].home || !s->git.home)
                return fail(ret_error, -ENXIO, "No home directory is known.");
        return 0;
}

static int load_users(Settings *s, char *const *names, char **ret_error) {
        int r;

        r = user_load(&s->git, "northflare-git", ret_error);
        if (r < 0)
                return r;
        s->agents = new0(User, strv_length(names));
        if (!s->agents)
                return -ENOMEM;
        STRV_FOREACH(n, names) {
                User *u = &s->agents[s->n_agents++];
                r = user_load(u, *n, ret_error);
                if (r >= 0)
                        r = check_agent(s, u, ret_error);
                if (r < 0)
                        return r;
        }
        const char *state = getenv("STATE_DIRECTORY");
        s->state_fd = open(state ?: NF_STATEDIR "-launcher", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->state_fd < 0)
                return fail(ret_error,
                            -errno,
                            "The launcher's own state directory cannot be opened: %s",
                            strerror(errno));
        return 0;
}

int settings_init(Settings *s, bool user_mode, char **ret_error) {
        *s = (Settings){
                .user_mode = user_mode,
                .max_scopes = MAX_SCOPES_DEFAULT,
                .out_log_max = OUT_LOG_MAX_DEFAULT,
                .state_fd = -EBADF,
                .shell = access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh",
        };
        if (!user_mode)
                return user_load(&s->runner, "northflare", ret_error);
        s->runner = (User){ .uid = getuid(), .gid = getgid() };
        return 0;
}

static int read_settings(Settings *s, const char *path, char ***ret_names, char **ret_error) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, SETTINGS_BYTES_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return fail(ret_error, r, "%s cannot be read: %s", path, strerror(-r));
        r = settings_parse(s, text, size, ret_names, &error);
        return r < 0 ? fail(ret_error, r, "%s: %s", path, strempty(error)) : 0;
}

int settings_load(Settings *s, char **ret_error) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *own = NULL;
        int r;

        if (s->user_mode) {
                own = user_path("XDG_CONFIG_HOME", ".config", "northflare/launcher.json");
                if (!own)
                        return fail(ret_error, -ENXIO, "No home directory is known.");
        }
        r = read_settings(s, own ?: NF_SYSCONFDIR "/launcher.json", &names, ret_error);
        if (r < 0)
                return r;
        if (!names && strv_extend(&names, "northflare-agent") < 0)
                return -ENOMEM;
        return s->user_mode ? load_own(s, ret_error) : load_users(s, names, ret_error);
}

void settings_done(Settings *s) {
        for (size_t i = 0; i < s->n_agents; i++)
                user_done(&s->agents[i]);
        free(s->agents);
        user_done(&s->runner);
        user_done(&s->git);
        safe_close(s->state_fd);
}

/* The file has a line "KEY USER" for each decision, and the last one of a workspace holds. A line that was cut short
 * by a crash names no user of ours. */
static const User *look_up(Settings *s, char *text, const char *key, size_t counts[]) {
        const User *found = NULL;

        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
                char *name;

                *end = 0;
                name = strchr(line, ' ');
                if (!name)
                        continue;
                *name++ = 0;
                for (size_t i = 0; i < s->n_agents; i++)
                        if (streq(s->agents[i].name, name)) {
                                counts[i]++;
                                if (streq(line, key))
                                        found = &s->agents[i];
                        }
        }
        return found;
}

int settings_agent_user(Settings *s, const char *key, const User **ret) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t counts[AGENT_USERS_MAX] = {}, size = 0, best = 0;
        bool torn;
        int r;

        if (s->user_mode) {
                *ret = &s->agents[0];
                return 0;
        }
        r = read_file_at(s->state_fd, "workspaces", WORKSPACES_BYTES_MAX, &text, &size);
        if (r < 0 && r != -ENOENT)
                return r;
        torn = size > 0 && text[size - 1] != '\n';
        *ret = text ? look_up(s, text, key, counts) : NULL;
        if (*ret)
                return 0;
        for (size_t i = 1; i < s->n_agents; i++)
                if (counts[i] < counts[best])
                        best = i;
        line = xasprintf("%s%s %s\n", torn ? "\n" : "", key, s->agents[best].name);
        if (!line)
                return -ENOMEM;
        fd = openat(s->state_fd, "workspaces", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, line, strlen(line));
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0)
                *ret = &s->agents[best];
        return r;
}
