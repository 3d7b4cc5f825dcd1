/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/method/method-call.h"

/* The engine of the methods: checks the call, accepts it in one transaction with its response and the cursor, and acts.
 * Negative errno: it could not be stored, and nothing has happened. A refusal is no error here, but a code in the call. */
int method_accept(MethodCall *c);
