/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "common/repository-rule.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-spec.h"
#include "runner/store/store-conversation.h"

static int copy_members(Json *to, Json *from, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Json *v = json_get(from, names[i]);
                int r = v ? json_set(to, names[i], json_object_get(v)) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Returns the longest line whose event fits in a body that the orchestrator accepts. The value is a part of the spec,
 * since it decides which events there are in the output: reading that again makes the same events, whatever the
 * orchestrator accepts by then. */
static uint64_t line_max(Conversation *c) {
        _cleanup_free_ char *text = NULL;
        uint64_t body;

        if (streq(c->row.origin, "local") ||
            store_get(c->ctx->run.store, STORE_MAX_BODY_BYTES, &text) <= 0 || safe_atou64(text, &body) < 0)
                return DRIVER_LINE_MAX;
        return driver_line_max_of_body(body);
}

/* Returns the rule by which the configuration trusts the repository or directory of the conversation, or NULL. A
 * conversation with neither works in the workspace's own directory, where agents alone write. */
static const char *find_rule(Conversation *c) {
        Json *repository = json_get(c->params, "repository");
        _cleanup_giturl_ GitUrl url = {};

        if (repository && giturl_parse(json_get_string(repository, "url"), &url, NULL) < 0)
                return NULL;
        STRV_FOREACH(rule, c->ctx->run.config->trusted_repositories)
                if (repository               ? repository_rule_matches_url(*rule, &url) :
                            c->row.directory ? repository_rule_matches_directory(*rule, c->row.directory) :
                                               false)
                        return *rule;
        return NULL;
}

/* Reports whether the previous run was started as trusted by a rule: 1, or 0. */
static int was_trusted(Conversation *c) {
        _cleanup_(run_row_done) RunRow row = {};
        _cleanup_json_ Json *spec = NULL;
        int r;

        r = store_get_run(c->ctx->run.store, c->row.id, c->row.run, &row);
        if (r <= 0)
                return r;
        r = json_parse_from(JSON_OF_STORE, row.spec, strlen(row.spec), &spec, NULL);
        return r < 0 ? r : !isempty(json_get_string(spec, "trustedRepository"));
}

/* Trust is decided once, at the start, and shown as such: a rule that is added later has no effect on a conversation
 * that began without it. A rule that is removed has none from the next run on. */
static int add_trust(Conversation *c, Json *spec) {
        const char *rule = find_rule(c);
        int r = rule && c->row.run > 0 ? was_trusted(c) : 1;

        return r <= 0 || !rule ? r : json_set_string(spec, "trustedRepository", rule);
}

int conversation_make_spec(Conversation *c, const char *resume_session, Json **ret) {
        static const char *const names[] = {
                "model",        "appendSystemPrompt", "permissionMode",
                "allowedTools", "disallowedTools",    "mcpServers",
                "env",          "forkSession",
        };
        _cleanup_json_ Json *spec = json_object_new_object();
        char session[UUID_SIZE];
        int r;

        if (!spec)
                return -ENOMEM;
        r = json_set_u64(spec, "version", 1);
        if (r >= 0)
                r = json_set_string(spec, "conversationId", c->row.id);
        /* The protocol makes the spec readable without the configuration, which may have changed by then. */
        if (r >= 0)
                r = json_set_string(spec, "protocol", conversation_driver(c, NULL)->name);
        if (r >= 0)
                r = copy_members(spec, c->params, names, ELEMENTSOF(names));
        if (r < 0)
                return r;
        r = add_trust(c, spec);
        if (r < 0)
                return r;
        uuid_make(session);
        r = json_set_string(spec, "sessionId", session);
        if (r < 0)
                return r;
        if (!resume_session)
                resume_session = json_get_string(c->params, "resumeSessionId");
        r = json_set_string(spec, "resumeSessionId", resume_session);
        if (r >= 0)
                r = json_set_u64(spec, "lineMax", line_max(c));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(spec);
        return 0;
}
