/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* message.user */
void method_check_user(MethodCall *c);
/* conversation.interrupt */
void method_check_interrupt(MethodCall *c);
/* Both, and all other methods whose message waits for the agent: it goes to the agent as soon as its driver can take it. */
void method_act_pump(MethodCall *c);

/* permission.respond */
void method_check_respond(MethodCall *c);
int method_store_respond(MethodCall *c);
void method_act_respond(MethodCall *c);
