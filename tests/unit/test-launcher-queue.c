/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

#include "runner/scope/launcher-queue.h"

#define CALLS_MAX 64

/* The queue over a socket pair, with a launcher that answers when it is asked to. */
typedef struct Fixture {
        sd_event *event;
        sd_bus *client, *server;
        bool client_gone; /* nobody holds it any more */
        LauncherQueue *queue;

        sd_bus_message *calls[CALLS_MAX]; /* to the launcher, in the order in which they came */
        int n_calls;
        char *sent; /* the same as text: "Freeze a, Kill a, " */

        char *done; /* in the order in which they came: "Freeze 0, Kill -13 because, " */
        int n_done, depth;
        int n_units;  /* that were ordered for by order_for_many() */
        bool may_run; /* a done, as the loop turns */
        void (*act)(struct Fixture *f);
} Fixture;

/* One order's userdata, where it is not the fixture. */
typedef struct Owner {
        Fixture *f;
        int n_done;
} Owner;

static void add(char **text, char *more_consume) {
        char *longer;

        assert_non_null(more_consume);
        longer = xasprintf("%s%s, ", strempty(*text), more_consume);
        assert_non_null(longer);
        free(more_consume);
        free(*text);
        *text = longer;
}

static void expect_text(char **text, const char *expected) {
        assert_string_equal(strempty(*text), expected);
        *text = (free(*text), NULL);
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *member = sd_bus_message_get_member(m), *unit, *limit;
        Fixture *f = userdata;
        uint64_t number;

        assert_true(f->n_calls < CALLS_MAX);
        f->calls[f->n_calls++] = sd_bus_message_ref(m);
        assert_true(sd_bus_message_read(m, "s", &unit) > 0);
        if (!streq(member, "SetLimits")) {
                add(&f->sent, xasprintf("%s %s", member, unit));
                return 1;
        }
        assert_true(sd_bus_message_read(m, "a{st}", 1, &limit, &number) > 0);
        add(&f->sent, xasprintf("%s %s %s=%llu", member, unit, limit, (unsigned long long) number));
        return 1;
}

static void on_done(LauncherVerb verb, int error, const char *text, void *userdata) {
        Fixture *f = userdata;

        assert_true(f->may_run);
        assert_int_equal(f->depth, 0);
        f->depth++;
        f->n_done++;
        add(&f->done,
            text ? xasprintf("%s %i %s", launcher_verb_to_string(verb), error, text) :
                   xasprintf("%s %i", launcher_verb_to_string(verb), error));
        if (f->act)
                f->act(f);
        f->depth--;
}

static void on_owner_done(LauncherVerb verb, int error, const char *text, void *userdata) {
        Owner *o = userdata;

        o->n_done++;
        on_done(verb, error, text, o->f);
}

static int on_any_message(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        return 0;
}

