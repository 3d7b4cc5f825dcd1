/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* conversation.stop: the response is deferred until the end. */
void method_check_stop(MethodCall *c);
void method_act_stop(MethodCall *c);

/* conversation.config: other limits are in force at once, the rest when the agent has taken it. */
void method_check_config(MethodCall *c);
int method_store_config(MethodCall *c);
void method_act_config(MethodCall *c);

/* conversation.freeze and conversation.thaw */
void method_check_freeze(MethodCall *c);
void method_act_freeze(MethodCall *c);
