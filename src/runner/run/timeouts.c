/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "runner/run/timeouts.h"

#define SECONDS_MAX UINT64_C(31536000)

typedef struct Question {
        uint64_t offset, since;
        unsigned n;
        bool reported;
} Question;

struct Watchdog {
        Timeouts timeouts;
        uint64_t heard, frozen_since; /* 0: it is not frozen */
        bool running;
        Question *questions;
        size_t n_questions;
};

int timeouts_parse(Json *timeouts, Timeouts *ret, char **ret_error) {
        const struct {
                const char *name;
                uint64_t *usec;
        } members[] = {
                { "silenceSec", &ret->silence_usec },
                { "answerSec", &ret->answer_usec },
        };

        if (!timeouts)
                return 0;
        json_object_object_foreach(timeouts, name, value) {
                uint64_t seconds;
                size_t i = 0;

                (void) value;
                while (i < ELEMENTSOF(members) && !streq(members[i].name, name))
                        i++;
                if (i == ELEMENTSOF(members))
                        *ret_error = xasprintf(
                                "timeouts.%.*s is not known: there are silenceSec and answerSec",
                                utf8_cut(name, 64),
                                name);
                else if (
                        json_get_u64(timeouts, name, &seconds) <= 0 || seconds == 0 || seconds > SECONDS_MAX)
                        *ret_error = xasprintf("timeouts.%s is not a whole number of seconds from 1", name);
                else {
                        *members[i].usec = seconds * USEC_PER_SEC;
                        continue;
                }
                return *ret_error ? -EINVAL : -ENOMEM;
        }
        return 0;
}

int watchdog_new(const Timeouts *timeouts, uint64_t now, Watchdog **ret) {
        Watchdog *w = new0(Watchdog, 1);

        if (!w)
                return -ENOMEM;
        *w = (Watchdog){ .timeouts = *timeouts, .heard = now };
        *ret = w;
        return 0;
}

Watchdog *watchdog_free(Watchdog *w) {
        if (w)
                free(w->questions);
        free(w);
        return NULL;
}

void watchdog_heard(Watchdog *w, uint64_t now) {
        w->heard = now;
}

static const Question *find(const Watchdog *w, uint64_t offset, unsigned n) {
        for (size_t i = 0; i < w->n_questions; i++)
                if (w->questions[i].offset == offset && w->questions[i].n == n)
                        return &w->questions[i];
        return NULL;
}

int watchdog_update(
        Watchdog *w,
        DriverPhase phase,
        const DriverQuestion *questions,
        size_t n_questions,
        uint64_t now) {
        size_t size = w->timeouts.answer_usec > 0 ? n_questions : 0;
        Question *list = NULL;

        if (size > 0) {
                list = new0(Question, size);
                if (!list)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < size; i++) {
                const DriverQuestion *q = &questions[i];
                const Question *known = find(w, q->offset, q->n);

                list[i] = known ? *known : (Question){ .offset = q->offset, .n = q->n, .since = now };
        }
        free(w->questions);
        w->questions = list;
        w->n_questions = size;
        /* The time of a turn's first word begins with the turn. */
        if (phase == DRIVER_RUNNING && !w->running)
                w->heard = now;
        w->running = phase == DRIVER_RUNNING;
        return 0;
}

void watchdog_freeze(Watchdog *w, bool frozen, uint64_t now) {
        uint64_t stood;

        if (frozen == (w->frozen_since > 0))
                return;
        if (frozen) {
                w->frozen_since = now;
                return;
        }
        stood = now - w->frozen_since;
        w->frozen_since = 0;
        w->heard += stood;
        for (size_t i = 0; i < w->n_questions; i++)
                w->questions[i].since += stood;
}

uint64_t watchdog_next(const Watchdog *w) {
        uint64_t next = USEC_INFINITY;

        if (w->frozen_since > 0)
                return next;
        if (w->running && w->timeouts.silence_usec > 0)
                next = w->heard + w->timeouts.silence_usec;
        for (size_t i = 0; i < w->n_questions; i++)
                if (!w->questions[i].reported)
                        next = MIN(next, w->questions[i].since + w->timeouts.answer_usec);
        return next;
}

bool watchdog_is_silent(const Watchdog *w, uint64_t now) {
        return w->frozen_since == 0 && w->running && w->timeouts.silence_usec > 0 &&
                now >= w->heard + w->timeouts.silence_usec;
}

bool watchdog_take_expired(Watchdog *w, uint64_t now, uint64_t *ret_offset, unsigned *ret_n) {
        for (size_t i = 0; i < w->n_questions && w->frozen_since == 0; i++) {
                Question *q = &w->questions[i];

                if (q->reported || now < q->since + w->timeouts.answer_usec)
                        continue;
                q->reported = true;
                *ret_offset = q->offset;
                *ret_n = q->n;
                return true;
        }
        return false;
}
