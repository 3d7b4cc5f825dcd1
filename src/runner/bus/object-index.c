/* SPDX-License-Identifier: MIT */
#include <search.h>

#include "runner/bus/bus-internal.h"

/* The objects in the order of their conversations' start, and two trees to find one: every change asks by the
 * conversation, every message by the path, and GetManagedObjects for every object. */

static int by_path(const void *a, const void *b) {
        const ConversationObject *x = a, *y = b;

        x->index->compared++;
        return strcmp(x->path, y->path);
}

static int by_conversation(const void *a, const void *b) {
        const ConversationObject *x = a, *y = b;

        x->index->compared++;
        return (x->conversation > y->conversation) - (x->conversation < y->conversation);
}

/* A node begins with its key. */
static ConversationObject *key_of(void *node) {
        return node ? *(ConversationObject **) node : NULL;
}

ConversationObject *object_index_find_path(ObjectIndex *i, const char *path) {
        ConversationObject key = { .index = i, .path = (char *) path };

        return key_of(tfind(&key, &i->by_path, by_path));
}

ConversationObject *object_index_find_conversation(ObjectIndex *i, Conversation *c) {
        ConversationObject key = { .index = i, .conversation = c };

        return key_of(tfind(&key, &i->by_conversation, by_conversation));
}

int object_index_add(ObjectIndex *i, ConversationObject *o) {
        o->index = i;
        if (!tsearch(o, &i->by_path, by_path))
                return -ENOMEM;
        if (!tsearch(o, &i->by_conversation, by_conversation)) {
                (void) tdelete(o, &i->by_path, by_path);
                return -ENOMEM;
        }
        o->previous = i->last;
        if (i->last)
                i->last->next = o;
        else
                i->first = o;
        i->last = o;
        return 0;
}

int object_index_list(const ObjectIndex *i, ConversationObject ***ret, size_t *ret_n) {
        size_t live = 0, all = 0, skip, n = 0;
        ConversationObject **list;

        for (ConversationObject *o = i->first; o; o = o->next) {
                live += conversation_is_live(o->conversation);
                all++;
        }
        /* Of those that ended the first ones are left out. */
        skip = all > BUS_OBJECTS_MAX ? all - MAX(BUS_OBJECTS_MAX, live) : 0;
        list = new0(ConversationObject *, MIN(all, BUS_OBJECTS_MAX) + 1);
        if (!list)
                return -ENOMEM;
        for (ConversationObject *o = i->first; o && n < BUS_OBJECTS_MAX; o = o->next)
                if (skip > 0 && !conversation_is_live(o->conversation))
                        skip--;
                else
                        list[n++] = o;
        *ret = list;
        *ret_n = n;
        return 0;
}

void object_index_remove(ObjectIndex *i, ConversationObject *o) {
        (void) tdelete(o, &i->by_path, by_path);
        (void) tdelete(o, &i->by_conversation, by_conversation);
        if (o->previous)
                o->previous->next = o->next;
        else
                i->first = o->next;
        if (o->next)
                o->next->previous = o->previous;
        else
                i->last = o->previous;
}
