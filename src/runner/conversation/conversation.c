/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/run/run-agent.h"
#include "runner/run/run-limits.h"
#include "runner/store/store-conversation.h"

const DriverOps *conversation_driver(Conversation *c, Json *spec) {
        return run_agent_driver(c->row.agent, c->agent_config, spec);
}

bool conversation_knows_agent(Conversation *c) {
        return c->agent_config || driver_find(c->row.agent);
}

int conversation_all_params(Conversation *c, Json **ret) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        const char *text = c->row.params;
        int r;

        if (!text) {
                r = store_get_conversation(c->ctx->run.store, c->row.id, &row);
                if (r <= 0)
                        return r < 0 ? r : -ENOENT;
                text = row.params;
        }
        return json_parse_from(JSON_OF_STORE, text, strlen(text), ret, NULL);
}

int conversation_take_params(Conversation *c) {
        int r;

        if (c->params)
                return 0;
        r = conversation_all_params(c, &c->params);
        if (r < 0)
                return r;
        /* It is the agent's by a message of its own, and may be long. */
        json_object_object_del(c->params, "prompt");
        return 0;
}

void conversation_shrink(Conversation *c) {
        if (c->params)
                json_object_put(c->params);
        c->params = NULL;
        free(c->row.params);
        c->row.params = NULL;
}

uint64_t conversation_driven(Conversation *c) {
        return c->run ? run_row(c->run)->driven : c->ended.driven;
}

void conversation_take_agent_config(Conversation *c) {
        Json *config = json_object_get(json_get(c->ctx->run.config->agents, c->row.agent));

        json_object_put(c->agent_config);
        c->agent_config = config;
}

const char *conversation_id(Conversation *c) {
        return c->row.id;
}

const char *conversation_task(Conversation *c) {
        return strempty(c->row.task);
}

const char *conversation_agent(Conversation *c) {
        return c->row.agent;
}

bool conversation_is_live(Conversation *c) {
        return c->row.state != CONVERSATION_ENDED;
}

bool conversation_is_stopping(const Conversation *c) {
        return c->stop.cause != STOP_BY_NONE;
}

ConversationPhase conversation_phase(Conversation *c) {
        static const ConversationPhase phases[] = {
                [DRIVER_STARTING] = PHASE_STARTING,
                [DRIVER_IDLE] = PHASE_IDLE,
                [DRIVER_RUNNING] = PHASE_RUNNING,
                [DRIVER_WAITING_PERMISSION] = PHASE_WAITING_PERMISSION,
        };

        if (!conversation_is_live(c))
                return PHASE_ENDED;
        if (conversation_is_stopping(c))
                return PHASE_STOPPING;
        if (c->row.state != CONVERSATION_LIVE || !c->run)
                return PHASE_STARTING;
        if (run_is_frozen(c->run))
                return PHASE_FROZEN;
        return phases[run_phase(c->run)];
}

const char *conversation_state(Conversation *c) {
        static const char *const names[_PHASE_MAX] = {
                [PHASE_STARTING] = "starting",
                [PHASE_FROZEN] = "frozen",
                [PHASE_STOPPING] = "stopping",
                [PHASE_ENDED] = "ended",
        };
        const char *name = names[conversation_phase(c)];

        return name ? name : driver_phase_to_string(run_phase(c->run));
}

bool conversation_is_frozen(Conversation *c) {
        return c->run && run_is_frozen(c->run);
}

const char *conversation_scope(Conversation *c) {
        return strempty(c->run ? run_row(c->run)->unit : c->ended.scope);
}

uint64_t conversation_started_usec(Conversation *c) {
        return c->row.created_usec;
}

uint64_t conversation_last_event_usec(Conversation *c) {
        return c->last_event_usec;
}

void conversation_usage(Conversation *c, DriverUsage *ret) {
        *ret = c->ended.usage;
        if (c->run)
                run_usage(c->run, ret);
}

Json *conversation_usage_json(Conversation *c) {
        Json *u = json_object_new_object();
        DriverUsage usage;

        if (!u)
                return NULL;
        conversation_usage(c, &usage);
        (void) json_set_u64(u, "turns", usage.turns);
        (void) json_set_u64(u, "inputTokens", usage.input_tokens);
        (void) json_set_u64(u, "outputTokens", usage.output_tokens);
        (void) json_set_u64(u, "cacheReadTokens", usage.cache_read_tokens);
        (void) json_set_u64(u, "cacheWriteTokens", usage.cache_write_tokens);
        if (usage.has_cost)
                (void) json_set(u, "costUsd", json_object_new_double(usage.cost_usd));
        return u;
}

static DriverUsage usage_of(Conversation *c) {
        DriverUsage u;

        conversation_usage(c, &u);
        return u;
}

uint64_t conversation_turns(Conversation *c) {
        return usage_of(c).turns;
}

uint64_t conversation_input_tokens(Conversation *c) {
        return usage_of(c).input_tokens;
}

uint64_t conversation_output_tokens(Conversation *c) {
        return usage_of(c).output_tokens;
}

double conversation_cost_usd(Conversation *c) {
        DriverUsage u = usage_of(c);

        return u.has_cost ? u.cost_usd : 0;
}

int conversation_store_row(Conversation *c) {
        return store_put_conversation(c->ctx->run.store, &c->row);
}

const char *conversation_trusted_by(Conversation *c) {
        const char *rule = c->run ? json_get_string(run_spec(c->run), "trustedRepository") : NULL;

        return isempty(rule) ? NULL : rule;
}

void conversation_check_filter(Conversation *c) {
        LOG_ABOUT_CONVERSATION(c);

        if (c->run)
                run_limits_check_filter(c->run);
}
