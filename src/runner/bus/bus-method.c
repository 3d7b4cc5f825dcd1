/* SPDX-License-Identifier: MIT */
#include "runner/bus/bus-audit.h"
#include "runner/bus/bus-call.h"
#include "runner/bus/bus-method.h"
#include "runner/bus/call-size.h"

static const BusMethod *find_method(const BusMethod *methods, const char *name) {
        while (methods->name && !streq(methods->name, name))
                methods++;
        return methods->name ? methods : NULL;
}

/* Calls that are held until the work is done have small arguments, for every caller. */
static int check_held(sd_bus_message *m, sd_bus_error *error) {
        size_t size;
        int r = call_size(m, BUS_CALL_HELD_MAX, &size);

        return r < 0 || size <= BUS_CALL_HELD_MAX ?
                r :
                bus_error(
                        error,
                        BUS_ERROR_INVALID_ARGUMENT,
                        "The arguments of this method may have at most %zu bytes.",
                        BUS_CALL_HELD_MAX);
}

static int call(const BusMethod *row, const BusRequest *q, sd_bus_error *error) {
        _cleanup_json_ Json *params = json_object_new_object();
        int r = 0;

        if (!params)
                return -ENOMEM;
        if (q->conversation)
                r = json_set_string(params, "conversationId", conversation_id(q->conversation));
        if (r >= 0 && row->parse)
                r = row->parse(q->message, params, error);
        if (r < 0)
                return r;
        return bus_call(
                q->bus_objects, q->message, &q->caller, row->method, TAKE_PTR(params), row->reply, error);
}

/* Not: too many of them at a time, out of memory. */
static bool is_refusal(const sd_bus_error *e) {
        return sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED) ||
                sd_bus_error_has_name(e, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);
}

int bus_method_run(
        BusObjects *b,
        const BusMethod *methods,
        Conversation *c,
        sd_bus_message *m,
        sd_bus_error *error) {
        const BusMethod *row = find_method(methods, strempty(sd_bus_message_get_member(m)));
        BusRequest q = { .bus_objects = b, .conversation = c, .message = m, .caller.uid = (uid_t) -1 };
        int r;

        if (!row)
                return bus_error(error, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method.");
        r = access_check(b->access, m, row->level, c ? conversation_id(c) : "", &q.caller, error);
        if (r < 0 && is_refusal(error))
                bus_audit(b->audit, row, &q, strempty(error->message));
        if (r <= 0)
                return r < 0 ? r : 1;
        bus_audit(b->audit, row, &q, NULL);
        r = row->waits ? check_held(m, error) : 0;
        if (r < 0)
                return r;
        return row->method ? call(row, &q, error) : row->answer(&q, error);
}
