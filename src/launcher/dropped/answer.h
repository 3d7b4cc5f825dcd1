/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* A process that answers one question of the launcher, and ends. */

#define ANSWER_ERROR_SIZE 1024U
#define ANSWER_NOT_DROPPED 126 /* exit status: it still had privileges, and read nothing */

/* What each answer begins with. */
typedef struct Answer {
        int r; /* 0, or negative errno */
        char error[ANSWER_ERROR_SIZE];
} Answer;

/* fds: the first is a SOCK_SEQPACKET to the parent, for the answer. */
typedef void (*AnswerFunction)(const void *about, const int fds[], pid_t parent);

/* In front of everything that the process reads: ends it where it has privileges, or its parent has ended. */
void answer_begin(pid_t parent);
/* Sends the answer, which has a text for an error then, and ends the process. */
__attribute__((noreturn)) void answer_end(int socket, Answer *answer, size_t size);
