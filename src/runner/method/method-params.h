/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* Refuses what has not the type that its name stands for. */
void method_check_types(MethodCall *c);
/* Refuses what the configuration of this runner does not allow: permission modes, environment, limits. */
void method_check_policy(MethodCall *c);