static void on_client_gone(void *userdata) {
        Fixture *f = userdata;

        f->client_gone = true;
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);
        sd_bus_slot *slot;
        int fds[2];
        sd_id128_t id;

        *state = f;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_true(sd_id128_randomize(&id) >= 0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_true(sd_bus_new(&f->server) >= 0);
        assert_true(sd_bus_set_fd(f->server, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_set_server(f->server, true, id) >= 0);
        assert_true(sd_bus_new(&f->client) >= 0);
        assert_true(sd_bus_set_fd(f->client, fds[1], fds[1]) >= 0);
        assert_true(sd_bus_start(f->server) >= 0);
        assert_true(sd_bus_start(f->client) >= 0);
        /* Answers need a loop. */
        assert_int_equal(launcher_queue_new(f->client, &f->queue), -EINVAL);
        assert_true(sd_bus_attach_event(f->server, f->event, 0) >= 0);
        assert_true(sd_bus_attach_event(f->client, f->event, 0) >= 0);
        assert_true(sd_bus_add_object(f->server, NULL, "/org/northflare/Launcher1", on_call, f) >= 0);
        /* Something that goes with the bus itself. */
        assert_true(sd_bus_add_filter(f->client, &slot, on_any_message, f) >= 0);
        assert_true(sd_bus_slot_set_destroy_callback(slot, on_client_gone) >= 0);
        assert_true(sd_bus_slot_set_floating(slot, true) >= 0);
        sd_bus_slot_unref(slot);
        assert_int_equal(launcher_queue_new(f->client, &f->queue), 0);
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;
        bool gone;

        launcher_queue_free(f->queue);
        /* Nothing is flushed: where a test has failed, the two ends may not even have met. */
        sd_bus_close_unref(f->client);
        for (int i = 0; i < f->n_calls; i++)
                sd_bus_message_unref(f->calls[i]);
        sd_bus_close_unref(f->server);
        sd_event_unref(f->event);
        gone = f->client_gone;
        free(f->sent);
        free(f->done);
        free(f);
        /* The queue has given back its reference, whatever was under way. */
        assert_true(gone);
        return 0;
}

/* One turn of the loop, of which there may be nothing to do (0). */
static int turn(Fixture *f) {
        int r;

        f->may_run = true;
        r = sd_event_run(f->event, 0);
        f->may_run = false;
        assert_true(r >= 0);
        return r;
}

/* Turns the loop until there is nothing more to do: both sides are in this process. */
static void settle(Fixture *f) {
        for (int i = 0; i < 1000; i++)
                if (turn(f) == 0)
                        return;
        fail_msg("the loop does not come to rest");
}

/* The launcher's answer to a call (the first one is 0): an error's name, or NULL. The loop is not turned. */
static void reply(Fixture *f, int call, const char *error) {
        assert_true(call < f->n_calls);
        if (error) {
                assert_true(sd_bus_reply_method_errorf(f->calls[call], error, "because") >= 0);
                return;
        }
        assert_true(sd_bus_reply_method_return(f->calls[call], NULL) >= 0);
}

static int try_order(Fixture *f, const char *unit, LauncherVerb verb) {
        const LauncherLimit limits[] = { { "MemoryMax", 9 } };

        return launcher_order(f->queue, unit, verb, limits, 1, on_done, f);
}

static void order(Fixture *f, const char *unit, LauncherVerb verb) {
        assert_int_equal(try_order(f, unit, verb), 0);
}

static void expect_count(Fixture *f, unsigned under_way, unsigned waiting) {
        unsigned u, w;

        launcher_queue_count(f->queue, &u, &w);
        assert_int_equal(u, under_way);
        assert_int_equal(w, waiting);
}

/* ---- who waits for whom ---- */

static void test_verbs(void **state) {
        static const char *const names[] = { "Stop", "Kill", "Freeze", "Thaw", "Collect", "SetLimits" };

        assert_int_equal(ELEMENTSOF(names), _LAUNCHER_VERB_MAX);
        for (LauncherVerb v = 0; v < _LAUNCHER_VERB_MAX; v++)
                assert_string_equal(launcher_verb_to_string(v), names[v]);
}

static void test_one_after_the_other(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_SET_LIMITS);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
        expect_count(f, 1, 4);
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw a, ");
        expect_text(&f->done, "Freeze 0, ");
        expect_count(f, 1, 3);
        /* That one failed does not matter to the next. */
        reply(f, 1, "org.northflare.Launcher1.Error.Failed");
        settle(f);
        expect_text(&f->sent, "SetLimits a MemoryMax=9, ");
        expect_text(&f->done, "Thaw -5 because, ");
        reply(f, 2, NULL);
        settle(f);
        reply(f, 3, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, SetLimits a MemoryMax=9, ");
        expect_count(f, 1, 0);
        reply(f, 4, NULL);
        settle(f);
        expect_text(&f->done, "SetLimits 0, Freeze 0, SetLimits 0, ");
        expect_count(f, 0, 0);
        assert_int_equal(f->n_calls, 5);
}

static void test_units_do_not_wait(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_THAW);
        order(f, "c", LAUNCHER_STOP);
        settle(f);
        expect_text(&f->sent, "Freeze a, Thaw b, Stop c, ");
        expect_count(f, 3, 1);
        reply(f, 2, NULL);
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->done, "Stop 0, Thaw 0, ");
        expect_text(&f->sent, "");
        expect_count(f, 1, 1);
}

static void test_answers(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_STOP);
        order(f, "b", LAUNCHER_STOP);
        order(f, "c", LAUNCHER_STOP);
        settle(f);
        reply(f, 0, "org.northflare.Launcher1.Error.NoSuchUnit");
        reply(f, 1, "org.northflare.Launcher1.Error.NotOurs");
        reply(f, 2, NULL);
        settle(f);
        expect_text(&f->done, "Stop -2 because, Stop -1 because, Stop 0, ");
}

static void test_limits_are_copied(void **state) {
        char name[] = "TasksMax";
        LauncherLimit limit = { name, 5 };
        Fixture *f = *state;

        order(f, "a", LAUNCHER_THAW);
        assert_int_equal(launcher_order(f->queue, "a", LAUNCHER_SET_LIMITS, &limit, 1, NULL, NULL), 0);
        memset(name, 'x', sizeof(name));
        limit.value = 6;
        settle(f);
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw a, SetLimits a TasksMax=5, ");
        /* Without a done. */
        expect_text(&f->done, "Thaw 0, ");
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->done, "");
        expect_count(f, 0, 0);
}

