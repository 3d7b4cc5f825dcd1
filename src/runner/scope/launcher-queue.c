/* SPDX-License-Identifier: MIT */
#include <systemd/sd-event.h>

#include "common/log.h"
#include "runner/scope/launcher-queue.h"

typedef struct Order Order;
typedef struct Unit Unit;

/* It is in one list at a time: what waits for its unit, what is under way for it, or the queue's answers. */
struct Order {
        Order *next;
        LauncherQueue *queue;
        Unit *unit; /* NULL: it was canceled, the unit may be gone */
        LauncherVerb verb;
        LauncherLimit *limits; /* one block with the names */
        size_t n_limits;
        LauncherOrderDone done;
        void *userdata;
        LauncherCall *call;
        /* the answer */
        int error;
        char *text;
};

/* Known while something is under way or its answer has yet to be delivered; so what waits has always something to wait for. */
struct Unit {
        Unit *next;
        char *name;
        Order *under_way, *waiting;
        unsigned n_waiting;
        unsigned n_sent; /* under way, or answered and not delivered */
};

struct LauncherQueue {
        sd_bus *bus;
        /* Delivers the answers, one in each turn: a done that orders again what fails again holds up no other source. */
        sd_event_source *delivery;
        Unit *units;
        Order *answers; /* the oldest first */
        bool delivering;
        bool freed; /* while it delivers */
};

const char *launcher_verb_to_string(LauncherVerb verb) {
        static const char *const names[] = {
                [LAUNCHER_STOP] = "Stop",       [LAUNCHER_KILL] = "Kill",
                [LAUNCHER_FREEZE] = "Freeze",   [LAUNCHER_THAW] = "Thaw",
                [LAUNCHER_COLLECT] = "Collect", [LAUNCHER_SET_LIMITS] = "SetLimits",
        };

        static_assert(ELEMENTSOF(names) == _LAUNCHER_VERB_MAX, "a verb has no name");
        assert(verb < _LAUNCHER_VERB_MAX);
        return names[verb];
}

/* ---- orders and units ---- */

static Order *order_free(Order *o) {
        if (!o)
                return NULL;
        launcher_call_free(o->call);
        free(o->limits);
        free(o->text);
        free(o);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Order *, order_free);

static void append(Order **list, Order *o) {
        while (*list)
                list = &(*list)->next;
        o->next = NULL;
        *list = o;
}

static Order *take_first(Order **list) {
        Order *o = *list;

        *list = o->next;
        return o;
}

static void take_out(Order **list, const Order *o) {
        while (*list != o)
                list = &(*list)->next;
        *list = o->next;
}

static void free_list(Order **list) {
        while (*list)
                order_free(take_first(list));
}

/* The names behind the array, in the same block. */
static int copy_limits(const LauncherLimit *limits, size_t n, LauncherLimit **ret) {
        size_t size = n * sizeof(LauncherLimit);
        LauncherLimit *copy;
        char *end;

        for (size_t i = 0; i < n; i++)
                size += strlen(limits[i].name) + 1;
        copy = malloc(MAX(size, (size_t) 1));
        if (!copy)
                return -ENOMEM;
        end = (char *) (copy + n);
        for (size_t i = 0; i < n; i++) {
                copy[i] = (LauncherLimit){ .name = end, .value = limits[i].value };
                end = stpcpy(end, limits[i].name) + 1;
        }
        *ret = copy;
        return 0;
}

static Unit *find_unit(const LauncherQueue *q, const char *name) {
        for (Unit *u = q->units; u; u = u->next)
                if (streq(u->name, name))
                        return u;
        return NULL;
}

static int add_unit(LauncherQueue *q, const char *name, Unit **ret) {
        Unit *u = new0(Unit, 1);
        char *copy = strdup(name);

        if (!u || !copy) {
                free(u);
                free(copy);
                return -ENOMEM;
        }
        *u = (Unit){ .next = q->units, .name = copy };
        q->units = *ret = u;
        return 0;
}

