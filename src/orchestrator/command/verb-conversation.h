/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* Verbs of conversations, and raw, which sends any message of the protocol. Each returns the exit code, after a line on stderr
 * where it is not 0. */
int verb_conversation_start(const Options *o, char *const *args);
int verb_conversation_send(const Options *o, char *const *args);
int verb_conversation_answer(const Options *o, char *const *args);
int verb_conversation_interrupt(const Options *o, char *const *args);
int verb_conversation_stop(const Options *o, char *const *args);
int verb_conversation_resume(const Options *o, char *const *args);
int verb_conversation_config(const Options *o, char *const *args);
int verb_conversation_freeze(const Options *o, char *const *args);
int verb_conversation_thaw(const Options *o, char *const *args);
int verb_conversation_takeover(const Options *o, char *const *args);
int verb_conversation_list(const Options *o, char *const *args);
int verb_conversation_show(const Options *o, char *const *args);
int verb_raw(const Options *o, char *const *args);
