/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/conversation/conversation-adopt.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-run.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-end.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-start.h"
#include "runner/scope/run-directory.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"

/* The end of a run while something is still asked of the launcher. Real: the store, the conversation, the run's folder, the
 * clients of launcher and systemd, over a socket pair. The test is launcher and systemd, and answers when it wants to. */

#define UNIT "northflare-conversation-c-1-1.scope"

typedef struct Place {
        char path[64];
        int fd;
        sd_event *event;
        sd_bus *client, *server;
        RunnerConfig config;
        ConversationContext ctx;
        Conversation *c;
        sd_bus_message *held[4]; /* calls to the launcher, in their order */
        unsigned n_held, n_ended, n_asked;
} Place;

/* ---- launcher and systemd ---- */

static int on_launcher(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Place *p = userdata;
        const char *unit;

        assert_true(sd_bus_message_read(m, "s", &unit) > 0);
        assert_string_equal(unit, UNIT);
        assert_true(p->n_held < ELEMENTSOF(p->held));
        p->held[p->n_held++] = sd_bus_message_ref(m);
        return 1;
}

/* The scope has failed. */
static int on_systemd(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Place *p = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        if (streq(sd_bus_message_get_member(m), "GetAll")) {
                p->n_asked++;
                assert_true(
                        sd_bus_message_append(
                                reply, "a{sv}", 2, "LoadState", "s", "loaded", "Result", "s", "signal") >=
                        0);
        }
        assert_true(sd_bus_send(p->server, reply, NULL) >= 0);
        return 1;
}

static void connect_both(Place *p) {
        sd_id128_t id;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_true(sd_id128_randomize(&id) >= 0);
        assert_true(sd_bus_new(&p->server) >= 0);
        assert_true(sd_bus_set_fd(p->server, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_set_server(p->server, true, id) >= 0);
        assert_true(sd_bus_new(&p->client) >= 0);
        assert_true(sd_bus_set_fd(p->client, fds[1], fds[1]) >= 0);
        assert_true(sd_bus_start(p->server) >= 0);
        assert_true(sd_bus_start(p->client) >= 0);
        assert_true(sd_bus_attach_event(p->server, p->event, 0) >= 0);
        assert_true(sd_bus_attach_event(p->client, p->event, 0) >= 0);
        assert_true(sd_bus_add_object(p->server, NULL, "/org/northflare/Launcher1", on_launcher, p) >= 0);
        assert_true(sd_bus_add_fallback(p->server, NULL, "/org/freedesktop/systemd1", on_systemd, p) >= 0);
}

static void turn_until(Place *p, const unsigned *counter, unsigned n) {
        for (unsigned i = 0; i < 200 && *counter < n; i++)
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        assert_int_equal(*counter, n);
}

/* ---- the hub ---- */

static void on_unit(const char *unit, void *userdata) {
}

static void on_change(Conversation *c, void *userdata) {
}

static void on_ended(Conversation *c, void *userdata) {
        ((Place *) userdata)->n_ended++;
}

static void on_store_failed(int error, void *userdata) {
        fail_msg("the store failed: %s", strerror(-error));
}

static void on_no_room(void *userdata) {
        fail_msg("in.log could not be written");
}

static const ConversationHooks hooks = {
        .changed = on_change,
        .events_available = on_change,
        .ended = on_ended,
        .store_failed = on_store_failed,
        .no_room = on_no_room,
};

/* ---- a conversation that lives ---- */

static void write_file(Run *r, const char *name, const char *text) {
        assert_return_code(write_file_atomic_at(run_directory_fd(r), name, text, strlen(text), 0600), 0);
}

static void make_folder(Place *p) {
        _cleanup_close_ int parent = mkdir_open_at(p->fd, p->c->row.id, RUN_DIRECTORY_MODE);
        int fd = run_directory_make(parent, "1", "{}");

        assert_return_code(fd, errno);
        safe_close(fd);
}

static int setup(void **state) {
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);
        ConversationRow row = {
                .id = strdup("c-1"),
                .workspace = strdup("w"),
                .agent = strdup("shell"),
                .origin = strdup("local"),
                .params = strdup("{\"prompt\":\"x\"}"),
                .state = CONVERSATION_LIVE,
                .run = 1,
                .created_usec = 1,
        };
        RunRow run = {
                .conversation = strdup("c-1"),
                .run = 1,
                .run_id = "0000000000000001",
                .state = RUN_LIVE,
                .unit = strdup(UNIT),
                .spec = strdup("{}"),
                .out_bytes = UINT64_MAX,
                .started_usec = 1,
        };

        state_steps_set_critical(true);
        assert_non_null(p);
        *state = p;
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-conclude-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_return_code(sd_event_new(&p->event), 0);
        connect_both(p);
        p->ctx = (ConversationContext){
                .run.event = p->event,
                .run.bus = p->client,
                .run.config = &p->config,
                .run.state_fd = p->fd,
                .run.conversations_fd = p->fd,
                .hooks = &hooks,
                .userdata = p,
                .run.ready = true,
        };
        assert_return_code(store_open(p->fd, p->path, &p->ctx.run.store, &error), 0);
        assert_return_code(watch_new(p->event, &p->ctx.run.watch), 0);
        assert_return_code(units_new(p->client, on_unit, p, &p->ctx.run.units), 0);
        assert_return_code(launcher_queue_new(p->client, &p->ctx.run.launcher), 0);
        assert_return_code(store_put_conversation(p->ctx.run.store, &row), 0);
        assert_return_code(store_put_run(p->ctx.run.store, &run), 0);
        assert_return_code(conversation_new(&p->ctx, &row, &p->c), 0);
        assert_return_code(conversation_take_params(p->c), 0);
        assert_return_code(conversation_make_run(p->c, &run), 0);
        make_folder(p);
        assert_return_code(run_open_directory(p->c->run), 0);
        write_file(p->c->run, "started", "{\"version\":1,\"cgroup\":\"/northflare-none\",\"cwd\":\"/w\"}");
        write_file(p->c->run, "out.log", "");
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        conversation_free(p->c);
        for (unsigned i = 0; i < p->n_held; i++)
                sd_bus_message_unref(p->held[i]);
        launcher_queue_free(p->ctx.run.launcher);
        units_free(p->ctx.run.units);
        watch_free(p->ctx.run.watch);
        store_close(p->ctx.run.store);
        sd_bus_flush_close_unref(p->client);
        sd_bus_flush_close_unref(p->server);
        sd_event_unref(p->event);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p);
        return 0;
}