static void free_unit(LauncherQueue *q, Unit *u) {
        Unit **p = &q->units;

        while (*p != u)
                p = &(*p)->next;
        *p = u->next;
        free_list(&u->under_way);
        free_list(&u->waiting);
        free(u->name);
        free(u);
}

/* ---- answers ---- */

static void answer(Order *o, int error, const char *text) {
        o->error = error;
        o->text = text ? strdup(text) : NULL; /* without memory it is an error without a text */
        append(&o->queue->answers, o);
        (void) sd_event_source_set_enabled(o->queue->delivery, SD_EVENT_ONESHOT);
}

static void on_reply(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Order *o = userdata;

        take_out(&o->unit->under_way, o);
        answer(o, error, text);
}

static int call(Order *o) {
        sd_bus *bus = o->queue->bus;
        const char *unit = o->unit->name;

        return o->verb == LAUNCHER_SET_LIMITS ?
                launcher_set_limits(bus, unit, o->limits, o->n_limits, on_reply, o, &o->call) :
                launcher_unit_verb(bus, launcher_verb_to_string(o->verb), unit, on_reply, o, &o->call);
}

/* Does not fail: that it cannot be sent is its answer. */
static void send_order(Order *o) {
        Unit *u = o->unit;
        int r;

        u->n_sent++;
        r = call(o);
        if (r < 0)
                answer(o, r, NULL);
        else
                append(&u->under_way, o);
}

static Order *take_waiting(Unit *u) {
        u->n_waiting--;
        return take_first(&u->waiting);
}

/* An answer was delivered: the next one's turn, or there is nothing more to know of the unit. */
static void advance(LauncherQueue *q, Unit *u) {
        u->n_sent--;
        if (u->n_sent > 0)
                return;
        if (u->waiting)
                send_order(take_waiting(u));
        else
                free_unit(q, u);
}

/* Of an order for whose answer nothing waits. A scope that is not there has nothing to kill. */
static void log_failure(const Order *o) {
        log_full(
                o->verb == LAUNCHER_KILL && o->error != -ENOENT ? LOG_WARNING : LOG_DEBUG,
                o->error,
                NULL,
                "%s of %s failed: %s",
                launcher_verb_to_string(o->verb),
                o->unit ? o->unit->name : "a unit",
                o->text ? o->text : strerrordesc_np(-o->error));
}

static int on_delivery(sd_event_source *source, void *userdata) {
        LauncherQueue *q = userdata;
        _cleanup_(order_freep) Order *o = take_first(&q->answers);

        q->delivering = true;
        if (o->done)
                o->done(o->verb, o->error, o->text, o->userdata);
        else if (o->error < 0)
                log_failure(o);
        q->delivering = false;
        if (q->freed) {
                free(q);
                return 0;
        }
        if (o->unit)
                advance(q, o->unit);
        if (q->answers)
                (void) sd_event_source_set_enabled(q->delivery, SD_EVENT_ONESHOT);
        return 0;
}

/* ---- what is exported ---- */

LauncherQueue *launcher_queue_free(LauncherQueue *q) {
        if (!q)
                return NULL;
        /* A call that is freed was sent nevertheless, and its reply is ignored. (A call without an owner would keep the
         * bus until the reply.) */
        for (Unit *u = q->units; u; u = u->next)
                for (Order *o = u->waiting; o; o = o->next)
                        (void) call(o);
        while (q->units)
                free_unit(q, q->units);
        free_list(&q->answers);
        q->delivery = sd_event_source_disable_unref(q->delivery);
        q->bus = sd_bus_unref(q->bus);
        /* From inside a done callback: on_delivery() checks again. */
        if (q->delivering)
                q->freed = true;
        else
                free(q);
        return NULL;
}

