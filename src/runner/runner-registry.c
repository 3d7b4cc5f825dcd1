/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/runner-registry.h"

struct Registry {
        Conversation *first, *last;
        unsigned n_live, n_ended;
};

int registry_new(Registry **ret) {
        *ret = new0(Registry, 1);
        return *ret ? 0 : -ENOMEM;
}

Registry *registry_free(Registry *g) {
        free(g);
        return NULL;
}

void registry_add(Registry *g, Conversation *c) {
        c->prev = g->last;
        c->next = NULL;
        *(g->last ? &g->last->next : &g->first) = c;
        g->last = c;
        if (conversation_is_live(c))
                g->n_live++;
        else
                g->n_ended++;
}

void registry_remove(Registry *g, Conversation *c) {
        *(c->prev ? &c->prev->next : &g->first) = c->next;
        *(c->next ? &c->next->prev : &g->last) = c->prev;
        c->prev = c->next = NULL;
        if (conversation_is_live(c))
                g->n_live--;
        else
                g->n_ended--;
        /* One may have changed sides without being counted, where the store failed in between: then all are forgotten. */
        if (!g->first)
                g->n_live = g->n_ended = 0;
}

void registry_count_end(Registry *g) {
        g->n_live--;
        g->n_ended++;
}

void registry_count_resume(Registry *g) {
        g->n_live++;
        if (g->n_ended > 0)
                g->n_ended--;
}

Conversation *registry_next(const Registry *g, const Conversation *after) {
        return after ? after->next : g->first;
}

Conversation *registry_find(const Registry *g, const char *id) {
        for (Conversation *c = g->last; c; c = c->prev)
                if (streq(c->row.id, id))
                        return c;
        return NULL;
}

unsigned registry_count_live(const Registry *g) {
        return g->n_live;
}

unsigned registry_count_ended(const Registry *g) {
        return g->n_ended;
}

unsigned registry_count_waiting(const Registry *g) {
        unsigned n = 0;

        /* The others that have ended are few. */
        if (g->n_ended < ENDED_WAITING_MAX)
                return 0;
        for (Conversation *c = g->first; c; c = c->next)
                n += !conversation_is_live(c) && !c->row.delivered;
        return n;
}
