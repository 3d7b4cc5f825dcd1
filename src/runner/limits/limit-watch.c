/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "common/oneshot.h"
#include "runner/limits/limit-watch.h"

#define FILE_MAX 1024
/* A scope at its limit changes these files a hundred times a second; they are read at most this often. */
#define CHECKS_PER_SECOND 4

static const uint64_t intervals[_LIMIT_EVENT_MAX] = {
        [LIMIT_EVENT_OOM_KILL] = USEC_PER_SEC,
        [LIMIT_EVENT_MEMORY_HIGH] = 60 * USEC_PER_SEC,
        [LIMIT_EVENT_TASKS] = 60 * USEC_PER_SEC,
};

typedef struct Counter {
        const char *file, *key;
        LimitEvent what;
} Counter;

static const Counter counters[_LIMIT_EVENT_MAX] = {
        [LIMIT_EVENT_OOM_KILL] = { "memory.events", "oom_kill " },
        [LIMIT_EVENT_MEMORY_HIGH] = { "memory.events", "high " },
        [LIMIT_EVENT_TASKS] = { "pids.events", "max " },
};

enum { FILE_MEMORY, FILE_PIDS, FILE_CGROUP, _FILE_MAX };
static const char *const file_names[_FILE_MAX] = { "memory.events", "pids.events", "cgroup.events" };

struct LimitWatch {
        sd_event *event;
        int fds[_FILE_MAX];
        sd_event_source *sources[_FILE_MAX], *timer, *first;
        LimitCounts now;
        LimitMeter meters[_LIMIT_EVENT_MAX];
        bool frozen, *freed;
        const LimitWatchOps *ops;
        void *userdata;
};

uint64_t limit_meter_take(LimitMeter *m, LimitEvent what, uint64_t count, uint64_t now, uint64_t *ret_at) {
        uint64_t events;

        *ret_at = USEC_INFINITY;
        if (count <= m->reported)
                return 0;
        if (now < m->again_usec) {
                *ret_at = m->again_usec;
                return 0;
        }
        events = count - m->reported;
        m->reported = count;
        m->again_usec = now + intervals[what];
        return events;
}

static bool find_number(const char *text, const char *key, uint64_t *ret) {
        for (const char *line = text; line && *line;) {
                const char *value = startswith(line, key), *end = strchrnul(line, '\n');
                char number[32];

                if (value && (size_t) (end - value) < sizeof(number)) {
                        memcpy(number, value, (size_t) (end - value));
                        number[end - value] = 0;
                        return safe_atou64(number, ret) >= 0;
                }
                line = *end ? end + 1 : NULL;
        }
        return false;
}

/* Reading from the beginning also arms the next event. False: the cgroup is gone. */
static bool read_text(LimitWatch *w, int file, char text[static FILE_MAX]) {
        ssize_t n = pread(w->fds[file], text, FILE_MAX - 1, 0);

        if (n < 0)
                return false;
        text[n] = 0;
        return true;
}

static bool read_counters(LimitWatch *w, int file) {
        char text[FILE_MAX];

        if (!read_text(w, file, text))
                return false;
        for (LimitEvent i = 0; i < _LIMIT_EVENT_MAX; i++)
                if (streq(counters[i].file, file_names[file]))
                        (void) find_number(text, counters[i].key, &w->now.events[i]);
        if (file == FILE_MEMORY)
                (void) find_number(text, "oom ", &w->now.oom);
        return true;
}

static void report(LimitWatch *w) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), next = USEC_INFINITY, at;
        LimitCounts reported = { .oom = w->now.oom };
        bool freed = false;

        for (LimitEvent i = 0; i < _LIMIT_EVENT_MAX; i++) {
                uint64_t events = limit_meter_take(&w->meters[i], i, w->now.events[i], now, &at);

                next = MIN(next, at);
                if (events == 0)
                        continue;
                for (LimitEvent k = 0; k < _LIMIT_EVENT_MAX; k++)
                        reported.events[k] = w->meters[k].reported;
                w->freed = &freed;
                w->ops->event(i, events, &reported, w->userdata);
                if (freed)
                        return;
                w->freed = NULL;
        }
        if (next != USEC_INFINITY)
                oneshot_arm_at(w->timer, next);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        report(userdata);
        return 0;
}