int launcher_queue_new(sd_bus *bus, LauncherQueue **ret) {
        _cleanup_(launcher_queue_freep) LauncherQueue *q = NULL;
        sd_event *event = sd_bus_get_event(bus);
        int r;

        if (!event)
                return -EINVAL;
        q = new0(LauncherQueue, 1);
        if (!q)
                return -ENOMEM;
        q->bus = sd_bus_ref(bus);
        r = sd_event_add_defer(event, &q->delivery, on_delivery, q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->delivery, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(q->delivery, "launcher-answers");
        *ret = TAKE_PTR(q);
        return 0;
}

/* Those that end a scope: there is nothing for them to wait for, and nothing to do for those that wait. */
static bool is_at_once(LauncherVerb verb) {
        return verb == LAUNCHER_KILL || verb == LAUNCHER_STOP || verb == LAUNCHER_COLLECT;
}

static void cancel_waiting(Unit *u) {
        while (u->waiting) {
                Order *o = take_waiting(u);

                o->unit = NULL;
                answer(o, -ECANCELED, NULL);
        }
}

int launcher_order(
        LauncherQueue *q,
        const char *unit,
        LauncherVerb verb,
        const LauncherLimit *limits,
        size_t n_limits,
        LauncherOrderDone done,
        void *userdata) {
        _cleanup_(order_freep) Order *o = NULL;
        Unit *u;
        int r;

        assert(verb < _LAUNCHER_VERB_MAX);
        if (isempty(unit))
                return -EINVAL;
        u = find_unit(q, unit);
        if (u && (is_at_once(verb) ? u->n_sent : u->n_waiting) >= LAUNCHER_WAITING_MAX)
                return -EBUSY;
        o = new0(Order, 1);
        if (!o)
                return -ENOMEM;
        *o = (Order){ .queue = q, .verb = verb, .done = done, .userdata = userdata };
        if (verb == LAUNCHER_SET_LIMITS) {
                r = copy_limits(limits, n_limits, &o->limits);
                if (r < 0)
                        return r;
                o->n_limits = n_limits;
        }
        if (!u) {
                r = add_unit(q, unit, &u);
                if (r < 0)
                        return r;
        }
        o->unit = u;
        if (is_at_once(verb))
                cancel_waiting(u);
        else if (u->n_sent > 0) {
                append(&u->waiting, TAKE_PTR(o));
                u->n_waiting++;
                return 0;
        }
        send_order(TAKE_PTR(o));
        return 0;
}

bool launcher_has_room(const LauncherQueue *q, const char *unit) {
        Unit *u = unit ? find_unit(q, unit) : NULL;

        return !u || u->n_waiting < LAUNCHER_WAITING_MAX;
}

void launcher_cancel(LauncherQueue *q, const char *unit) {
        Unit *u = unit ? find_unit(q, unit) : NULL;

        if (u)
                cancel_waiting(u);
}

bool launcher_has_order(const LauncherQueue *q, const char *unit, LauncherVerb verb) {
        Unit *u = unit ? find_unit(q, unit) : NULL;

        if (!u)
                return false;
        for (Order *o = u->under_way; o; o = o->next)
                if (o->verb == verb)
                        return true;
        for (Order *o = u->waiting; o; o = o->next)
                if (o->verb == verb)
                        return true;
        return false;
}

static void silence(Order *list, const void *userdata) {
        for (Order *o = list; o; o = o->next)
                if (o->userdata == userdata) {
                        o->done = NULL;
                        o->userdata = NULL;
                }
}

void launcher_forget(LauncherQueue *q, void *userdata) {
        if (!userdata)
                return;
        silence(q->answers, userdata);
        for (Unit *u = q->units; u; u = u->next) {
                silence(u->under_way, userdata);
                silence(u->waiting, userdata);
        }
}

void launcher_queue_count(const LauncherQueue *q, unsigned *ret_under_way, unsigned *ret_waiting) {
        *ret_under_way = *ret_waiting = 0;
        for (Unit *u = q->units; u; u = u->next) {
                *ret_waiting += u->n_waiting;
                for (Order *o = u->under_way; o; o = o->next)
                        (*ret_under_way)++;
        }
}
