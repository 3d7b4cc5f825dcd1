/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/answer.h"
#include "launcher/settings.h"

/* The processes that the launcher forks. */

/* The child of a start, from the fork on. It continues at a byte from the gate, and exits at the end of the gate. */
__attribute__((noreturn)) void
child_run(const Settings *s, const Request *q, const User *user, pid_t parent, int gate);
/* Has function answer in a child without privileges, which has no descriptors but those of the request, if there is
 * one. Returns 0, or negative errno with a text in the answer; -EINVAL: it is the child's. Nothing in an answer is to
 * be trusted. */
int child_ask(
        const Settings *s,
        AnswerFunction function,
        const void *about,
        const Request *request,
        Answer *answer,
        size_t size);