/* ---- what ends a scope ---- */

static void expect_overtakes(Fixture *f, LauncherVerb verb) {
        _cleanup_free_ char *sent = xasprintf("Freeze a, Freeze b, %s a, ", launcher_verb_to_string(verb)),
                            *done = xasprintf("%s 0, ", launcher_verb_to_string(verb));

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
        order(f, "a", verb);
        /* All but what is under way; another unit's orders stay. */
        expect_count(f, 3, 1);
        settle(f);
        expect_text(&f->sent, sent);
        expect_text(&f->done, "Thaw -125, SetLimits -125, Freeze -125, ");
        /* It is answered, and what it overtook is not yet: what was ordered since waits for both. */
        order(f, "a", LAUNCHER_THAW);
        reply(f, 2, NULL);
        settle(f);
        expect_text(&f->done, done);
        expect_text(&f->sent, "");
        expect_count(f, 2, 2);
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->done, "Freeze 0, ");
        expect_text(&f->sent, "Thaw a, ");
        reply(f, 3, NULL);
        settle(f);
        expect_text(&f->done, "Thaw 0, ");
        expect_text(&f->sent, "");
        expect_count(f, 1, 1);
}

static void test_kill_overtakes(void **state) {
        expect_overtakes(*state, LAUNCHER_KILL);
}

static void test_stop_overtakes(void **state) {
        expect_overtakes(*state, LAUNCHER_STOP);
}

static void test_collect_overtakes(void **state) {
        expect_overtakes(*state, LAUNCHER_COLLECT);
}

/* They do not wait for each other either, nor cancel each other. */
static void test_ends_in_order(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_STOP);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_COLLECT);
        order(f, "a", LAUNCHER_KILL);
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_STOP);
        order(f, "a", LAUNCHER_SET_LIMITS);
        expect_count(f, 4, 1);
        settle(f);
        expect_text(&f->sent, "Stop a, Collect a, Kill a, Stop a, ");
        expect_text(&f->done, "Thaw -125, Freeze -125, ");
        reply(f, 2, NULL);
        reply(f, 0, "org.northflare.Launcher1.Error.Failed");
        reply(f, 3, NULL);
        settle(f);
        /* As they are answered. */
        expect_text(&f->done, "Kill 0, Stop -5 because, Stop 0, ");
        expect_text(&f->sent, "");
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->done, "Collect 0, ");
        expect_text(&f->sent, "SetLimits a MemoryMax=9, ");
}

/* What it cancels is answered before it is, also where its own answer is there at once. */
static void test_end_is_answered_last(void **state) {
        static const char *const units[] = { "a", "b", "c" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                order(f, units[i], LAUNCHER_FREEZE);
                order(f, units[i], LAUNCHER_THAW);
                order(f, units[i], LAUNCHER_SET_LIMITS);
        }
        settle(f);
        sd_bus_close(f->client);
        order(f, "a", LAUNCHER_KILL);
        order(f, "b", LAUNCHER_STOP);
        order(f, "c", LAUNCHER_COLLECT);
        assert_int_equal(f->n_done, 0);
        settle(f);
        expect_text(
                &f->done,
                "Thaw -125, SetLimits -125, Kill -107, "
                "Thaw -125, SetLimits -125, Stop -107, "
                "Thaw -125, SetLimits -125, Collect -107, ");
}

/* ---- what is canceled ---- */

static void test_cancel(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
        launcher_cancel(f->queue, "a");
        assert_int_equal(f->n_done, 0);
        /* It is so at once, for what waits for that unit. */
        expect_count(f, 2, 1);
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_THAW));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_FREEZE));
        assert_true(launcher_has_order(f->queue, "b", LAUNCHER_THAW));
        /* What is ordered afterwards is not canceled. */
        order(f, "a", LAUNCHER_FREEZE);
        settle(f);
        expect_text(&f->sent, "Freeze a, Freeze b, ");
        expect_text(&f->done, "Thaw -125, SetLimits -125, ");
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
        expect_text(&f->done, "Freeze 0, ");
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw b, ");
        expect_text(&f->done, "Freeze 0, ");
}

