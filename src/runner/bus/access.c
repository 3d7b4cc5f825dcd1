/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/bus/access.h"
#include "runner/bus/bus-reply.h"
#include "runner/bus/call-size.h"
#include "runner/bus/polkit.h"

typedef struct AccessQuery AccessQuery;

struct AccessQuery {
        AccessQuery *next;
        Access *access;
        sd_bus_message *message;
        size_t size;
        AccessLevel level;
        char *conversation;
        CallerQuery *caller_query;
        PolkitQuery *polkit_query;
        Caller caller;
        bool decided;
        int verdict; /* 0, or negative with error */
        sd_bus_error error;
};

struct Access {
        sd_event *event;
        AccessRules rules;
        CallerNames names;
        AccessQuery *queries;
        sd_event_source *sweep;
};

static void query_free(AccessQuery *q) {
        caller_query_free(q->caller_query);
        polkit_query_free(q->polkit_query);
        sd_bus_error_free(&q->error);
        sd_bus_message_unref(q->message);
        free(q->conversation);
        free(q);
}

static void query_remove(AccessQuery *q) {
        for (AccessQuery **p = &q->access->queries; *p; p = &(*p)->next)
                if (*p == q) {
                        *p = q->next;
                        break;
                }
        query_free(q);
}

/* Runs when there is nothing else to do: what was decided and not fetched belongs to a message whose object went
 * away in the meantime. */
static int on_sweep(sd_event_source *s, void *userdata) {
        Access *a = userdata;

        for (AccessQuery *q = a->queries, *next; q; q = next) {
                next = q->next;
                if (q->decided)
                        query_remove(q);
        }
        return 0;
}

/* The answer is there: the message goes back to its handler. */
static void query_decide(AccessQuery *q, int r, const sd_bus_error *error) {
        q->decided = true;
        q->verdict = r;
        if (r < 0)
                (void) sd_bus_error_copy(&q->error, error);
        r = sd_bus_message_rewind(q->message, true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(sd_bus_message_get_bus(q->message), q->message);
        if (r < 0) {
                log_debug_errno(r, "Failed to dispatch a method call again, refusing it: %m");
                bus_answer_errno(q->message, r);
        }
        r = sd_event_source_set_enabled(q->access->sweep, SD_EVENT_ONESHOT);
        if (r < 0)
                log_debug_errno(r, "Failed to arm the timer that removes decided calls, ignoring: %m");
}

static void on_polkit(int r, const sd_bus_error *error, void *userdata) {
        AccessQuery *q = userdata;

        q->polkit_query = polkit_query_free(q->polkit_query);
        query_decide(q, r, error);
}

static void on_caller(int r, const Caller *caller, const sd_bus_error *error, void *userdata) {
        AccessQuery *q = userdata;
        bool ask;

        q->caller = *caller;
        ask = r >= 0 && q->level == ACCESS_MANAGE && caller->uid != 0 && !q->access->rules.user_mode;
        if (!ask) {
                query_decide(q, r, error);
                q->caller_query = caller_query_free(q->caller_query);
                return;
        }
        q->caller_query = caller_query_free(q->caller_query);
        r = polkit_query(q->message, POLKIT_ACTION_MANAGE, q->conversation, on_polkit, q, &q->polkit_query);
        if (r < 0)
                query_decide(
                        q,
                        r,
                        &SD_BUS_ERROR_MAKE_CONST(
                                SD_BUS_ERROR_ACCESS_DENIED, "Failed to ask polkit for authorization."));
}

/* Is there room for one more of that sender that waits? 0 and its size, or negative with error. */
static int
access_room(Access *a, sd_bus_message *m, const char *sender, size_t *ret_size, sd_bus_error *error) {
        unsigned n = 0, of_sender = 0;
        size_t bytes = 0;
        int r;

        for (AccessQuery *q = a->queries; q; q = q->next) {
                n++;
                bytes += q->size;
                if (streq_ptr(sd_bus_message_get_sender(q->message), sender))
                        of_sender++;
        }
        r = call_size(m, ACCESS_BYTES_MAX, ret_size);
        if (r < 0)
                return r;
        if (n >= ACCESS_QUERIES_MAX || of_sender >= ACCESS_QUERIES_PER_SENDER_MAX ||
            bytes + *ret_size > ACCESS_BYTES_MAX)
                return bus_error(
                        error,
                        SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "Too many calls wait for authorization, try again later.");
        return 0;
}

int access_check(
        Access *a,
        sd_bus_message *m,
        AccessLevel level,
        const char *conversation,
        Caller *ret,
        sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(m);
        AccessQuery *q = a->queries;
        size_t size;
        int r;

        while (q && q->message != m)
                q = q->next;
        if (q) {
                if (!q->decided)
                        return bus_error(
                                error,
                                SD_BUS_ERROR_FAILED,
                                "Internal error: authorization was requested twice.");
                r = q->verdict;
                *ret = q->caller;
                if (r < 0)
                        r = sd_bus_error_copy(error, &q->error);
                query_remove(q);
                return r < 0 ? r : 1;
        }
        if (!sender)
                return bus_error(
                        error, SD_BUS_ERROR_ACCESS_DENIED, "A caller without a bus name cannot be checked.");
        r = access_room(a, m, sender, &size, error);
        if (r < 0)
                return r;
        q = new0(AccessQuery, 1);
        if (!q)
                return -ENOMEM;
        *q = (AccessQuery){
                .next = a->queries,
                .access = a,
                .message = sd_bus_message_ref(m),
                .size = size,
                .level = level,
                .conversation = strdup(conversation),
                .caller.uid = (uid_t) -1,
        };
        a->queries = q;
        r = q->conversation ? caller_query(
                                      sd_bus_message_get_bus(m),
                                      &a->rules,
                                      &a->names,
                                      sender,
                                      on_caller,
                                      q,
                                      &q->caller_query) :
                              -ENOMEM;
        if (r < 0) {
                query_remove(q);
                return r;
        }
        return 0;
}

int access_new(sd_event *event, bool user_mode, Access **ret) {
        _cleanup_(access_freep) Access *a = new0(Access, 1);
        int r;

        if (!a)
                return -ENOMEM;
        a->event = sd_event_ref(event);
        r = access_rules_load(user_mode, &a->rules);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &a->sweep, on_sweep, a);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(a->sweep, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(a->sweep, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(a->sweep, "bus-access-sweep");
        *ret = TAKE_PTR(a);
        return 0;
}

Access *access_free(Access *a) {
        if (!a)
                return NULL;
        while (a->queries)
                query_remove(a->queries);
        sd_event_source_disable_unref(a->sweep);
        sd_event_unref(a->event);
        access_rules_done(&a->rules);
        free(a);
        return NULL;
}

AccessRules *access_get_rules(Access *a) {
        return &a->rules;
}