static int on_first(sd_event_source *source, void *userdata) {
        report(userdata);
        return 0;
}

/* A file whose cgroup was removed stays ready forever. */
static int gone(sd_event_source *source) {
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_file(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LimitWatch *w = userdata;
        char text[FILE_MAX];
        uint64_t frozen = 0;

        w->ops->changed(w->userdata);
        for (int i = 0; i < FILE_CGROUP; i++)
                if (fd == w->fds[i]) {
                        if (!read_counters(w, i))
                                return gone(source);
                        report(w);
                        return 0;
                }
        if (!read_text(w, FILE_CGROUP, text))
                return gone(source);
        if (find_number(text, "frozen ", &frozen) && (frozen > 0) != w->frozen) {
                w->frozen = frozen > 0;
                w->ops->frozen(w->frozen, w->userdata);
        }
        return 0;
}

static int watch_file(LimitWatch *w, int dirfd, int file) {
        int r;

        w->fds[file] = openat(dirfd, file_names[file], O_RDONLY | O_CLOEXEC);
        if (w->fds[file] < 0)
                return errno == ENOENT ? 0 : -errno;
        r = sd_event_add_io(w->event, &w->sources[file], w->fds[file], EPOLLPRI, on_file, w);
        if (r == -EPERM) {
                /* The file does not notify of changes. */
                w->fds[file] = safe_close(w->fds[file]);
                return 0;
        }
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(w->sources[file], file_names[file]);
        if (file == FILE_CGROUP)
                return 0;
        r = sd_event_source_set_ratelimit(w->sources[file], USEC_PER_SEC, CHECKS_PER_SECOND);
        return r < 0 ? r : 0;
}

static int open_files(LimitWatch *w, int dirfd) {
        char text[FILE_MAX];
        uint64_t frozen = 0;
        int r;

        for (int i = 0; i < _FILE_MAX; i++) {
                r = watch_file(w, dirfd, i);
                if (r < 0)
                        return r;
                if (w->fds[i] >= 0 && i != FILE_CGROUP)
                        (void) read_counters(w, i);
        }
        if (w->fds[FILE_CGROUP] >= 0 && read_text(w, FILE_CGROUP, text) &&
            find_number(text, "frozen ", &frozen))
                w->frozen = frozen > 0;
        return 0;
}

int limit_watch_new(
        sd_event *event,
        int dirfd,
        const LimitCounts *reported,
        const LimitWatchOps *ops,
        void *userdata,
        LimitWatch **ret) {
        _cleanup_(limit_watch_freep) LimitWatch *w = new0(LimitWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (LimitWatch){
                .event = sd_event_ref(event),
                .fds = { -EBADF, -EBADF, -EBADF },
                .now = *reported,
                .ops = ops,
                .userdata = userdata,
        };
        for (LimitEvent i = 0; i < _LIMIT_EVENT_MAX; i++)
                w->meters[i].reported = reported->events[i];
        r = oneshot_new(event, "limit-events", on_timer, w, &w->timer);
        if (r >= 0)
                r = open_files(w, dirfd);
        /* Reports what came before the files were read; later, since the caller does not have the watch yet. */
        if (r >= 0)
                r = sd_event_add_defer(event, &w->first, on_first, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

LimitWatch *limit_watch_free(LimitWatch *w) {
        if (!w)
                return NULL;
        if (w->freed)
                *w->freed = true;
        for (int i = 0; i < _FILE_MAX; i++) {
                sd_event_source_disable_unref(w->sources[i]);
                safe_close(w->fds[i]);
        }
        sd_event_source_disable_unref(w->timer);
        sd_event_source_disable_unref(w->first);
        sd_event_unref(w->event);
        free(w);
        return NULL;
}

bool limit_watch_is_frozen(LimitWatch *w) {
        return w->frozen;
}
