/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner-internal.h"

/* What the files of the methods share. Codes are those of docs/protocol.md. */

#define CODE_INVALID_PARAMS (-32602)
#define CODE_METHOD_NOT_FOUND (-32601)
#define CODE_UNKNOWN_CONVERSATION (-32001)
#define CODE_CAPACITY (-32003)
#define CODE_NO_AGENT (-32004)
#define CODE_NOT_ALLOWED (-32005)
#define CODE_DRAINING (-32008)
#define CODE_LOW_DISK (-32009)
#define CODE_WRONG_STATE (-32010)
#define CODE_MACHINE_BUSY (-32012)

/* The first refusal stands. */
void method_refuse(MethodCall *c, int code, const char *format, ...) _printf_(3, 4);
/* The id of that name, borrowed; NULL after a refusal, or where it is missing and may be. */
const char *method_id_param(MethodCall *c, const char *name, bool required);

/* runner-start.c: conversation.start and conversation.resume */
void method_check_types(MethodCall *c);
void method_check_policy(MethodCall *c);
void method_check_start(MethodCall *c);
int method_store_start(MethodCall *c);
void method_act_start(MethodCall *c);
void method_check_resume(MethodCall *c);
int method_store_resume(MethodCall *c);
void method_act_resume(MethodCall *c);
