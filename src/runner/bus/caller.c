/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>

#include "common/fileio.h"
#include "common/scope-name.h"
#include "runner/bus/caller.h"

#define AGENTS_GROUP "northflare-agents"
#define CGROUP_FILE_MAX (64 * 1024)
#define GROUPS_MAX 65536
/* For what is only written down. */
#define NAMES_TIMEOUT_USEC (2 * USEC_PER_SEC)

struct CallerQuery {
        sd_bus *bus;
        const AccessRules *rules;
        CallerNames *names;
        char *sender;
        Caller caller;
        const char *error_name, *message; /* the verdict, while names are searched for; constants */
        int pidfd;
        sd_bus_slot *slot;
        CallerDone done;
        void *userdata;
};

int access_rules_load(bool user_mode, AccessRules *ret) {
        AccessRules r = {
                .user_mode = user_mode, .own_uid = geteuid(), .agents_gid = (gid_t) -1, .proc = "/proc"
        };
        struct group *g = user_mode ? NULL : getgrnam(AGENTS_GROUP);
        _cleanup_strv_free_ char **names = NULL;

        if (g) {
                r.agents_gid = g->gr_gid;
                /* Copied: getpwnam() may use the same memory. */
                names = strv_copy(g->gr_mem);
                r.agents = new0(uid_t, strv_length(g->gr_mem) + 1);
                if (!names || !r.agents) {
                        free(r.agents);
                        return -ENOMEM;
                }
                STRV_FOREACH(n, names) {
                        struct passwd *p = getpwnam(*n);

                        if (p)
                                r.agents[r.n_agents++] = p->pw_uid;
                }
        }
        *ret = r;
        return 0;
}

void access_rules_done(AccessRules *r) {
        free(r->agents);
        r->agents = NULL;
        r->n_agents = 0;
}

const char *access_refuse_uid(const AccessRules *r, uid_t uid, const gid_t *groups, size_t n_groups) {
        if (uid == 0)
                return NULL;
        if (r->user_mode)
                return uid == r->own_uid ? NULL : "This runner accepts calls of its owner only.";
        for (size_t i = 0; i < r->n_agents; i++)
                if (r->agents[i] == uid)
                        return "Agents may not call the runner.";
        for (size_t i = 0; i < n_groups; i++)
                if (r->agents_gid != (gid_t) -1 && groups[i] == r->agents_gid)
                        return "Agents may not call the runner.";
        return NULL;
}

bool access_refuse_cgroup(const char *path) {
        size_t l = strlen(SCOPES_SLICE);

        if (!path || path[0] != '/')
                return true;
        for (const char *p = path; p; p = strchr(p, '/')) {
                p++;
                if (strncmp(p, SCOPES_SLICE, l) == 0 && (p[l] == '/' || p[l] == 0))
                        return true;
        }
        return false;
}

void caller_unit_of_cgroup(const char *path, char ret[static CALLER_UNIT_MAX]) {
        ret[0] = 0;
        for (const char *p = path; p && *p == '/';) {
                size_t n = strcspn(++p, "/");

                if (n == 0)
                        return;
                if (n < strlen(".slice") ||
                    strncmp(p + n - strlen(".slice"), ".slice", strlen(".slice")) != 0) {
                        if (n < CALLER_UNIT_MAX)
                                (void) snprintf(ret, CALLER_UNIT_MAX, "%.*s", (int) n, p);
                        return;
                }
                p += n;
        }
}

