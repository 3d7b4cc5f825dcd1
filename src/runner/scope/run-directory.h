/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"

/* The files of one run: what the runner writes (spec.json, in.log, bell) and what it reads of the supervisor's
 * (started, out.log, outcome.json). One writer per file; docs/architecture.md has the table. */

#define RUN_DIRECTORY_MODE 0700

/* Creates the directory where it is missing, with its spec, an empty in.log and the FIFO; what is there stays. Returns the
 * directory descriptor or negative errno. */
int run_directory_make(int parentfd, const char *name, const char *spec);
int run_directory_open(int parentfd, const char *name);

/* Writes at that offset of in.log. -EUCLEAN where the file ends before it. */
int run_directory_write_input(int dirfd, uint64_t offset, const void *data, size_t size);
int run_directory_input_size(int dirfd, uint64_t *ret);

/* Rings the bell: 'w' read in.log, 'e' end of input, 't' SIGTERM, 'k' kill. -ENXIO: no supervisor reads it (not started
 * yet, or ended). */
int run_directory_ring(int dirfd, char what);

/* 1: the supervisor has begun with this run; 0: not. */
int run_directory_is_started(int dirfd);
/* The object of `started`: 1, or 0 where it is missing or not yet complete. */
int run_directory_read_started(int dirfd, Json **ret);
/* outcome.json: 1, or 0 where there is none. -EBADMSG: it cannot be read. */
int run_directory_read_outcome(int dirfd, Json **ret);

/* Whether the runner is concluding this run now: a mark for the runner after it, should this one die of that. It is not
 * worth a wait for the disk: what it is about leaves the machine running. */
void run_directory_mark_conclusion(int dirfd, bool concluding);
bool run_directory_is_concluding(int dirfd);

/* out.log for reading: the descriptor, -ENOENT while the supervisor has not made it. */
int run_directory_open_output(int dirfd);

/* Is there a process in the cgroup (a path below the root of the hierarchy)? 1, or 0: empty or gone. */
int cgroup_is_populated(const char *cgroup);