static void test_cancel_nothing(void **state) {
        Fixture *f = *state;

        launcher_cancel(f->queue, "a");
        launcher_cancel(f->queue, NULL);
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_STOP);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
        launcher_cancel(f->queue, "a");
        launcher_cancel(f->queue, "c");
        launcher_cancel(f->queue, "");
        launcher_cancel(f->queue, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, Stop a, Freeze b, ");
        expect_text(&f->done, "");
        expect_count(f, 3, 1);
        reply(f, 0, NULL);
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->done, "Freeze 0, Stop 0, ");
}

/* What was canceled takes no room, even before it is answered. */
static void test_cancel_makes_room(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        for (int i = 0; i < 2; i++) {
                for (int j = 0; j < LAUNCHER_WAITING_MAX; j++)
                        order(f, "a", LAUNCHER_THAW);
                assert_int_equal(try_order(f, "a", LAUNCHER_THAW), -EBUSY);
                launcher_cancel(f->queue, "a");
                expect_count(f, 1, 0);
        }
        settle(f);
        assert_int_equal(f->n_done, 2 * LAUNCHER_WAITING_MAX);
        expect_text(&f->sent, "Freeze a, ");
}

/* ---- bounds ---- */

static void test_waiting_max(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        for (int i = 0; i < LAUNCHER_WAITING_MAX; i++) {
                assert_true(launcher_has_room(f->queue, "a"));
                order(f, "a", LAUNCHER_FREEZE);
        }
        assert_false(launcher_has_room(f->queue, "a"));
        assert_true(launcher_has_room(f->queue, "b"));
        assert_true(launcher_has_room(f->queue, NULL));
        assert_int_equal(try_order(f, "a", LAUNCHER_THAW), -EBUSY);
        assert_int_equal(try_order(f, "a", LAUNCHER_SET_LIMITS), -EBUSY);
        assert_int_equal(try_order(f, "a", LAUNCHER_FREEZE), -EBUSY);
        expect_count(f, 1, LAUNCHER_WAITING_MAX);
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_THAW));
        order(f, "b", LAUNCHER_THAW);
        settle(f);
        expect_text(&f->sent, "Freeze a, Thaw b, ");
        expect_text(&f->done, "");
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
        expect_text(&f->done, "Freeze 0, ");
        order(f, "a", LAUNCHER_SET_LIMITS);
        assert_int_equal(try_order(f, "a", LAUNCHER_SET_LIMITS), -EBUSY);
        /* That bound is not one for what ends the scope. */
        order(f, "a", LAUNCHER_STOP);
        expect_count(f, 3, 0);
        settle(f);
        assert_int_equal(f->n_done, 1 + LAUNCHER_WAITING_MAX);
        expect_text(&f->sent, "Stop a, ");
}

static void test_ends_max(void **state) {
        static const LauncherVerb verbs[] = { LAUNCHER_KILL, LAUNCHER_STOP, LAUNCHER_COLLECT };
        Fixture *f = *state;

        for (size_t i = 0; i < LAUNCHER_WAITING_MAX; i++)
                order(f, "a", verbs[i % ELEMENTSOF(verbs)]);
        /* The two bounds have nothing to do with each other. */
        for (int i = 0; i < LAUNCHER_WAITING_MAX; i++)
                order(f, "a", LAUNCHER_FREEZE);
        assert_int_equal(try_order(f, "a", LAUNCHER_FREEZE), -EBUSY);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                assert_int_equal(try_order(f, "a", verbs[i]), -EBUSY);
        order(f, "b", LAUNCHER_KILL);
        settle(f);
        /* They are as if they had not been given. */
        assert_int_equal(f->n_calls, LAUNCHER_WAITING_MAX + 1);
        assert_int_equal(f->n_done, 0);
        expect_count(f, LAUNCHER_WAITING_MAX + 1, LAUNCHER_WAITING_MAX);
        /* One that was answered makes room for one. */
        reply(f, 3, NULL);
        settle(f);
        assert_int_equal(f->n_done, 1);
        order(f, "a", LAUNCHER_COLLECT);
        assert_int_equal(try_order(f, "a", LAUNCHER_STOP), -EBUSY);
        expect_count(f, LAUNCHER_WAITING_MAX + 1, 0);
        settle(f);
        assert_int_equal(f->n_done, 1 + LAUNCHER_WAITING_MAX);
        assert_int_equal(f->n_calls, LAUNCHER_WAITING_MAX + 2);
}

static void test_no_name(void **state) {
        Fixture *f = *state;

        assert_int_equal(try_order(f, NULL, LAUNCHER_KILL), -EINVAL);
        assert_int_equal(try_order(f, "", LAUNCHER_STOP), -EINVAL);
        settle(f);
        expect_text(&f->done, "");
        expect_count(f, 0, 0);
        order(f, "a", LAUNCHER_KILL);
        assert_false(launcher_has_order(f->queue, NULL, LAUNCHER_KILL));
}

