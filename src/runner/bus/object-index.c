/* SPDX-License-Identifier: MIT */
#include <search.h>

#include "runner/bus/bus-internal.h"

/* The objects in the order of their conversations' start, and two trees to find one: every change asks by the
 * conversation, every message by the path, and GetManagedObjects for every object. */

static int by_path(const void *a, const void *b) {
        const ConversationObject *x = a, *y = b;

        x->bus_objects->cost.compared++;
        return strcmp(x->path, y->path);
}

static int by_conversation(const void *a, const void *b) {
        const ConversationObject *x = a, *y = b;

        x->bus_objects->cost.compared++;
        return (x->conversation > y->conversation) - (x->conversation < y->conversation);
}

/* A node begins with its key. */
static ConversationObject *key_of(void *node) {
        return node ? *(ConversationObject **) node : NULL;
}

ConversationObject *bus_find_path(BusObjects *b, const char *path) {
        ConversationObject key = { .bus_objects = b, .path = (char *) path };

        return key_of(tfind(&key, &b->by_path, by_path));
}

ConversationObject *bus_find_conversation(BusObjects *b, Conversation *c) {
        ConversationObject key = { .bus_objects = b, .conversation = c };

        return key_of(tfind(&key, &b->by_conversation, by_conversation));
}

int bus_add_object(BusObjects *b, ConversationObject *o) {
        if (!tsearch(o, &b->by_path, by_path))
                return -ENOMEM;
        if (!tsearch(o, &b->by_conversation, by_conversation)) {
                (void) tdelete(o, &b->by_path, by_path);
                return -ENOMEM;
        }
        o->previous = b->last;
        if (b->last)
                b->last->next = o;
        else
                b->conversations = o;
        b->last = o;
        return 0;
}

int bus_list_objects(BusObjects *b, ConversationObject ***ret, size_t *ret_n) {
        size_t live = 0, all = 0, skip, n = 0;
        ConversationObject **list;

        for (ConversationObject *o = b->conversations; o; o = o->next) {
                live += conversation_is_live(o->conversation);
                all++;
        }
        /* Of those that ended the first ones are left out. */
        skip = all > BUS_OBJECTS_MAX ? all - MAX(BUS_OBJECTS_MAX, live) : 0;
        list = new0(ConversationObject *, MIN(all, BUS_OBJECTS_MAX) + 1);
        if (!list)
                return -ENOMEM;
        for (ConversationObject *o = b->conversations; o && n < BUS_OBJECTS_MAX; o = o->next)
                if (skip > 0 && !conversation_is_live(o->conversation))
                        skip--;
                else
                        list[n++] = o;
        *ret = list;
        *ret_n = n;
        return 0;
}

void bus_remove_object(BusObjects *b, ConversationObject *o) {
        (void) tdelete(o, &b->by_path, by_path);
        (void) tdelete(o, &b->by_conversation, by_conversation);
        if (o->previous)
                o->previous->next = o->next;
        else
                b->conversations = o->next;
        if (o->next)
                o->next->previous = o->previous;
        else
                b->last = o->previous;
}