static void turn_until_run_is_gone(Place *p) {
        for (unsigned i = 0; i < 200 && p->c->run; i++)
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        assert_null(p->c->run);
}

/* The launcher answers what it was asked as the n-th, counted from 1. */
static void answer(Place *p, unsigned n, const char *verb) {
        turn_until(p, &p->n_held, n);
        assert_string_equal(sd_bus_message_get_member(p->held[n - 1]), verb);
        assert_true(sd_bus_reply_method_return(p->held[n - 1], NULL) >= 0);
}

static bool is_ordered(Place *p) {
        unsigned under_way, waiting;

        launcher_queue_count(p->ctx.run.launcher, &under_way, &waiting);
        return under_way + waiting > 0;
}

static void turn_until_all_is_answered(Place *p) {
        for (unsigned i = 0; i < 200 && is_ordered(p); i++)
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        assert_false(is_ordered(p));
}

/* A stop thaws it first, and is killed from outside before the launcher says that it has. */
static void test_a_thaw_is_under_way(void **state) {
        Place *p = *state;

        conversation_set_frozen(p->c, true);
        conversation_stop(p->c, &(StopOrder){ .cause = STOP_BY_PERSON, .grace_usec = 600 * USEC_PER_SEC });
        assert_true(run_has_order(p->c->run, LAUNCHER_THAW));
        turn_until(p, &p->n_ended, 1);
        assert_int_equal(p->n_asked, 1);
        turn_until_run_is_gone(p);
        /* The failed scope is collected when its turn comes, though nobody is left who waits for that. */
        answer(p, 1, "Thaw");
        answer(p, 2, "Collect");
        turn_until_all_is_answered(p);
        assert_int_equal(p->c->row.state, CONVERSATION_ENDED);
        assert_int_equal(p->n_ended, 1);
}

static bool is_driven(Run *r) {
        int enabled;

        assert_return_code(sd_event_source_get_enabled(r->drive_source, &enabled), 0);
        return enabled != SD_EVENT_OFF;
}

/* Whatever it is, and also where the answers come before the run has gone. */
static void test_an_order_is_under_way(void **state) {
        Place *p = *state;
        Run *r = p->c->run;

        assert_return_code(run_order(r, LAUNCHER_KILL, NULL, 0), 0);
        r->ended = true;
        assert_return_code(free_and_strdup(&r->end.result, "signal"), 0);
        run_conclude(r);
        assert_int_equal(p->n_ended, 1);
        /* It would go in the next turn. */
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_OFF);
        answer(p, 1, "Kill");
        answer(p, 2, "Collect");
        turn_until_all_is_answered(p);
        /* What was asked before its end is answered by that. */
        assert_false(is_driven(r));
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
        turn_until_run_is_gone(p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_thaw_is_under_way),
                TEST(an_order_is_under_way),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
