/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The objects of conversations, with their methods and properties. */

/* Registers what serves all of them, and their list; b owns the slots. 0 or negative errno. */
int conversation_bus_register(BusObjects *b);
/* Signals what is due: a new object, properties that differ from the snapshot (which then is what they are now), events. */
void conversation_bus_announce(ConversationObject *o);
/* An object that is in no index yet. c must outlive it. 0 or negative errno. */
int conversation_object_new(BusObjects *b, Conversation *c, ConversationObject **ret);
/* It must not be in the index any more. */
ConversationObject *conversation_object_free(ConversationObject *o);
