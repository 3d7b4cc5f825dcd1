/* SPDX-License-Identifier: MIT */
#include "common/oneshot.h"
#include "runner/conversation/event-cache.h"

#define KEEP_USEC (60 * USEC_PER_SEC)

struct EventCache {
        sd_event_source *timer;
        char *conversation; /* NULL: it is empty */
        EventPlace at, next;
        char **texts; /* of the events from `first` on */
        size_t allocated, bytes;
        unsigned first, n;
        unsigned n_events; /* of the item; 0: not known */
        bool full;
};

void event_cache_drop(EventCache *c, const char *conversation) {
        if (!c || !c->conversation || (conversation && !streq(c->conversation, conversation)))
                return;
        for (unsigned i = 0; i < c->n; i++)
                free(c->texts[i]);
        free(c->texts);
        free(c->conversation);
        *c = (EventCache){ .timer = c->timer };
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
}

EventCache *event_cache_free(EventCache *c) {
        if (!c)
                return NULL;
        event_cache_drop(c, NULL);
        sd_event_source_disable_unref(c->timer);
        free(c);
        return NULL;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        event_cache_drop(userdata, NULL);
        return 0;
}

static int used(EventCache *c) {
        oneshot_arm(c->timer, KEEP_USEC);
        return 0;
}

int event_cache_begin(EventCache **cache, sd_event *event, const char *conversation, EventPlace at) {
        EventCache *c = *cache;
        int r;

        if (!c) {
                c = new0(EventCache, 1);
                if (!c)
                        return -ENOMEM;
                r = oneshot_new(event, "event-cache", on_timer, c, &c->timer);
                if (r < 0) {
                        free(c);
                        return r;
                }
                *cache = c;
        }
        event_cache_drop(c, NULL);
        c->conversation = strdup(conversation);
        c->at = at;
        return c->conversation ? used(c) : -ENOMEM;
}

int event_cache_add(EventCache *c, unsigned n, char *text_consume) {
        _cleanup_free_ char *text = text_consume;
        size_t size = text ? strlen(text) : 0;

        if (!text)
                return -ENOMEM;
        if (c->n == 0)
                c->first = n;
        if (c->full || n != c->first + c->n || (c->n > 0 && c->bytes + size > EVENT_CACHE_MAX)) {
                c->full = true;
                return 0;
        }
        if (c->n == c->allocated) {
                size_t more = c->allocated > 0 ? 2 * c->allocated : 16;
                char **texts = reallocarray(c->texts, more, sizeof(char *));

                if (!texts)
                        return -ENOMEM;
                c->texts = texts;
                c->allocated = more;
        }
        c->texts[c->n++] = TAKE_PTR(text);
        c->bytes += size;
        return 0;
}

void event_cache_end(EventCache *c, unsigned n_events, EventPlace next) {
        c->n_events = n_events;
        c->next = next;
}

const char *event_cache_get(EventCache *c, const char *conversation, EventPlace at, unsigned n) {
        if (!c || !streq_ptr(c->conversation, conversation) || c->at.run != at.run ||
            c->at.offset != at.offset || c->at.own_seq != at.own_seq || n < c->first || n - c->first >= c->n)
                return NULL;
        (void) used(c);
        return c->texts[n - c->first];
}

bool event_cache_is_last(EventCache *c, unsigned n, EventPlace *ret_next) {
        *ret_next = c->next;
        return n + 1 == c->n_events;
}
