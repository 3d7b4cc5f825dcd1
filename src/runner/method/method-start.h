/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* conversation.start: idempotent by the conversation's id. */
void method_check_start(MethodCall *c);
int method_store_start(MethodCall *c);
void method_act_start(MethodCall *c);

/* conversation.resume: a new run of one that has ended here, or the start of one that lived elsewhere. */
void method_check_resume(MethodCall *c);
int method_store_resume(MethodCall *c);
void method_act_resume(MethodCall *c);
