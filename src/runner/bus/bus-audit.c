/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/bus/bus-audit.h"
#include "runner/runner-audit.h"

/* The audit record of calls. A call that changes something has a line of its own. A call that only reads (a client that
 * follows events makes ten a second) and a call that is refused (which must not fill disk and journal) has a line at
 * once; those that follow it within a minute have one line together when the minute is over. */

#define HOLD_USEC (60 * USEC_PER_SEC)
#define HELD_MAX 64

typedef struct HeldCall {
        /* what makes two calls alike; all refusals of a uid are */
        Caller caller;
        bool refused;
        const char *method;
        char *conversation;

        char *why;
        uint64_t since_usec; /* of the last line; 0: this one is free */
        uint64_t count;      /* since then */
} HeldCall;

struct BusAudit {
        BusObjects *bus_objects;
        sd_event_source *timer;
        HeldCall held[HELD_MAX];
};

static void write_line(
        BusObjects *b,
        const Caller *caller,
        bool refused,
        bool minor,
        const char *method,
        const char *conversation,
        const char *why,
        uint64_t count) {
        RunnerCaller who = {
                .uid = caller->uid, .pid = caller->pid, .comm = caller->comm, .unit = caller->unit
        };

        runner_audit(
                b->runner,
                &(AuditEntry){
                        .kind = "call",
                        .verdict = refused ? "refused" : "allowed",
                        .caller = &who,
                        .method = method,
                        .conversation = conversation,
                        .detail = why,
                        .minor = minor,
                        .count = count,
                });
}

static void write_held(BusAudit *a, HeldCall *h) {
        if (h->count > 0)
                write_line(
                        a->bus_objects,
                        &h->caller,
                        h->refused,
                        true,
                        h->method,
                        h->conversation,
                        h->why,
                        h->count);
        h->count = 0;
}

static void held_clear(HeldCall *h) {
        free(h->conversation);
        free(h->why);
        *h = (HeldCall){};
}

static void arm(BusAudit *a) {
        if (!oneshot_is_armed(a->timer))
                oneshot_arm(a->timer, HOLD_USEC);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        BusAudit *a = userdata;
        bool more = false;

        for (size_t i = 0; i < HELD_MAX; i++) {
                HeldCall *h = a->held + i;

                if (h->since_usec == 0)
                        continue;
                if (now - h->since_usec < HOLD_USEC)
                        more = true;
                else if (h->count > 0) {
                        write_held(a, h);
                        h->since_usec = now;
                        more = true;
                } else
                        held_clear(h);
        }
        if (more)
                arm(a);
        return 0;
}

static bool is_alike(const HeldCall *h, const BusRequest *q, bool refused, const char *method) {
        if (h->since_usec == 0 || h->refused != refused || h->caller.uid != q->caller.uid)
                return false;
        return refused ||
                (streq(h->method, method) && streq(h->caller.unit, q->caller.unit) &&
                 streq_ptr(h->conversation, q->conversation ? conversation_id(q->conversation) : NULL));
}

/* A free one, else the one that is waiting longest. */
static HeldCall *find_room(BusAudit *a) {
        HeldCall *oldest = a->held;

        for (size_t i = 0; i < HELD_MAX; i++)
                if (a->held[i].since_usec < oldest->since_usec)
                        oldest = a->held + i;
        write_held(a, oldest);
        held_clear(oldest);
        return oldest;
}

void bus_audit(BusAudit *a, const BusMethod *row, const BusRequest *q, const char *refusal) {
        const char *conversation = q->conversation ? conversation_id(q->conversation) : NULL;
        bool refused = refusal, minor = refused || row->reads_only;
        HeldCall *h;

        if (!refused && row->level == ACCESS_LIST)
                return;
        if (minor) {
                for (size_t i = 0; i < HELD_MAX; i++)
                        if (is_alike(a->held + i, q, refused, row->name)) {
                                a->held[i].count++;
                                arm(a);
                                return;
                        }
                h = find_room(a);
                *h = (HeldCall){
                        .caller = q->caller,
                        .refused = refused,
                        .method = row->name,
                        .conversation = conversation ? strdup(conversation) : NULL,
                        .why = refused ? strdup(refusal) : NULL,
                        .since_usec = now_usec(CLOCK_MONOTONIC),
                };
                arm(a);
        }
        write_line(a->bus_objects, &q->caller, refused, minor, row->name, conversation, refusal, 1);
}

int bus_audit_new(BusObjects *b, BusAudit **ret) {
        _cleanup_(freep) BusAudit *a = new0(BusAudit, 1);
        int r;

        if (!a)
                return -ENOMEM;
        a->bus_objects = b;
        r = oneshot_new(runner_get_event(b->runner), "bus-audit", on_timer, a, &a->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

BusAudit *bus_audit_free(BusAudit *a) {
        if (!a)
                return NULL;
        for (size_t i = 0; i < HELD_MAX; i++) {
                write_held(a, a->held + i);
                held_clear(a->held + i);
        }
        sd_event_source_disable_unref(a->timer);
        free(a);
        return NULL;
}
