/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* runner.ping */
void method_check_ping(MethodCall *c);

/* runner.drain and runner.undrain */
void method_check_drain(MethodCall *c);
int method_store_drain(MethodCall *c);
void method_act_drain(MethodCall *c);
