/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/config-values.h"

/* 1, 0 where there is none, or an error with the sentence in l->error. */
int config_load_token(ConfigLoader *l, char **ret, char **ret_origin);
char *config_token_free(char *token); /* erases it */
/* -EINVAL: address without token, or the other way round. */
int config_check_token(ConfigLoader *l, const char *token_origin);

/* Erases NORTHFLARE_RUNNER_TOKEN from environ, its memory included (/proc/PID/environ). For main, after config_load(). */
void config_scrub_environment(void);
