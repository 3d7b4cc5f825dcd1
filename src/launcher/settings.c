/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/fileio.h"
#include "launcher/dropped/settings-answer.h"
#include "launcher/settings.h"

#define SETTINGS_BYTES_MAX (64U * 1024U)
#define PARSER_TIMEOUT_MSEC 10000
#define GROUPS_MAX 64
#define MAX_SCOPES_DEFAULT 256U
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
        [SCOPE_AGENT] = { .value = { [LIMIT_MEMORY_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_MEMORY_SWAP_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_TASKS_MAX] = 1024,
                                     [LIMIT_CPU_WEIGHT] = WEIGHT_DEFAULT,
                                     [LIMIT_RUNTIME_MAX] = AGENT_RUNTIME_DEFAULT },
                          .set = { [LIMIT_MEMORY_MAX] = true,
                                   [LIMIT_MEMORY_SWAP_MAX] = true,
                                   [LIMIT_TASKS_MAX] = true,
                                   [LIMIT_CPU_WEIGHT] = true,
                                   [LIMIT_RUNTIME_MAX] = true } },
        [SCOPE_GIT] = OPERATION_LIMITS(64),
        [SCOPE_HOOK] = OPERATION_LIMITS(512),
};

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

/* The launcher trusts no field, its own parser's included. */
static bool file_is_valid(const SettingsFile *f) {
        bool good = limits_are_valid(&f->ceilings) && limits_are_valid(&f->workspace_limits) &&
                f->max_scopes > 0 && f->max_scopes <= MAX_SCOPES_MAX && f->out_log_max > 0 &&
                f->n_agents <= AGENT_USERS_MAX && !f->workspace_limits.set[LIMIT_RUNTIME_MAX];

        for (ScopeKind k = 0; good && k < _SCOPE_KIND_MAX; k++) {
                good = limits_are_valid(&f->defaults[k]);
                for (LimitId i = 0; good && i < _LIMIT_MAX; i++)
                        good = f->defaults[k].set[i] || !default_limits[k].set[i];
        }
        for (size_t i = 0; good && i < f->n_agents; i++)
                good = memchr(f->agents[i], 0, sizeof(f->agents[i]));
        return good;
}

/* Waits for the parser, which may be stopped or never end. Returns 0 where it ended well, or negative errno. */
static int parser_wait(pid_t pid) {
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int status, n = poll(&p, 1, PARSER_TIMEOUT_MSEC);

        if (n <= 0)
                (void) kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return n <= 0 ? -ETIMEDOUT : status == 0 ? 0 : status == SETTINGS_NOT_DROPPED << 8 ? -EPERM : -EIO;
}

/* The text is parsed by a child without privileges, which can only fill in what it shares with its parent. */
static int file_parse(Settings *s, const char *text, size_t size, char **ret_error) {
        SettingsAnswer *shared, answer = { .r = -EIO };
        pid_t parent = getpid(), pid;
        int r;

        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return -errno;
        *shared = (SettingsAnswer){ .file = s->file, .r = -EIO };
        pid = fork();
        if (pid == 0) {
                if (close_range(3, ~0U, 0) >= 0 && drop_privileges(s->user_mode ? NULL : &s->runner) >= 0)
                        settings_file_answer(shared, parent, text, size);
                _exit(SETTINGS_NOT_DROPPED);
        }
        r = pid < 0 ? -errno : parser_wait(pid);
        /* A copy, for a process that the parser has left behind can still write. */
        answer = r < 0 ? answer : *shared;
        (void) munmap(shared, sizeof(*shared));
        if (r < 0)
                return fail(ret_error, "Failed to parse it without privileges: %s", strerror(-r));
        answer.error[sizeof(answer.error) - 1] = 0;
        if (answer.r != 0)
                return fail(ret_error, "%s", *answer.error ? answer.error : strerror(EIO));
        if (!file_is_valid(&answer.file))
                return -EINVAL;
        s->file = answer.file;
        return 0;
}

int settings_init(Settings *s, bool user_mode, char **ret_error) {
        uint64_t memory = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);

        *s = (Settings){
                .user_mode = user_mode,
                .file = { .max_scopes = MAX_SCOPES_DEFAULT, .out_log_max = OUT_LOG_MAX_DEFAULT },
                .state_fd = -EBADF,
                .shell = access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh",
        };
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                s->file.defaults[k] = default_limits[k];
                s->file.defaults[k].value[LIMIT_MEMORY_MAX] = MIN(MEMORY_DEFAULT_MAX, memory / 2);
        }
        return user_load(s, &s->runner, "northflare", ret_error);
}

int settings_load(Settings *s, char **ret_error) {
        _cleanup_free_ char *path = NULL, *text = NULL, *error = NULL;
        const char *state;
        size_t size, n;
        int r;

        path = s->user_mode ? xdg_path("XDG_CONFIG_HOME", ".config", "northflare/launcher.json") :
                              xasprintf("%s/launcher.json", NF_SYSCONFDIR);
        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, SETTINGS_BYTES_MAX, &text, &size);
        if (r >= 0)
                r = file_parse(s, text, size, &error);
        if (r < 0 && r != -ENOENT)
                return fail(ret_error, "%s: %s", path, error ?: strerror(-r));
        if ((r = user_load(s, &s->git, "northflare-git", ret_error)) < 0)
                return r;
        n = s->user_mode ? 0 : s->file.n_agents;
        s->agents = new0(User, MAX(n, 1U));
        if (!s->agents)
                return -ENOMEM;
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
                return fail(
                        ret_error,
                        "Failed to open the state directory of the launcher: %s",
                        strerror(errno));
        return 0;
}

/* The file has a line "KEY USER" for each decision, and the last one of a workspace holds. A line without an end was cut
 * short by a crash before the decision was used. */
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
