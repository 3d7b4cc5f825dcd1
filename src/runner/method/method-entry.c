/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/link/link.h"
#include "runner/method/method-entry.h"
#include "runner/method/method.h"
#include "runner/runner-adopt.h"

struct LocalCall {
        Methods *methods;
        LocalCall *next;
        int64_t seq;   /* of the message that waits for its response */
        bool floating; /* without an owner: it frees itself */
        MethodReply reply;
        void *userdata;
};

struct Methods {
        Runner *runner;
        LocalCall *calls; /* that wait for their response */
};

/* ---- the wire ---- */

static int on_message(const Envelope *e, void *userdata) {
        Methods *m = userdata;
        _cleanup_(method_call_done) MethodCall c = {
                .runner = m->runner,
                .method = e->method,
                .params = e->params,
                .origin = "orchestrator",
                .envelope_id = e->id,
                .request_id = e->request_id,
                .task = e->task,
                .cursor = e->cursor,
        };
        int r;
        LOG_ABOUT(.conversation = e->conversation ? e->conversation :
                                                    json_get_string(e->params, "conversationId"),
                  .task = e->task);

        /* The envelope names the conversation too; a message without it in its params means that one. */
        if (e->conversation && !json_get(e->params, "conversationId"))
                (void) json_set_string(e->params, "conversationId", e->conversation);
        r = method_accept(&c);
        return r < 0 ? log_warning_errno(r, "Failed to accept message %s, closing the stream: %m", e->id) :
                       0;
}

/* ---- calls from here ---- */

static void on_responded(Conversation *c, int64_t seq, EndReason reason, void *userdata) {
        Methods *m = userdata;

        for (LocalCall **p = &m->calls; *p; p = &(*p)->next) {
                LocalCall *call = *p;
                _cleanup_json_ Json *result = NULL;

                if (call->seq != seq)
                        continue;
                *p = call->next;
                call->next = NULL;
                call->methods = NULL; /* not in the list any more: the caller may still free it */
                result = conversation_stopped_result(c, reason);
                MethodReply reply = call->reply;
                void *data = call->userdata;
                if (call->floating)
                        free(call);
                if (reply)
                        reply(result, NULL, data);
                break;
        }
}

LocalCall *local_call_free(LocalCall *c) {
        if (!c)
                return NULL;
        if (c->methods)
                for (LocalCall **p = &c->methods->calls; *p; p = &(*p)->next)
                        if (*p == c) {
                                *p = c->next;
                                break;
                        }
        free(c);
        return NULL;
}

static int
wait_for_response(Methods *m, int64_t seq, MethodReply reply, void *userdata, LocalCall **ret_call) {
        LocalCall *call = new0(LocalCall, 1);

        if (!call)
                return -ENOMEM;
        *call = (LocalCall){
                .methods = m,
                .next = m->calls,
                .seq = seq,
                .floating = !ret_call,
                .reply = reply,
                .userdata = userdata,
        };
        m->calls = call;
        if (ret_call)
                *ret_call = call;
        return 0;
}

int methods_call(
        Methods *m,
        const char *method,
        Json *params,
        const RunnerCaller *caller,
        MethodReply reply,
        void *userdata,
        LocalCall **ret_call) {
        _cleanup_free_ char *id = xasprintf(
                LOCAL_MESSAGE_PREFIX "%016llx", (unsigned long long) random_u64());
        _cleanup_(method_call_done) MethodCall c = {
                .runner = m->runner,
                .method = method,
                .params = params,
                .origin = "local",
                .caller = caller,
                .envelope_id = id,
        };
        _cleanup_json_ Json *error = NULL;
        int k;

        if (ret_call)
                *ret_call = NULL;
        if (!id)
                return -ENOMEM;
        k = method_accept(&c);
        if (k < 0)
                return k;
        if (c.deferred) {
                /* The end may have come while the method acted. */
                if (conversation_is_live(c.conversation))
                        return wait_for_response(m, c.seq, reply, userdata, ret_call);
                c.result = conversation_stopped_result(c.conversation, c.conversation->row.reason);
        }
        if (c.code != 0)
                error = method_error(&c);
        if (reply)
                reply(c.code == 0 ? c.result : NULL, error, userdata);
        return 0;
}

/* ---- life ---- */

int methods_new(Runner *r, Methods **ret) {
        static const RunnerMethods table = { .message = on_message, .responded = on_responded };
        Methods *m = new0(Methods, 1);

        if (!m)
                return -ENOMEM;
        *m = (Methods){ .runner = r };
        runner_set_methods(r, &table, m);
        *ret = m;
        return 0;
}

Methods *methods_free(Methods *m) {
        if (!m)
                return NULL;
        runner_set_methods(m->runner, NULL, NULL);
        while (m->calls)
                local_call_free(m->calls);
        free(m);
        return NULL;
}
