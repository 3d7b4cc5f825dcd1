/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Files of one cgroup of the unified hierarchy, by a descriptor of its folder. */

/* Opens the folder of a cgroup (a path below the root of the hierarchy). The descriptor or negative errno. */
int cgroup_open(const char *cgroup);
/* The cgroup that this process is in: the line of the unified hierarchy, in a container there may be ten others. */
int cgroup_own(char **ret);

/* The number behind key (with its blank) in a file of "key number" lines; key "": the file is the number. False where
 * the file is not there or says something else. */
bool cgroup_read_figure(int dirfd, const char *name, const char *key, uint64_t *ret);

/* How many processes are in a cgroup itself, not below it; 0 where that cannot be read. */
unsigned cgroup_count_processes(const char *cgroup);

/* The sum of key ("rbytes=", …) over all devices of io.stat; false where there is none. */
bool cgroup_read_io(int dirfd, const char *key, uint64_t *ret);

/* What a cgroup has used so far, in the words of outcome.json. */
typedef struct CgroupUsage {
        struct CgroupFigure {
                const char *name;
                uint64_t value;
                bool known;
        } figures[8];
} CgroupUsage;

/* Whether systemd-oomd chose it, as its mark says, which can be read for as long as the folder is held, removed or not. */
bool cgroup_is_oomd_victim(int dirfd);
/* dirfd negative: nothing is known. */
void cgroup_usage(int dirfd, CgroupUsage *ret);
