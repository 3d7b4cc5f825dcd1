/* SPDX-License-Identifier: MIT */
#pragma once

#include <limits.h>
#include <stdint.h>

/* What the process that becomes the agent and its supervisor say to each other before the agent's program begins, over a
 * SOCK_SEQPACKET pair that closes on exec. The agent's half, when it has dropped its privileges and made its folders,
 * sends one AgentReport with four descriptors: the end of its stdin to write, the end of its stdout to read, and both
 * ends of a pipe that signals it (see below). Then it waits for one byte; end of file instead means that it must not
 * begin. A second AgentReport says that the program could not be executed; end of file means that it runs.
 *
 * The signal pipe: the supervisor's uid may not signal the agent's. So the agent's half arms a pipe by F_SETOWN,
 * F_SETSIG and O_ASYNC while it has the agent's uid already. The kernel checks against the uid that armed it, whoever
 * writes: a byte into the pipe is a SIGTERM for the agent's main process, and no other process, ever. */

#define AGENT_CONTROL_VERSION 1
#define AGENT_CONTROL_FDS 4

enum {
        AGENT_FD_STDIN,
        AGENT_FD_STDOUT,
        AGENT_FD_SIGNAL_READ,
        AGENT_FD_SIGNAL_WRITE,
};

typedef enum AgentStage {
        AGENT_READY,
        AGENT_SETUP, /* failed before the program: folders, privileges, pipes */
        AGENT_EXEC,  /* the program could not be executed */
} AgentStage;

typedef struct AgentReport {
        uint32_t version;
        int32_t stage;
        int32_t error; /* positive errno */
        char cwd[PATH_MAX];
} AgentReport;