static void order_for_many(Fixture *f) {
        for (int i = 0; i < 200; i++) {
                _cleanup_free_ char *unit = xasprintf("unit-%i", f->n_units++);

                assert_non_null(unit);
                assert_int_equal(launcher_order(f->queue, unit, LAUNCHER_STOP, NULL, 0, NULL, NULL), 0);
        }
        settle(f);
}

/* Whatever has no order takes no memory. (Where the allocator does not say how much it gave, nothing is seen here.) */
static void test_units_go(void **state) {
        Fixture *f = *state;
        size_t before;

        sd_bus_close(f->client);
        order_for_many(f);
        before = mallinfo2().uordblks;
        for (int i = 0; i < 5; i++)
                order_for_many(f);
        assert_in_range(mallinfo2().uordblks, 0, before + 1000 * 16);
}

/* ---- the account ---- */

static void test_has_order(void **state) {
        Fixture *f = *state;

        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_FREEZE));
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_FREEZE));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_THAW));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_SET_LIMITS));
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_KILL));
        assert_false(launcher_has_order(f->queue, "b", LAUNCHER_FREEZE));
        order(f, "a", LAUNCHER_STOP);
        order(f, "a", LAUNCHER_KILL);
        /* What is canceled is so at once. */
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_THAW));
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_SET_LIMITS));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_STOP));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_KILL));
        settle(f);
        reply(f, 2, NULL);
        settle(f);
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_KILL));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_STOP));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_FREEZE));
}

static void act_expect_gone(Fixture *f) {
        assert_false(launcher_has_order(f->queue, "a", LAUNCHER_KILL));
        expect_count(f, 0, 0);
}

static void test_has_no_order_when_done(void **state) {
        Fixture *f = *state;

        f->act = act_expect_gone;
        order(f, "a", LAUNCHER_KILL);
        settle(f);
        reply(f, 0, NULL);
        settle(f);
        assert_int_equal(f->n_done, 1);
}

/* ---- userdata goes away ---- */

static void owner_order(Owner *o, const char *unit, LauncherVerb verb) {
        assert_int_equal(launcher_order(o->f->queue, unit, verb, NULL, 0, on_owner_done, o), 0);
}

static void test_forget(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        owner_order(o, "a", LAUNCHER_FREEZE);
        owner_order(o, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        owner_order(o, "a", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_FREEZE);
        owner_order(o, "b", LAUNCHER_THAW);
        launcher_forget(f->queue, o);
        free(o);
        expect_count(f, 2, 4);
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_FREEZE));
        assert_true(launcher_has_order(f->queue, "a", LAUNCHER_THAW));
        settle(f);
        expect_text(&f->sent, "Freeze a, Freeze b, ");
        /* In its turn. */
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw a, ");
        reply(f, 2, "org.northflare.Launcher1.Error.Failed");
        settle(f);
        expect_text(&f->sent, "SetLimits a MemoryMax=9, ");
        expect_text(&f->done, "");
        reply(f, 3, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
        expect_text(&f->done, "SetLimits 0, ");
        reply(f, 4, NULL);
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw b, ");
        expect_text(&f->done, "Freeze 0, ");
        reply(f, 5, NULL);
        settle(f);
        expect_text(&f->done, "");
        expect_count(f, 0, 0);
}

/* What was forgotten keeps its room, and is canceled like anything else that waits. */
static void test_forget_and_end(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        order(f, "a", LAUNCHER_FREEZE);
        for (int i = 0; i < LAUNCHER_WAITING_MAX; i++)
                owner_order(o, "a", LAUNCHER_THAW);
        owner_order(o, "b", LAUNCHER_STOP);
        launcher_forget(f->queue, o);
        free(o);
        assert_int_equal(try_order(f, "a", LAUNCHER_THAW), -EBUSY);
        order(f, "a", LAUNCHER_STOP);
        expect_count(f, 3, 0);
        settle(f);
        expect_text(&f->sent, "Freeze a, Stop b, Stop a, ");
        for (int i = 0; i < 3; i++)
                reply(f, i, NULL);
        settle(f);
        expect_text(&f->done, "Freeze 0, Stop 0, ");
        expect_count(f, 0, 0);
}

