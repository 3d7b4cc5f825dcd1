/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* The objects of conversations in the order of their start, found by their path and by their conversation. It owns none of
 * them. */
typedef struct ConversationObject ConversationObject;

typedef struct ObjectIndex {
        ConversationObject *first, *last;
        void *by_path, *by_conversation; /* of tsearch(3) */
        uint64_t compared;               /* for a test that counts */
} ObjectIndex;

/* 0 or -ENOMEM. */
int object_index_add(ObjectIndex *i, ConversationObject *o);
void object_index_remove(ObjectIndex *i, ConversationObject *o);
/* Those that lists show, in their order, at most BUS_OBJECTS_MAX; an array for the caller to free. 0 or -ENOMEM. */
int object_index_list(const ObjectIndex *i, ConversationObject ***ret, size_t *ret_n);
/* NULL where there is none. */
ConversationObject *object_index_find_path(ObjectIndex *i, const char *path);
ConversationObject *object_index_find_conversation(ObjectIndex *i, Conversation *c);
