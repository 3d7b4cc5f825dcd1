/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"

const DriverOps *conversation_driver(Conversation *c, Json *spec) {
        const char *protocol = json_get_string(spec, "protocol");
        const DriverOps *ops;

        /* An older program left that to the configuration. */
        if (!protocol)
                protocol = json_get_string(c->agent_config, "protocol");
        ops = driver_find(protocol ? protocol : c->row.agent);
        return ops ? ops : &none_driver_ops;
}

bool conversation_knows_agent(Conversation *c) {
        return c->agent_config || driver_find(c->row.agent);
}

char *conversation_unknown_agent_text(Conversation *c) {
        return xasprintf(
                        "agent %s is not known here any more: put it back into \"agents\" in the runner's configuration",
                        c->row.agent);
}

char *conversation_unread_run_text(Conversation *c) {
        return xasprintf("what was stored of the run of agent %s cannot be read", c->row.agent);
}

int conversation_new(ConversationContext *ctx, ConversationRow *row_consume, Conversation **ret) {
        Conversation *c = new0(Conversation, 1);
        int r;

        if (!c) {
                conversation_row_done(row_consume);
                return -ENOMEM;
        }
        *c = (Conversation){
                .ctx = ctx,
                .row = *row_consume,
                .send_outfd = -EBADF,
                .local_outfd = -EBADF,
        };
        *row_consume = (ConversationRow){};
        r = conversation_is_live(c) ? conversation_take_params(c) : 0;
        if (r < 0) {
                conversation_free(c);
                return r;
        }
        conversation_take_agent_config(c);
        c->last_event_usec = c->row.created_usec;
        *ret = c;
        return 0;
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
        return c->run ? c->run->row.driven : c->ended.driven;
}

void conversation_take_agent_config(Conversation *c) {
        Json *config = json_object_get(json_get(c->ctx->run.config->agents, c->row.agent));

        json_object_put(c->agent_config);
        c->agent_config = config;
}

Conversation *conversation_free(Conversation *c) {
        if (!c)
                return NULL;
        conversation_events_close(c);
        conversation_send_close(c);
        conversation_stop_forget(c);
        checkout_free(c->checkout);
        run_free(c->run);
        if (c->params)
                json_object_put(c->params);
        json_object_put(c->agent_config);
        conversation_row_done(&c->row);
        free(c->held);
        free(c->last_state);
        free(c->stop_reason);
        free(c->ended.scope);
        free(c->ended.limits);
        free(c);
        return NULL;
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
        return !streq(c->row.state, "ended");
}

const char *conversation_state(Conversation *c) {
        if (!conversation_is_live(c))
                return "ended";
        if (c->stop != STOP_NONE)
                return "stopping";
        if (!streq(c->row.state, "live") || !c->run || !c->run->driver)
                return "starting";
        if (c->frozen)
                return "frozen";
        return driver_phase_to_string(c->run->ops->phase(c->run->driver));
}

const char *conversation_scope(Conversation *c) {
        return strempty(c->run ? c->run->row.unit : c->ended.scope);
}

uint64_t conversation_started_usec(Conversation *c) {
        return c->row.created_usec;
}

uint64_t conversation_last_event_usec(Conversation *c) {
        return c->last_event_usec;
}

void conversation_usage(Conversation *c, DriverUsage *ret) {
        *ret = c->usage;
        if (c->run && c->run->driver)
                c->run->ops->usage(c->run->driver, ret);
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

uint64_t conversation_turns(Conversation *c) {
        DriverUsage u;
        conversation_usage(c, &u);
        return u.turns;
}

uint64_t conversation_input_tokens(Conversation *c) {
        DriverUsage u;
        conversation_usage(c, &u);
        return u.input_tokens;
}

uint64_t conversation_output_tokens(Conversation *c) {
        DriverUsage u;
        conversation_usage(c, &u);
        return u.output_tokens;
}

double conversation_cost_usd(Conversation *c) {
        DriverUsage u;
        conversation_usage(c, &u);
        return u.has_cost ? u.cost_usd : 0;
}

int conversation_store_row(Conversation *c) {
        return store_put_conversation(c->ctx->run.store, &c->row);
}

void conversation_changed(Conversation *c) {
        c->ctx->hooks->changed(c, c->ctx->userdata);
}

int conversation_emit(Conversation *c, const char *message_id, const char *method, const char *members) {
        int64_t seq;
        int r;

        r = store_add_own_event(
                        c->ctx->run.store,
                        c->row.id,
                        c->row.run,
                        conversation_driven(c),
                        message_id,
                        method,
                        members,
                        &seq);
        if (r < 0)
                return r;
        if (c->send)
                event_reader_own_added(c->send);
        c->last_event_usec = now_usec(CLOCK_REALTIME);
        conversation_send_wake(c);
        conversation_events_wake(c);
        return 0;
}

int conversation_emit_state(Conversation *c) {
        const char *state = conversation_state(c);
        _cleanup_free_ char *members = NULL;
        int r;

        if (!conversation_is_live(c) || streq_ptr(state, c->last_state))
                return 0;
        members = xasprintf("\"state\":\"%s\",\"queued\":%u", state, c->n_pending);
        if (!members || free_and_strdup(&c->last_state, state) < 0)
                return -ENOMEM;
        /* "starting" is what the acceptance has said already. */
        r = streq(state, "starting") ? 0 : conversation_emit(c, NULL, "conversation.state", members);
        conversation_changed(c);
        return r;
}

int conversation_report(Conversation *c, const char *code, const char *text, const char *message_id) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, "\"code\":");
        (void) buffer_append_json_str(&b, code);
        (void) buffer_append_str(&b, ",\"text\":");
        (void) buffer_append_json_str(&b, text);
        if (message_id) {
                (void) buffer_append_str(&b, ",\"about\":");
                (void) buffer_append_json_str(&b, message_id);
        }
        if (b.failed)
                return -ENOMEM;
        return conversation_emit(c, NULL, "error.report", b.data);
}

const char *conversation_trusted_by(Conversation *c) {
        const char *rule = c->run ? json_get_string(c->run->spec, "trustedRepository") : NULL;

        return isempty(rule) ? NULL : rule;
}

void conversation_look(Conversation *c) {
        if (c->run)
                run_limits_look_at_filter(c->run);
}
