/* SPDX-License-Identifier: MIT */
/* The hub's list of conversations. Real: the store, the method table, the conversations, files, inotify. There is no bus:
 * nothing is started, and PID 1, which is asked for scopes alone, is played by the test. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/log.h"
#include "runner/runner-internal.h"

typedef struct Place {
        char path[64];
        int fd;
        sd_event *event;
        RunnerConfig config;
        Runner r;
        bool called; /* a call is on the stack */
        unsigned n_removed, n_replies;
        char *reason; /* in the last reply */
} Place;

/* ---- the bus objects ---- */

static void on_runner(void *userdata) {
}

static void on_conversation(Conversation *c, void *userdata) {
}

static void on_removed(Conversation *c, void *userdata) {
        Place *p = userdata;

        /* Whoever called has it in his hands. */
        assert_false(p->called);
        p->n_removed++;
}

static const RunnerObserver observer = {
        .runner_changed = on_runner,
        .conversation_added = on_conversation,
        .conversation_changed = on_conversation,
        .conversation_removed = on_removed,
        .events_available = on_conversation,
};

/* ---- fixture ---- */

static int on_flush(sd_event_source *source, uint64_t usec, void *userdata) {
        runner_flush_cursors(userdata);
        return 0;
}

static int setup(void **state) {
        static char *const modes[] = { (char *) "default", NULL };
        static const char agents[] = "{\"shell\":{\"executable\":\"/bin/sh\"}}";
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);
        Runner *r = &p->r;

        log_set_max_level(LOG_ERR);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-hub-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_true(sd_event_new(&p->event) >= 0);
        p->config = (RunnerConfig){ .max_conversations = 1000, .permission_modes = (char **) modes };
        assert_return_code(json_parse(agents, strlen(agents), &p->config.agents, NULL), 0);
        *r = (Runner){
                .event = p->event,
                .config = &p->config,
                .state_fd = p->fd,
                .observer = &observer,
                .observer_data = p,
        };
        assert_return_code(store_open(p->fd, p->path, &r->store, &error), 0);
        r->ctx = (ConversationContext){
                .event = p->event,
                .config = &p->config,
                .store = r->store,
                .hooks = &runner_conversation_hooks,
                .userdata = r,
                .state_fd = p->fd,
                .conversations_fd = mkdir_open_at(p->fd, "conversations", 0700),
        };
        assert_return_code(watch_new(p->event, &r->ctx.watch), 0);
        assert_true(sd_event_add_time_relative(
                                    p->event, &r->flush_timer, CLOCK_MONOTONIC, 0, 0, on_flush, r) >= 0);
        assert_true(sd_event_source_set_enabled(r->flush_timer, SD_EVENT_OFF) >= 0);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;
        Runner *r = &p->r;

        p->called = false;
        runner_forget_all(r);
        runner_totals_done(r);
        event_cache_free(r->ctx.event_cache);
        watch_free(r->ctx.watch);
        store_close(r->store);
        safe_close(r->ctx.conversations_fd);
        sd_event_source_disable_unref(r->flush_timer);
        sd_event_unref(p->event);
        json_object_put(p->config.agents);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p->reason);
        free(p);
        return 0;
}

static void on_reply(Json *result, Json *error, void *userdata) {
        Place *p = userdata;

        assert_null(error);
        assert_return_code(free_and_strdup(&p->reason, json_get_string(result, "reason")), 0);
        p->n_replies++;
}

static void call(Place *p, const char *method, unsigned i, const char *members) {
        static const RunnerCaller caller = { .uid = 0 };
        _cleanup_free_ char *text = xasprintf("{\"conversationId\":\"c-%u\"%s}", i, members);
        _cleanup_json_ Json *params = NULL;

        assert_return_code(json_parse(text, strlen(text), &params, NULL), 0);
        p->called = true;
        assert_return_code(runner_call(&p->r, method, params, &caller, on_reply, p, NULL), 0);
        p->called = false;
}

static void turn_until(Place *p, const unsigned *n, unsigned expected) {
        for (unsigned i = 0; i < 100 && *n != expected; i++)
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        assert_int_equal(*n, expected);
}

/* ---- cases ---- */

/* The one that is one too many of those that have ended is the one that began first: here it is that which ends last. */
static void test_one_that_ends_is_not_forgotten_under_its_caller(void **state) {
        Place *p = *state;

        for (unsigned i = 0; i <= ENDED_KEPT_MAX; i++)
                call(p, "conversation.start", i, ",\"agent\":\"shell\"");
        for (unsigned i = ENDED_KEPT_MAX; i > 0; i--)
                call(p, "conversation.stop", i, "");
        assert_int_equal(p->r.n_ended, ENDED_KEPT_MAX);
        call(p, "conversation.stop", 0, "");
        assert_string_equal(p->reason, "stopped");
        assert_int_equal(p->n_replies, 2 * (ENDED_KEPT_MAX + 1));
        /* It goes by itself, and can be had again. */
        assert_int_equal(p->n_removed, 0);
        turn_until(p, &p->n_removed, 1);
        assert_null(runner_find_loaded(&p->r, "c-0"));
        assert_int_equal(p->r.n_ended, ENDED_KEPT_MAX);
        assert_non_null(runner_find_conversation(&p->r, "c-0"));
        turn_until(p, &p->n_removed, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(one_that_ends_is_not_forgotten_under_its_caller),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
