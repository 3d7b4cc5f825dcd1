/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "runner/link/rpc.h"
#include "runner/method/method-control.h"
#include "runner/method/method-drain.h"
#include "runner/method/method-input.h"
#include "runner/method/method-start.h"
#include "runner/method/method.h"
#include "runner/runner-hooks.h"
#include "runner/runner-internal.h"
#include "runner/store/store-inbound.h"
#include "runner/store/transaction.h"

/* The methods of the protocol, for the wire and for D-Bus alike. A method's check changes nothing; its result
 * decides the response; then message, response, cursor and rows go into the store in one transaction; only then does the
 * method act. */

typedef struct Method {
        const char *name;
        void (*check)(MethodCall *c);
        int (*store)(MethodCall *c); /* more rows of the same transaction */
        void (*act)(MethodCall *c);
} Method;

static const Method methods[] = {
        { "conversation.start", method_check_start, method_store_start, method_act_start },
        { "conversation.resume", method_check_resume, method_store_resume, method_act_resume },
        { "conversation.stop", method_check_stop, NULL, method_act_stop },
        { "conversation.interrupt", method_check_interrupt, NULL, method_act_pump },
        { "conversation.config", method_check_config, method_store_config, method_act_config },
        { "conversation.freeze", method_check_freeze, NULL, method_act_freeze },
        { "conversation.thaw", method_check_freeze, NULL, method_act_freeze },
        { "message.user", method_check_user, NULL, method_act_pump },
        { "permission.respond", method_check_respond, method_store_respond, method_act_respond },
        { "runner.ping", method_check_ping, NULL, NULL },
        { "runner.drain", method_check_drain, method_store_drain, method_act_drain },
        { "runner.undrain", method_check_drain, method_store_drain, method_act_drain },
};

static char *response_text(MethodCall *c) {
        _cleanup_json_ Json *error = NULL;

        if (!c->request_id || c->deferred)
                return NULL;
        error = c->code != 0 ? method_error(c) : NULL;
        if (c->code == 0 ? !c->result : !error)
                return NULL;
        return rpc_response(
                c->envelope_id,
                c->request_id,
                c->code == 0 ? json_text(c->result) : NULL,
                error ? json_text(error) : NULL);
}

static int store_call(MethodCall *c, const Method *m) {
        _cleanup_free_ char *response = response_text(c), *params = strdup(json_text(c->params));
        const char *conversation = json_get_string(c->params, "conversationId");
        Store *store = c->runner->store;
        int r;

        if (!params || (c->request_id && !c->deferred && !response))
                return -ENOMEM;
        r = store_accept(
                store,
                &(InboundMessage){
                        .envelope_id = (char *) c->envelope_id,
                        .conversation = (char *) (c->pending ? conversation : NULL),
                        .method = (char *) c->method,
                        .params = params,
                        .request_id = (char *) c->request_id,
                        .response = response,
                        .received_usec = now_usec(CLOCK_REALTIME),
                },
                c->cursor,
                !c->pending,
                &c->seq);
        if (r < 0)
                return r;
        if (r == 0) {
                c->duplicate = true;
                return 0;
        }
        return c->code == 0 && m && m->store ? m->store(c) : 0;
}

int method_accept(MethodCall *c) {
        _cleanup_(transaction_done) Transaction t = {};
        const Method *m = NULL;
        int r;
        LOG_ABOUT(.conversation = json_get_string(c->params, "conversationId"), .task = c->task);

        if (c->runner->ctx->run.broken)
                return -EAGAIN;
        for (size_t i = 0; i < ELEMENTSOF(methods) && !m; i++)
                if (streq(methods[i].name, c->method))
                        m = &methods[i];
        if (m)
                m->check(c);
        else
                method_refuse(
                        c,
                        RPC_METHOD_NOT_FOUND,
                        "method %.*s is not supported by this runner",
                        utf8_cut(c->method, 100),
                        c->method);
        if (c->code != 0)
                c->deferred = c->pending = false;

        r = transaction_begin(c->runner->store, &t);
        if (r < 0)
                return r;
        r = transaction_finish(&t, store_call(c, m));
        if (r < 0) {
                /* A resume has changed the conversation in memory by now. */
                if (c->conversation &&
                    (streq(c->method, "conversation.resume") || streq(c->method, "conversation.config")))
                        runner_store_failed(c->runner, r);
                return r;
        }
        if (c->duplicate)
                return 0;
        if (c->code != 0)
                log_debug("%s %s refused: %s", c->method, c->envelope_id, strempty(c->text));
        else if (m->act)
                m->act(c);
        return 0;
}
