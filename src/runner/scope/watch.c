/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "runner/scope/watch.h"

struct WatchSlot {
        Watch *watch;
        int wd;
        WatchCallback callback;
        void *userdata;
};

struct Watch {
        sd_event_source *source;
        int fd;
        WatchSlot **slots; /* holes are NULL */
        size_t n_slots;
};

#define WATCH_MASK (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
/* A plain walk: a few hundred pointers at the most, once for each batch of changes of one directory. */
static WatchSlot *slot_of(Watch *w, int wd) {
        for (size_t i = 0; i < w->n_slots; i++)
                if (w->slots[i] && w->slots[i]->wd == wd)
                        return w->slots[i];
        return NULL;
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Watch *w = userdata;
        union {
                struct inotify_event event;
                char bytes[16 * 1024];
        } buffer;

        for (;;) {
                ssize_t n = read(fd, &buffer, sizeof(buffer));
                if (n <= 0)
                        return 0;
                char *end = buffer.bytes + n;
                for (char *p = buffer.bytes; p < end;) {
                        struct inotify_event *e = (struct inotify_event *) p;
                        uint32_t mask = 0;
                        int wd = e->wd;

                        /* Consecutive events of one directory are one call. */
                        for (; p < end && e->wd == wd; e = (struct inotify_event *) p) {
                                mask |= e->mask;
                                p += sizeof(*e) + e->len;
                        }
                        if (mask & IN_Q_OVERFLOW) {
                                /* It is unknown which events were lost, so every slot is called. Slots may be
                                 * removed meanwhile. */
                                for (size_t i = 0; i < w->n_slots; i++)
                                        if (w->slots[i])
                                                w->slots[i]->callback(true, w->slots[i]->userdata);
                                continue;
                        }
                        WatchSlot *s = slot_of(w, wd);
                        if (s)
                                s->callback(mask & ~(uint32_t) IN_MODIFY, s->userdata);
                }
        }
}

int watch_new(sd_event *event, Watch **ret) {
        Watch *w = new0(Watch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (w->fd < 0) {
                r = -errno;
                free(w);
                return r;
        }
        r = sd_event_add_io(event, &w->source, w->fd, EPOLLIN, on_inotify, w);
        if (r < 0) {
                watch_free(w);
                return r;
        }
        (void) sd_event_source_set_description(w->source, "watch");
        *ret = w;
        return 0;
}

Watch *watch_free(Watch *w) {
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->source);
        safe_close(w->fd);
        free(w->slots);
        free(w);
        return NULL;
}

int watch_add(Watch *w, int dirfd, WatchCallback callback, void *userdata, WatchSlot **ret) {
        char path[64];
        WatchSlot *s;
        size_t i;

        s = new0(WatchSlot, 1);
        if (!s)
                return -ENOMEM;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
        *s = (WatchSlot){
                .watch = w,
                .wd = inotify_add_watch(w->fd, path, WATCH_MASK),
                .callback = callback,
                .userdata = userdata,
        };
        if (s->wd < 0) {
                free(s);
                return -errno;
        }
        for (i = 0; i < w->n_slots && w->slots[i]; i++)
                ;
        if (i == w->n_slots) {
                WatchSlot **p = reallocarray(w->slots, w->n_slots + 16, sizeof(void *));
                if (!p) {
                        (void) inotify_rm_watch(w->fd, s->wd);
                        free(s);
                        return -ENOMEM;
                }
                memset(p + w->n_slots, 0, 16 * sizeof(void *));
                w->slots = p;
                w->n_slots += 16;
        }
        w->slots[i] = s;
        *ret = s;
        return 0;
}

WatchSlot *watch_slot_free(WatchSlot *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->watch->n_slots; i++)
                if (s->watch->slots[i] == s)
                        s->watch->slots[i] = NULL;
        (void) inotify_rm_watch(s->watch->fd, s->wd);
        free(s);
        return NULL;
}
