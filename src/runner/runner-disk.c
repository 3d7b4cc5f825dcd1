/* SPDX-License-Identifier: MIT */
#include <sys/statvfs.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/runner-internal.h"

/* Room on the disk. Below the configured floor nothing new is begun; where there is none at all, agents wait for it with
 * what they have to say, and so does what is to be said to them. Both are told once when they begin and once when they end. */

#define LOOK_AGAIN_USEC (5 * USEC_PER_SEC)
#define NO_ROOM_AGAIN_USEC (1 * USEC_PER_SEC)
/* So little is none: a supervisor writes up to 64 KiB at once. */
#define FULL_BYTES (64 * 1024)

static bool free_bytes(int fd, uint64_t *ret) {
        struct statvfs st;

        if (fd < 0 || fstatvfs(fd, &st) < 0)
                return false;
        *ret = st.f_files > 0 && st.f_favail == 0 ? 0 : (uint64_t) st.f_bavail * st.f_frsize;
        return true;
}

/* The runs' folders may be on a file system of their own. */
static uint64_t least_free(Runner *r) {
        uint64_t a = UINT64_MAX, b = UINT64_MAX;

        (void) free_bytes(r->state_fd, &a);
        (void) free_bytes(r->ctx.run.conversations_fd, &b);
        return MIN(a, b);
}

bool runner_disk_is_low(Runner *r) {
        return r->disk == DISK_LOW || (r->disk == DISK_FULL && r->config->min_free_disk_bytes > 0);
}

static void tell(Runner *r, DiskState now) {
        const char *where = r->config->data_dir;

        if (now == DISK_FULL)
                log_full(LOG_ERR,
                         0,
                         NF_MESSAGE_DISK_LOW,
                         "No space left on the disk of %s: what agents say waits in them, and so does what they are told.",
                         where);
        else if (now == DISK_LOW)
                log_full(LOG_WARNING,
                         0,
                         NF_MESSAGE_DISK_LOW,
                         "The disk of %s has less than minFreeDiskBytes (%llu) free: no new conversations.",
                         where,
                         (unsigned long long) r->config->min_free_disk_bytes);
        else
                log_notice("The disk of %s has room again.", where);
}

static int on_disk_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        runner_disk_look(userdata);
        return 0;
}

static void arm(Runner *r, uint64_t usec) {
        int k;

        if (r->disk_timer) {
                k = sd_event_source_set_time_relative(r->disk_timer, usec);
                if (k >= 0)
                        k = sd_event_source_set_enabled(r->disk_timer, SD_EVENT_ONESHOT);
        } else
                k = sd_event_add_time_relative(
                                r->event,
                                &r->disk_timer,
                                CLOCK_MONOTONIC,
                                usec,
                                100 * USEC_PER_MSEC,
                                on_disk_timer,
                                r);
        if (k < 0)
                log_error_errno(k, "No timer for the disk: %m");
}

/* What could not be written or begun for want of room. Who fails again calls runner_disk_wait(). */
static void try_again(Runner *r) {
        r->disk_waiters = false;
        for (Conversation *c = registry_next(r->conversations, NULL); c && !r->ctx.run.broken;
             c = registry_next(r->conversations, c)) {
                if (!conversation_is_live(c) || !c->run)
                        continue;
                conversation_advance(c);
                (void) conversation_write_input(c);
        }
}

void runner_disk_look(Runner *r) {
        uint64_t n = least_free(r);
        DiskState now = n < FULL_BYTES                     ? DISK_FULL :
                        n < r->config->min_free_disk_bytes ? DISK_LOW :
                                                             DISK_ENOUGH;

        if (now != r->disk) {
                tell(r, now);
                r->disk = now;
                announcer_changed(r->announcer);
        }
        if (now != DISK_FULL && r->disk_waiters)
                try_again(r);
        if (r->disk_waiters)
                arm(r, NO_ROOM_AGAIN_USEC);
        else if (now != DISK_ENOUGH)
                arm(r, LOOK_AGAIN_USEC);
}

void runner_disk_wait(Runner *r) {
        r->disk_waiters = true;
        arm(r, NO_ROOM_AGAIN_USEC);
}