/* It goes into JSON and into the journal. */
static void set_comm(Caller *c, const char *name, size_t n) {
        n = MIN(n, sizeof(c->comm) - 1);
        for (size_t i = 0; i < n; i++)
                c->comm[i] = (char) (name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
        c->comm[n] = 0;
}

static int read_proc(const AccessRules *rules, pid_t pid, const char *file, char **ret) {
        _cleanup_free_ char *name = xasprintf("%d/%s", (int) pid, file);
        _cleanup_close_ int fd = -EBADF;

        if (!name)
                return -ENOMEM;
        fd = open(rules->proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return read_file_at(fd, name, CGROUP_FILE_MAX, ret, NULL);
}

/* The unified hierarchy's line of /proc/PID/cgroup. -ENODATA where there is none. */
static int read_cgroup(const AccessRules *rules, pid_t pid, char **ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_proc(rules, pid, "cgroup", &text);
        if (r < 0)
                return r;
        for (char *line = text; line && *line;) {
                char *end = strchr(line, '\n');
                const char *path;

                if (end)
                        *end = 0;
                path = startswith(line, "0::");
                if (path) {
                        *ret = strdup(path);
                        return *ret ? 0 : -ENOMEM;
                }
                line = end ? end + 1 : NULL;
        }
        return -ENODATA;
}

/* ---- the end: unit and program, for the record ---- */

static bool caller_is_known(CallerQuery *q) {
        for (unsigned i = 0; i < CALLER_NAMES_MAX; i++)
                if (streq(q->names->list[i].sender, q->sender)) {
                        (void) snprintf(
                                q->caller.unit, sizeof(q->caller.unit), "%s", q->names->list[i].unit);
                        (void) snprintf(
                                q->caller.comm, sizeof(q->caller.comm), "%s", q->names->list[i].comm);
                        return true;
                }
        return false;
}

static void remember(CallerQuery *q) {
        CallerNames *n = q->names;

        if (strlen(q->sender) >= sizeof(n->list[0].sender))
                return;
        (void) snprintf(n->list[n->next].sender, sizeof(n->list[n->next].sender), "%s", q->sender);
        (void) snprintf(n->list[n->next].unit, sizeof(n->list[n->next].unit), "%s", q->caller.unit);
        (void) snprintf(n->list[n->next].comm, sizeof(n->list[n->next].comm), "%s", q->caller.comm);
        n->next = (n->next + 1) % CALLER_NAMES_MAX;
}

static void caller_done(CallerQuery *q) {
        sd_bus_error e = SD_BUS_ERROR_NULL;

        q->slot = sd_bus_slot_unref(q->slot);
        if (q->caller.pid > 0 && !caller_is_known(q))
                remember(q);
        if (q->error_name)
                e = SD_BUS_ERROR_MAKE_CONST(q->error_name, q->message);
        /* The last use of q: done may free it. */
        q->done(q->error_name ? -EACCES : 0, &q->caller, &e, q->userdata);
}

/* A call to PID 1 for what is only written down. */
static int ask_systemd(
        CallerQuery *q,
        const char *method,
        sd_bus_message_handler_t done,
        const char *type,
        const void *argument) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                q->bus,
                &m,
                "org.freedesktop.systemd1",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager",
                method);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, *type, argument);
        q->slot = sd_bus_slot_unref(q->slot);
        return r < 0 ? r : sd_bus_call_async(q->bus, &q->slot, m, done, q, NAMES_TIMEOUT_USEC);
}

static int on_processes(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *group, *command;
        CallerQuery *q = userdata;
        uint32_t pid;

        if (sd_bus_message_enter_container(m, 'a', "(sus)") >= 0)
                while (sd_bus_message_read(m, "(sus)", &group, &pid, &command) > 0) {
                        const char *end = command + strcspn(command, " "), *p = end;

                        if ((pid_t) pid != q->caller.pid)
                                continue;
                        while (p > command && p[-1] != '/')
                                p--;
                        set_comm(&q->caller, p, (size_t) (end - p));
                        break;
                }
        caller_done(q);
        return 1;
}

static void caller_ask_command(CallerQuery *q) {
        if (!q->caller.unit[0] || ask_systemd(q, "GetUnitProcesses", on_processes, "s", q->caller.unit) < 0)
                caller_done(q);
}

static int on_name_of_unit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_free_ char *name = NULL;
        CallerQuery *q = userdata;
        const char *path;

        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "o", &path) >= 0 &&
            sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &name) > 0 &&
            strlen(name) < CALLER_UNIT_MAX)
                (void) snprintf(q->caller.unit, sizeof(q->caller.unit), "%s", name);
        caller_ask_command(q);
        return 1;
}

/* Ends the query: error_name NULL is yes. */
static void caller_finish(CallerQuery *q, const char *error_name, const char *message) {
        _cleanup_free_ char *cgroup = NULL, *comm = NULL;
        uint32_t pid = (uint32_t) q->caller.pid;

        q->error_name = error_name;
        q->message = message;
        if (q->caller.pid <= 0)
                return caller_done(q);
        if (caller_is_known(q))
                return caller_done(q);
        if (read_cgroup(q->rules, q->caller.pid, &cgroup) >= 0)
                caller_unit_of_cgroup(cgroup, q->caller.unit);
        if (read_proc(q->rules, q->caller.pid, "comm", &comm) >= 0 && comm) {
                set_comm(&q->caller, comm, strcspn(comm, "\n"));
                return caller_done(q);
        }
        /* Hidden; in user mode everything that may call can be read. */
        if (q->rules->user_mode)
                return caller_done(q);
        if (q->caller.unit[0])
                return caller_ask_command(q);
        if (ask_systemd(q, "GetUnitByPID", on_name_of_unit, "u", &pid) < 0)
                caller_done(q);
}

static void caller_judge_cgroup(CallerQuery *q, const char *path) {
        struct pollfd p = { .fd = q->pidfd, .events = POLLIN };

        /* The process that the bus knew has ended: what was read may be about another one of the same number. */
        if (q->pidfd >= 0 && poll(&p, 1, 0) != 0)
                path = NULL;
        if (!path)
                return caller_finish(
                        q,
                        SD_BUS_ERROR_ACCESS_DENIED,
                        "Failed to read the control group of the caller, which may therefore be an agent.");
        if (access_refuse_cgroup(path))
                return caller_finish(
                        q,
                        SD_BUS_ERROR_ACCESS_DENIED,
                        "Processes in " SCOPES_SLICE " may not call the runner.");
        caller_finish(q, NULL, NULL);
}

static int on_control_group(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *path = NULL;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "s", &path) < 0)
                path = NULL;
        caller_judge_cgroup(userdata, path);
        return 1;
}

