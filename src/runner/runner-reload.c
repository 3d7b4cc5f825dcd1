/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/log.h"
#include "runner/config/config-reload.h"
#include "runner/runner-internal.h"
#include "runner/runner-reload.h"

/* A configuration that is read while the runner runs: parsed as a whole first, then swapped; what needs a restart is
 * named. */

void runner_take_git_settings(Runner *r) {
        r->ctx->git = (GitConfig){
                .cache_dir = r->ctx->git.cache_dir,
                .ca_file = r->config->git.ca_file,
                .known_hosts_file = r->config->git.known_hosts_file,
                .credential_hosts = r->config->git.credential_hosts,
                .token_file = r->config->git.token_file,
                .ssh_key_file = r->config->git.ssh_key_file,
                .username = r->config->git.username,
                .allow_loopback = r->config->git.allow_loopback,
                .timeout_usec = r->config->git.timeout_secs * USEC_PER_SEC,
        };
        memcpy(r->ctx->git.bounds, r->config->git.bounds, sizeof(r->ctx->git.bounds));
}

/* 1: there is another token now. */
static int take_token(Runner *r, RunnerConfig *fresh) {
        char *token, *origin;
        int k;

        if (!r->link || !fresh->token || streq_ptr(fresh->token, r->config->token))
                return 0;
        k = link_set_token(r->link, fresh->token);
        if (k < 0)
                return k;
        token = r->config->token;
        origin = r->config->token_origin;
        r->config->token = fresh->token;
        r->config->token_origin = fresh->token_origin;
        fresh->token = token;
        fresh->token_origin = origin;
        return 1;
}

static bool begins_with_any(char *const *names, const char *const *prefixes) {
        STRV_FOREACH(n, names)
                for (const char *const *p = prefixes; *p; p++)
                        if (startswith(*n, *p))
                                return true;
        return false;
}

/* What changed counts from here on; nothing of this can fail. */
static void apply(Runner *r, char *const *changed) {
        static const char *const announced[] = { "agents", "labels", "maxConversations", NULL };

        if (strv_contains(changed, "debug"))
                log_set_max_level(r->config->debug ? LOG_DEBUG : LOG_INFO);
        limits_clip(&r->config->limits, &r->ceilings.limits);
        runner_take_git_settings(r);
        (void) admission_gate_ask(r->gate);
        if (r->link && begins_with_any(changed, announced))
                link_describe_again(r->link);
        announcer_changed(r->announcer);
}

static int join(Buffer *b, const char *title, char *const *names) {
        const char *separator = title;

        STRV_FOREACH(n, names) {
                int r = buffer_printf(b, "%s%s", separator, *n);

                if (r < 0)
                        return r;
                separator = ", ";
        }
        return 0;
}

static void log_result(char *const *changed, char *const *ignored, bool token) {
        _cleanup_buffer_ Buffer b = {};

        if (join(&b, "; applied: ", changed) >= 0)
                (void) join(&b, "; only after a restart: ", ignored);
        log_full(
                ignored && *ignored ? LOG_WARNING : LOG_NOTICE,
                0,
                NULL,
                "Configuration reloaded%s%s.",
                token ? "; the token has changed" : "",
                b.data && !b.failed ? b.data : "");
}

int runner_reload(Runner *r, char ***ret_ignored, char **ret_error) {
        _cleanup_strv_free_ char **changed = NULL, **ignored = NULL;
        _cleanup_(config_freep) RunnerConfig *fresh = NULL;
        int k, code, token;

        k = config_reload(r->options, environ, r->config, &fresh, &code, ret_error);
        if (k < 0)
                return k;
        k = config_compare(r->config, fresh, &changed, &ignored);
        if (k < 0)
                return k;
        token = take_token(r, fresh);
        if (token < 0)
                return token;
        k = config_take(r->config, fresh);
        if (k < 0)
                return k;
        apply(r, changed);
        log_result(changed, ignored, token > 0);
        if (ret_ignored)
                *ret_ignored = TAKE_PTR(ignored);
        return 0;
}