/* Between the answer and the turn in which it would be delivered. */
static void test_forget_answers(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        order(f, "a", LAUNCHER_FREEZE);
        owner_order(o, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_KILL);
        settle(f);
        assert_int_equal(o->n_done, 1);
        expect_text(&f->done, "Thaw -125, ");
        owner_order(o, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_KILL);
        sd_bus_close(f->client);
        owner_order(o, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
        launcher_forget(f->queue, o);
        free(o);
        settle(f);
        /* What waited behind it is not forgotten. */
        expect_text(&f->done, "Thaw -125, Thaw -107, ");
}

static int n_nobody_done;

static void on_nobody_done(LauncherVerb verb, int error, const char *text, void *userdata) {
        assert_null(userdata);
        n_nobody_done++;
}

/* An order without userdata cannot be forgotten. */
static void test_forget_nothing(void **state) {
        Fixture *f = *state;

        n_nobody_done = 0;
        order(f, "a", LAUNCHER_FREEZE);
        assert_int_equal(launcher_order(f->queue, "a", LAUNCHER_THAW, NULL, 0, on_nobody_done, NULL), 0);
        launcher_forget(f->queue, NULL);
        settle(f);
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, Thaw a, ");
        reply(f, 1, NULL);
        settle(f);
        assert_int_equal(n_nobody_done, 1);
}

/* ---- the queue goes away ---- */

static void test_free_queue(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        order(f, "a", LAUNCHER_KILL);
        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_SET_LIMITS);
        owner_order(o, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_FREEZE);
        /* Silent anyway, and no less sent. */
        launcher_forget(f->queue, o);
        f->queue = launcher_queue_free(f->queue);
        free(o);
        settle(f);
        /* What is under way was sent, what waits is sent now, in the order in which it was given. */
        expect_text(&f->sent, "Kill a, Freeze a, SetLimits a MemoryMax=9, Thaw a, Freeze a, ");
        for (int i = 0; i < f->n_calls; i++)
                reply(f, i, i % 2 ? "org.northflare.Launcher1.Error.Failed" : NULL);
        settle(f);
        expect_text(&f->sent, "");
        expect_text(&f->done, "");
}

/* Of all units; what was canceled is not sent. */
static void test_free_queue_of_many(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_SET_LIMITS);
        order(f, "b", LAUNCHER_STOP);
        order(f, "c", LAUNCHER_THAW);
        order(f, "c", LAUNCHER_FREEZE);
        settle(f);
        expect_text(&f->sent, "Freeze a, Freeze b, Stop b, Thaw c, ");
        expect_text(&f->done, "SetLimits -125, ");
        /* Canceled, and not answered yet. */
        order(f, "b", LAUNCHER_SET_LIMITS);
        launcher_cancel(f->queue, "b");
        f->queue = launcher_queue_free(f->queue);
        settle(f);
        /* Between units there is no order. */
        assert_int_equal(f->n_calls, 6);
        assert_non_null(strstr(f->sent, "Thaw a, "));
        assert_non_null(strstr(f->sent, "Freeze c, "));
        for (int i = 0; i < f->n_calls; i++)
                reply(f, i, NULL);
        settle(f);
        expect_text(&f->done, "");
}

/* Nothing can be sent any more, some answers were not delivered yet, and some will never come. */
static void test_free_queue_not_connected(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_STOP);
        order(f, "a", LAUNCHER_SET_LIMITS);
        sd_bus_close(f->client);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_SET_LIMITS);
        f->queue = launcher_queue_free(f->queue);
        settle(f);
        expect_text(&f->sent, "");
        expect_text(&f->done, "");
}

/* What was sent at last is never answered. */
static void test_free_queue_connection_lost(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        settle(f);
        f->queue = launcher_queue_free(f->queue);
        settle(f);
        expect_text(&f->sent, "Freeze a, Thaw a, ");
        sd_bus_close(f->server);
        settle(f);
        expect_text(&f->done, "");
}

/* ---- what a done may do ---- */

static void act_order(Fixture *f) {
        f->act = NULL;
        order(f, "a", LAUNCHER_SET_LIMITS);
        order(f, "b", LAUNCHER_FREEZE);
        order(f, "b", LAUNCHER_THAW);
}

static void test_done_orders(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        settle(f);
        f->act = act_order;
        reply(f, 0, NULL);
        settle(f);
        /* Behind what waits already. */
        expect_text(&f->sent, "Freeze a, Freeze b, Thaw a, ");
        reply(f, 2, NULL);
        settle(f);
        expect_text(&f->sent, "SetLimits a MemoryMax=9, ");
        /* Of the unit of which nothing else is left. */
        f->act = act_order;
        reply(f, 3, NULL);
        settle(f);
        expect_text(&f->sent, "SetLimits a MemoryMax=9, ");
        expect_text(&f->done, "Freeze 0, Thaw 0, SetLimits 0, ");
}

