/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* One function for each verb; returns the exit code. */
int verb_serve(const Options *o, char *const *args);
int verb_token_create(const Options *o, char *const *args);
int verb_token_list(const Options *o, char *const *args);
int verb_token_revoke(const Options *o, char *const *args);
int verb_runners(const Options *o, char *const *args);
int verb_runners_activate(const Options *o, char *const *args);
int verb_runners_forget(const Options *o, char *const *args);
int verb_runners_events(const Options *o, char *const *args);
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
int verb_conversation_events(const Options *o, char *const *args);
int verb_raw(const Options *o, char *const *args);
