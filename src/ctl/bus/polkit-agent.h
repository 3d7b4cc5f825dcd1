/* SPDX-License-Identifier: MIT */
#pragma once

/* A password dialogue on this terminal for the time of our calls. */

/* Starts pkttyagent, where polkit may have to ask on this terminal. Where that fails, polkit says no by itself. */
void polkit_agent_open(void);
void polkit_agent_close(void);
