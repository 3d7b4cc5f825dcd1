/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/bus/bus-call.h"

/* A call into the runner whose reply may come at once, in an hour, or never (then the daemon ends first). */
struct BusCall {
        BusCall *next;
        BusObjects *bus_objects;
        sd_bus_message *request;
        LocalCall *call;
        BusReply reply;
        bool starting; /* methods_call() has not returned */
        bool replied;
};

/* The D-Bus error of a JSON-RPC error object; negative. */
static int set_error(sd_bus_error *error, Json *e) {
        const char *message = json_get_string(e, "message"),
                   *detail = json_get_string(json_get(e, "data"), "detail");
        const char *name = rpc_code_bus_error(json_object_get_int64(json_get(e, "code")));

        if (isempty(message))
                message = "Unknown error";
        bool both = !isempty(detail) && !streq(detail, message);
        (void) bus_error(error, name, "%s%s%s", message, both ? ": " : "", both ? detail : "");
        /* sd-bus maps a name that it does not know to -EIO. */
        return -EIO;
}

static void bus_call_free(BusCall *c) {
        BusObjects *b = c->bus_objects;

        for (BusCall **p = &b->calls; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        b->n_calls--;
                        break;
                }
        /* Harmless after the reply; before it, the reply will not come. */
        local_call_free(c->call);
        sd_bus_message_unref(c->request);
        free(c);
}

static void on_reply(Json *result, Json *error, void *userdata) {
        BusCall *c = userdata;
        int r;

        c->replied = true;
        if (error) {
                _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

                (void) set_error(&e, error);
                bus_answer_error(c->request, e.name, e.message);
        } else {
                r = c->reply ? c->reply(c->request, result) : bus_answer(c->request, "");
                if (r < 0)
                        bus_answer_errno(c->request, r);
        }
        if (!c->starting)
                bus_call_free(c);
}

int bus_call(
        BusObjects *b,
        sd_bus_message *request,
        const Caller *caller,
        const char *method,
        Json *params_consume,
        BusReply reply,
        sd_bus_error *error) {
        _cleanup_json_ Json *params = params_consume;
        RunnerCaller who = {
                .uid = caller->uid, .pid = caller->pid, .comm = caller->comm, .unit = caller->unit
        };
        BusCall *c;
        int r;

        if (!params)
                return -ENOMEM;
        if (b->n_calls >= BUS_CALLS_MAX)
                return bus_error(
                        error,
                        SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "Too many calls are in progress, try again later.");
        c = new0(BusCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (BusCall){
                .next = b->calls,
                .bus_objects = b,
                .request = sd_bus_message_ref(request),
                .reply = reply,
                .starting = true,
        };
        b->calls = c;
        b->n_calls++;
        r = methods_call(b->methods, method, params, &who, on_reply, c, &c->call);
        c->starting = false;
        if (c->replied) {
                bus_call_free(c);
                return 1;
        }
        if (r < 0) {
                bus_call_free(c);
                return bus_error_errno(error, r);
        }
        return 1;
}

void bus_calls_cancel(BusObjects *b) {
        while (b->calls)
                bus_call_free(b->calls);
}
