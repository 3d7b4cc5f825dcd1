/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The objects of conversations, with their methods and properties. */
int conversation_bus_register(BusObjects *b);
void conversation_bus_announce(ConversationObject *o);
int conversation_object_new(BusObjects *b, Conversation *c, ConversationObject **ret);
ConversationObject *conversation_object_free(ConversationObject *o);