static void act_kill(Fixture *f) {
        f->act = NULL;
        order(f, "a", LAUNCHER_KILL);
}

static void test_done_kills(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        settle(f);
        f->act = act_kill;
        reply(f, 0, "org.northflare.Launcher1.Error.Failed");
        settle(f);
        /* The next one is not sent before done has returned. */
        expect_text(&f->sent, "Freeze a, Kill a, ");
        expect_text(&f->done, "Freeze -5 because, Thaw -125, ");
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->sent, "");
        expect_text(&f->done, "Kill 0, ");
        expect_count(f, 0, 0);
}

static void act_cancel(Fixture *f) {
        f->act = NULL;
        launcher_cancel(f->queue, "a");
}

/* Of the unit nothing is left when what was canceled is answered. */
static void test_done_cancels(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "a", LAUNCHER_SET_LIMITS);
        settle(f);
        f->act = act_cancel;
        reply(f, 0, NULL);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
        expect_text(&f->done, "Freeze 0, Thaw -125, SetLimits -125, ");
        expect_count(f, 0, 0);
        order(f, "a", LAUNCHER_FREEZE);
        settle(f);
        expect_text(&f->sent, "Freeze a, ");
}

static void act_forget(Fixture *f) {
        f->act = NULL;
        launcher_forget(f->queue, f);
}

static void test_done_forgets(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "b", LAUNCHER_FREEZE);
        settle(f);
        expect_text(&f->sent, "Freeze a, Freeze b, ");
        f->act = act_forget;
        reply(f, 0, NULL);
        reply(f, 1, NULL);
        settle(f);
        expect_text(&f->sent, "Thaw a, ");
        expect_text(&f->done, "Freeze 0, ");
        expect_count(f, 1, 0);
        reply(f, 2, NULL);
        settle(f);
        expect_text(&f->done, "");
        expect_count(f, 0, 0);
}

static void on_done_free_owner(LauncherVerb verb, int error, const char *text, void *userdata) {
        Owner *o = userdata;

        on_done(verb, error, text, o->f);
        launcher_forget(o->f->queue, o);
        free(o);
}

static void test_done_frees_its_userdata(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        for (int i = 0; i < 3; i++)
                assert_int_equal(
                        launcher_order(f->queue, "a", LAUNCHER_FREEZE, NULL, 0, on_done_free_owner, o), 0);
        for (int i = 0; i < 3; i++) {
                settle(f);
                expect_text(&f->sent, "Freeze a, ");
                reply(f, i, NULL);
        }
        settle(f);
        expect_text(&f->sent, "");
        expect_text(&f->done, "Freeze 0, ");
        expect_count(f, 0, 0);
}

static void on_done_free_all(LauncherVerb verb, int error, const char *text, void *userdata) {
        Owner *o = userdata;
        Fixture *f = o->f;

        launcher_forget(f->queue, o);
        free(o);
        f->queue = launcher_queue_free(f->queue);
        /* It is still there to be read. */
        on_done(verb, error, text, f);
}

static void test_done_frees_the_queue(void **state) {
        Fixture *f = *state;
        Owner *o = new0(Owner, 1);

        assert_non_null(o);
        o->f = f;
        assert_int_equal(launcher_order(f->queue, "a", LAUNCHER_FREEZE, NULL, 0, on_done_free_all, o), 0);
        order(f, "a", LAUNCHER_SET_LIMITS);
        order(f, "a", LAUNCHER_THAW);
        order(f, "b", LAUNCHER_STOP);
        settle(f);
        expect_text(&f->sent, "Freeze a, Stop b, ");
        reply(f, 0, "org.northflare.Launcher1.Error.Failed");
        reply(f, 1, NULL);
        settle(f);
        /* What waited is sent, once. */
        expect_text(&f->sent, "SetLimits a MemoryMax=9, Thaw a, ");
        expect_text(&f->done, "Freeze -5 because, ");
        reply(f, 2, NULL);
        reply(f, 3, "org.northflare.Launcher1.Error.Failed");
        settle(f);
        expect_text(&f->done, "");
        /* Its source and its reference of the bus are gone, too. */
        assert_null(f->queue);
        assert_int_equal(launcher_queue_new(f->client, &f->queue), 0);
        order(f, "c", LAUNCHER_STOP);
        settle(f);
        expect_text(&f->sent, "Stop c, ");
}

/* ---- what cannot be sent ---- */