static int on_unit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        CallerQuery *q = userdata;
        _cleanup_free_ char *name = NULL;
        const char *path, *interface;

        q->slot = sd_bus_slot_unref(q->slot);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) < 0 ||
            sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &name) <= 0) {
                caller_judge_cgroup(q, NULL);
                return 1;
        }
        if (strlen(name) < CALLER_UNIT_MAX)
                (void) snprintf(q->caller.unit, sizeof(q->caller.unit), "%s", name);
        interface = endswith(name, ".service") ? "org.freedesktop.systemd1.Service" :
                endswith(name, ".scope")       ? "org.freedesktop.systemd1.Scope" :
                                                 "org.freedesktop.systemd1.Slice";
        if (sd_bus_call_method_async(
                    q->bus,
                    &q->slot,
                    "org.freedesktop.systemd1",
                    path,
                    "org.freedesktop.DBus.Properties",
                    "Get",
                    on_control_group,
                    q,
                    "ss",
                    interface,
                    "ControlGroup") < 0)
                caller_judge_cgroup(q, NULL);
        return 1;
}

/* Reads the members that matter; the rest of the dictionary is skipped. */
static int parse_credentials(CallerQuery *q, sd_bus_message *m, bool *ret_uid, const char **ret_refusal) {
        const void *groups = NULL;
        size_t groups_size = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;
                uint32_t u;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (streq(key, "UnixUserID")) {
                        r = sd_bus_message_read(m, "v", "u", &u);
                        q->caller.uid = (uid_t) u;
                        *ret_uid = r >= 0;
                } else if (streq(key, "ProcessID")) {
                        r = sd_bus_message_read(m, "v", "u", &u);
                        q->caller.pid = (pid_t) u;
                } else if (streq(key, "ProcessFD")) {
                        int fd;

                        r = sd_bus_message_read(m, "v", "h", &fd);
                        if (r >= 0 && q->pidfd < 0)
                                q->pidfd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                } else if (streq(key, "UnixGroupIDs")) {
                        r = sd_bus_message_enter_container(m, 'v', "au");
                        if (r >= 0)
                                r = sd_bus_message_read_array(m, 'u', &groups, &groups_size);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (*ret_uid)
                *ret_refusal = access_refuse_uid(
                        q->rules,
                        q->caller.uid,
                        groups,
                        MIN(groups_size / sizeof(gid_t), (size_t) GROUPS_MAX));
        return 0;
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        CallerQuery *q = userdata;
        _cleanup_free_ char *cgroup = NULL;
        const char *refusal = NULL;
        bool have_uid = false;

        q->slot = sd_bus_slot_unref(q->slot);
        if (sd_bus_message_is_method_error(m, NULL) || parse_credentials(q, m, &have_uid, &refusal) < 0 ||
            !have_uid) {
                caller_finish(q, SD_BUS_ERROR_ACCESS_DENIED, "The caller has left the bus.");
                return 1;
        }
        if (refusal) {
                caller_finish(q, SD_BUS_ERROR_ACCESS_DENIED, refusal);
                return 1;
        }
        if (q->caller.uid == 0) {
                caller_finish(q, NULL, NULL);
                return 1;
        }
        if (q->caller.pid <= 0) {
                caller_judge_cgroup(q, NULL);
                return 1;
        }
        if (read_cgroup(q->rules, q->caller.pid, &cgroup) >= 0) {
                caller_judge_cgroup(q, cgroup);
                return 1;
        }
        /* ProtectProc=invisible hides other users' processes from us, not from PID 1. */
        if (q->rules->user_mode ||
            sd_bus_call_method_async(
                    q->bus,
                    &q->slot,
                    "org.freedesktop.systemd1",
                    "/org/freedesktop/systemd1",
                    "org.freedesktop.systemd1.Manager",
                    "GetUnitByPID",
                    on_unit,
                    q,
                    "u",
                    (uint32_t) q->caller.pid) < 0)
                caller_judge_cgroup(q, NULL);
        return 1;
}

int caller_query(
        sd_bus *bus,
        const AccessRules *rules,
        CallerNames *names,
        const char *sender,
        CallerDone done,
        void *userdata,
        CallerQuery **ret) {
        _cleanup_(caller_query_freep) CallerQuery *q = new0(CallerQuery, 1);
        int r;

        if (!q)
                return -ENOMEM;
        *q = (CallerQuery){
                .bus = sd_bus_ref(bus),
                .rules = rules,
                .names = names,
                .sender = strdup(sender),
                .caller.uid = (uid_t) -1,
                .pidfd = -EBADF,
                .done = done,
                .userdata = userdata,
        };
        if (!q->sender)
                return -ENOMEM;
        r = sd_bus_call_method_async(
                bus,
                &q->slot,
                "org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus",
                "GetConnectionCredentials",
                on_credentials,
                q,
                "s",
                sender);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

CallerQuery *caller_query_free(CallerQuery *q) {
        if (!q)
                return NULL;
        sd_bus_slot_unref(q->slot);
        sd_bus_unref(q->bus);
        safe_close(q->pidfd);
        free(q->sender);
        free(q);
        return NULL;
}
