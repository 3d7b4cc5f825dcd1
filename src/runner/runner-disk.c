/* SPDX-License-Identifier: MIT */
#include <sys/statvfs.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/runner-disk.h"

/* Room on the disk. Below the configured floor nothing new is begun; where there is none at all, agents wait for it with
 * what they have to say, and so does what is to be said to them. Both are reported once when they begin and once when
 * they end. */

#define CHECK_AGAIN_USEC (5 * USEC_PER_SEC)
#define NO_ROOM_AGAIN_USEC (1 * USEC_PER_SEC)
/* So little is none: a supervisor writes up to 64 KiB at once. */
#define FULL_BYTES (64 * 1024)

struct Disk {
        const RunContext *ctx;
        const DiskOps *ops;
        void *userdata;
        DiskState state;
        bool waiters; /* something could not be written for want of room */
        sd_event_source *timer;
};

static bool free_bytes(int fd, uint64_t *ret) {
        struct statvfs st;

        if (fd < 0 || fstatvfs(fd, &st) < 0)
                return false;
        *ret = st.f_files > 0 && st.f_favail == 0 ? 0 : (uint64_t) st.f_bavail * st.f_frsize;
        return true;
}

/* The runs' directories may be on a file system of their own. */
static uint64_t least_free(const Disk *d) {
        uint64_t a = UINT64_MAX, b = UINT64_MAX;

        (void) free_bytes(d->ctx->state_fd, &a);
        (void) free_bytes(d->ctx->conversations_fd, &b);
        return MIN(a, b);
}

bool disk_is_low(const Disk *d) {
        return d->state == DISK_LOW || (d->state == DISK_FULL && d->ctx->config->min_free_disk_bytes > 0);
}

static void report(const Disk *d, DiskState now) {
        const char *where = d->ctx->config->data_dir;

        if (now == DISK_FULL)
                log_full(
                        LOG_ERR,
                        0,
                        NF_MESSAGE_DISK_LOW,
                        "No space left on the disk of %s: output of agents and messages to them wait for free space.",
                        where);
        else if (now == DISK_LOW)
                log_full(
                        LOG_WARNING,
                        0,
                        NF_MESSAGE_DISK_LOW,
                        "The disk of %s has less than minFreeDiskBytes (%llu) free: no new conversations.",
                        where,
                        (unsigned long long) d->ctx->config->min_free_disk_bytes);
        else
                log_notice("The disk of %s has free space again.", where);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        disk_check(userdata);
        return 0;
}

static void arm(Disk *d, uint64_t usec) {
        int k = oneshot_start(&d->timer, d->ctx->event, usec, on_timer, d);

        if (k < 0)
                log_error_errno(k, "Failed to set the timer for the disk: %m");
}

void disk_check(Disk *d) {
        uint64_t n = least_free(d);
        DiskState now = n < FULL_BYTES                  ? DISK_FULL :
                n < d->ctx->config->min_free_disk_bytes ? DISK_LOW :
                                                          DISK_ENOUGH;

        if (now != d->state) {
                report(d, now);
                d->state = now;
                d->ops->changed(d->userdata);
        }
        if (now != DISK_FULL && d->waiters) {
                /* Who fails again calls disk_wait(). */
                d->waiters = false;
                d->ops->room(d->userdata);
        }
        if (d->waiters)
                arm(d, NO_ROOM_AGAIN_USEC);
        else if (now != DISK_ENOUGH)
                arm(d, CHECK_AGAIN_USEC);
}

void disk_wait(Disk *d) {
        d->waiters = true;
        arm(d, NO_ROOM_AGAIN_USEC);
}

DiskState disk_get_state(const Disk *d) {
        return d->state;
}

int disk_new(const RunContext *ctx, const DiskOps *ops, void *userdata, Disk **ret) {
        Disk *d = new0(Disk, 1);

        if (!d)
                return -ENOMEM;
        *d = (Disk){ .ctx = ctx, .ops = ops, .userdata = userdata };
        *ret = d;
        return 0;
}

Disk *disk_free(Disk *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->timer);
        free(d);
        return NULL;
}