static void test_not_sent(void **state) {
        Fixture *f = *state;

        sd_bus_close(f->client);
        for (int i = 0; i < LAUNCHER_WAITING_MAX + 1; i++)
                order(f, "a", i % 2 ? LAUNCHER_SET_LIMITS : LAUNCHER_FREEZE);
        assert_int_equal(try_order(f, "a", LAUNCHER_FREEZE), -EBUSY);
        order(f, "b", LAUNCHER_THAW);
        /* The first is not under way, it has failed. */
        expect_count(f, 0, LAUNCHER_WAITING_MAX);
        for (int i = 0; i < 3; i++) {
                (void) turn(f);
                assert_in_range(f->n_done, i, i + 1);
        }
        settle(f);
        assert_int_equal(f->n_done, LAUNCHER_WAITING_MAX + 2);
        assert_non_null(startswith(f->done, "Freeze -107, Thaw -107, SetLimits -107, Freeze -107, "));
        expect_count(f, 0, 0);
}

/* What has failed has its place until its done has run. */
static void test_ends_not_sent(void **state) {
        Fixture *f = *state;

        sd_bus_close(f->client);
        for (int i = 0; i < LAUNCHER_WAITING_MAX; i++)
                order(f, "a", i % 2 ? LAUNCHER_COLLECT : LAUNCHER_STOP);
        assert_int_equal(try_order(f, "a", LAUNCHER_KILL), -EBUSY);
        order(f, "a", LAUNCHER_THAW);
        expect_count(f, 0, 1);
        settle(f);
        assert_int_equal(f->n_done, LAUNCHER_WAITING_MAX + 1);
        assert_non_null(startswith(f->done, "Stop -107, Collect -107, Stop -107, "));
        assert_non_null(endswith(f->done, "Collect -107, Thaw -107, "));
        expect_count(f, 0, 0);
}

static void act_again(Fixture *f) {
        if (f->n_done > 200)
                f->act = NULL; /* the test has failed, it shall end all the same */
        order(f, "a", LAUNCHER_STOP);
}

/* A done that keeps trying takes one turn for each try. */
static void test_not_sent_again_and_again(void **state) {
        Fixture *f = *state;

        sd_bus_close(f->client);
        f->act = act_again;
        order(f, "a", LAUNCHER_STOP);
        for (int i = 0; i < 50; i++) {
                int before = f->n_done;

                (void) turn(f);
                assert_in_range(f->n_done, before, before + 1);
        }
        assert_true(f->n_done > 20);
        f->act = NULL;
        settle(f);
}

/* The launcher closes the connection while orders are under way. */
static void test_connection_lost(void **state) {
        Fixture *f = *state;

        order(f, "a", LAUNCHER_FREEZE);
        order(f, "a", LAUNCHER_THAW);
        order(f, "b", LAUNCHER_KILL);
        settle(f);
        expect_count(f, 2, 1);
        sd_bus_close(f->server);
        settle(f);
        assert_int_equal(f->n_done, 3);
        assert_non_null(strstr(f->done, "Freeze -"));
        assert_non_null(strstr(f->done, "Kill -"));
        assert_non_null(strstr(f->done, "Thaw -107, "));
        expect_count(f, 0, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verbs),
                CASE(test_one_after_the_other),
                CASE(test_units_do_not_wait),
                CASE(test_answers),
                CASE(test_limits_are_copied),
                CASE(test_kill_overtakes),
                CASE(test_stop_overtakes),
                CASE(test_collect_overtakes),
                CASE(test_ends_in_order),
                CASE(test_end_is_answered_last),
                CASE(test_cancel),
                CASE(test_cancel_nothing),
                CASE(test_cancel_makes_room),
                CASE(test_waiting_max),
                CASE(test_ends_max),
                CASE(test_no_name),
                CASE(test_units_go),
                CASE(test_has_order),
                CASE(test_has_no_order_when_done),
                CASE(test_forget),
                CASE(test_forget_and_end),
                CASE(test_forget_answers),
                CASE(test_forget_nothing),
                CASE(test_free_queue),
                CASE(test_free_queue_of_many),
                CASE(test_free_queue_not_connected),
                CASE(test_free_queue_connection_lost),
                CASE(test_done_orders),
                CASE(test_done_kills),
                CASE(test_done_cancels),
                CASE(test_done_forgets),
                CASE(test_done_frees_its_userdata),
                CASE(test_done_frees_the_queue),
                CASE(test_not_sent),
                CASE(test_ends_not_sent),
                CASE(test_not_sent_again_and_again),
                CASE(test_connection_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
