/* SPDX-License-Identifier: MIT */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include <systemd/sd-event.h>

#include "common/fileio.h"

/* Linked into the launcher that tests run: users that this machine does not have, directories of the test's own, a
 * supervisor that is the test's, and time that passes faster. */

struct passwd *__wrap_getpwnam(const char *name);
int __wrap_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *n);
int __real_execve(const char *path, char *const argv[], char *const envp[]);
int __wrap_execve(const char *path, char *const argv[], char *const envp[]);
int __real_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);
int __wrap_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);
int __real_sd_event_add_time_relative(
                sd_event *e,
                sd_event_source **s,
                clockid_t clock,
                uint64_t usec,
                uint64_t accuracy,
                sd_event_time_handler_t callback,
                void *userdata);
int __wrap_sd_event_add_time_relative(
                sd_event *e,
                sd_event_source **s,
                clockid_t clock,
                uint64_t usec,
                uint64_t accuracy,
                sd_event_time_handler_t callback,
                void *userdata);

/* $NF_TEST_USERS: NAME UID GID GROUPS, which is a number of them, and the last one; more of these behind. */
static bool find(const char *name, unsigned *uid, unsigned *gid, int *n, unsigned *last) {
        static char found[64];
        const char *users = getenv("NF_TEST_USERS");
        int used;

        for (; users && sscanf(users, " %63s %u %u %d %u%n", found, uid, gid, n, last, &used) == 5;
             users += used)
                if (streq(found, name))
                        return true;
        return false;
}

struct passwd *__wrap_getpwnam(const char *name) {
        static char home[256];
        static struct passwd p;
        unsigned uid, gid, last;
        int n;

        if (!find(name, &uid, &gid, &n, &last))
                return NULL;
        (void) snprintf(home, sizeof(home), "%s/%u", getenv("NF_TEST_HOMES"), uid);
        p = (struct passwd){ .pw_name = (char *) name, .pw_uid = uid, .pw_gid = gid, .pw_dir = home };
        return &p;
}

int __wrap_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *n) {
        unsigned uid, own, last;
        int count, room = *n;

        if (!find(user, &uid, &own, &count, &last))
                return -1;
        for (int i = 0; i < count && i < room; i++)
                groups[i] = i == 0 ? gid : i == count - 1 ? last : 70000 + (gid_t) i;
        *n = count;
        return count > room ? -1 : count;
}

int __wrap_execve(const char *path, char *const argv[], char *const envp[]) {
        if (streq(path, NF_LIBEXECDIR "/northflare-supervisor"))
                path = getenv("NF_TEST_SUPERVISOR") ?: path;
        if (streq(path, NF_LIBEXECDIR "/northflare-git"))
                path = "/bin/sh";
        return __real_execve(path, argv, envp);
}

int __wrap_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size) {
        const char *below = startswith(name, NF_SYSCONFDIR);
        _cleanup_free_ char *path = below ? xasprintf("%s%s", getenv("NF_TEST_SYSCONFDIR"), below) : NULL;

        return __real_read_file_at(dirfd, path ?: name, max, ret, ret_size);
}

int __wrap_sd_event_add_time_relative(
                sd_event *e,
                sd_event_source **s,
                clockid_t clock,
                uint64_t usec,
                uint64_t accuracy,
                sd_event_time_handler_t callback,
                void *userdata) {
        const char *faster = getenv("NF_TEST_FASTER"), *timeout = getenv("NF_TEST_TIMEOUT_USEC");

        if (usec < USEC_PER_SEC)
                usec /= faster ? strtoul(faster, NULL, 10) : 1;
        else if (timeout)
                usec = strtoul(timeout, NULL, 10);
        return __real_sd_event_add_time_relative(e, s, clock, usec, accuracy, callback, userdata);
}
