/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/conversation/position.h"
#include "runner/link/sender-internal.h"
#include "runner/runner-internal.h"
#include "test-server.h"

/* Conversations that have ended and whose events the orchestrator has not acknowledged: what each of them holds, how many are
 * read at a time, and that none of what they say is lost by that. */

#define N 24
/* In docs/performance.md. */
#define BYTES_MAX ((size_t) 8 * 1024)

typedef struct Place {
        char path[64];
        int fd;
        RunnerConfig config;
        ConversationContext ctx;
        TestServer *server;
        HttpClient *http;
        Conversation *list[N];
        bool hold; /* the server does not answer */
        TestRequest *held[16];
        size_t n_held;
        unsigned n_delivered, n_ends;
} Place;

static void on_request(TestRequest *r, void *userdata) {
        Place *p = userdata;

        for (const char *at = r->body; (at = strstr(at, "\"conversation.ended\"")); at++)
                p->n_ends += !p->hold;
        if (p->hold) {
                assert_true(p->n_held < ELEMENTSOF(p->held));
                p->held[p->n_held++] = r;
        } else
                test_reply(r, 204, NULL, NULL);
}

static void on_trouble(SenderTrouble t, long status, void *userdata) {
        fail_msg("the sender is in trouble: HTTP %ld", status);
}

static void on_change(Conversation *c, void *userdata) {
}

static void on_delivered(Conversation *c, void *userdata) {
        ((Place *) userdata)->n_delivered++;
}

static void on_store_failed(int error, void *userdata) {
        fail_msg("the store failed: %s", strerror(-error));
}

static const ConversationHooks hooks = {
        .changed = on_change,
        .events_available = on_change,
        .acked = on_change,
        .delivered = on_delivered,
        .store_failed = on_store_failed,
};

static int setup(void **state) {
        static char *const headers[] = { (char *) "Content-Type: application/json", NULL };
        static const SenderTiming timing = {
                .retry_min_usec = USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .timeout_usec = 30 * USEC_PER_SEC,
        };
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);

        assert_non_null(p);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-ended-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_return_code(store_open(p->fd, p->path, &p->ctx.store, &error), 0);
        assert_return_code(sd_event_new(&p->ctx.event), 0);
        test_deadline_arm(p->ctx.event);
        p->ctx.conversations_fd = p->fd;
        p->ctx.config = &p->config;
        p->ctx.hooks = &hooks;
        p->ctx.userdata = p;
        p->server = test_server_new(p->ctx.event, on_request, p);
        assert_int_equal(http_client_new(p->ctx.event, NULL, &p->http), 0);
        assert_int_equal(sender_new(p->ctx.event, p->http, &timing, on_trouble, p, &p->ctx.sender), 0);
        assert_int_equal(sender_set_target(p->ctx.sender, test_server_url(p->server), headers), 0);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        for (size_t i = 0; i < N; i++)
                conversation_free(p->list[i]);
        sender_free(p->ctx.sender);
        http_client_free(p->http);
        test_server_free(p->server);
        test_deadline_disarm();
        event_cache_free(p->ctx.event_cache);
        store_close(p->ctx.store);
        sd_event_unref(p->ctx.event);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p);
        return 0;
}

static char *text_of(size_t size) {
        char *text = new0(char, size + 1);

        assert_non_null(text);
        memset(text, 'x', size);
        return text;
}

/* The output of the conversation's run: so many lines of so many bytes. */
static uint64_t write_output(Place *p, const char *id, unsigned lines, size_t size) {
        _cleanup_free_ char *folder = xasprintf("%s/1", id), *path = xasprintf("%s/1/out.log", id);
        _cleanup_close_ int fd = -EBADF;

        assert_return_code(mkdirat(p->fd, id, 0700), errno);
        assert_return_code(mkdirat(p->fd, folder, 0700), errno);
        fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        for (unsigned i = 0; i < lines; i++)
                assert_int_equal(pwrite_all(fd, "\n", 1, (off_t) (i * size + size - 1)), 0);
        return lines * size;
}

static char *state_behind(unsigned lines) {
        const DriverOps *ops = driver_find("claude");
        _cleanup_json_ Json *spec = json_object_new_object();
        Driver *d = NULL;
        char *text = NULL;

        assert_return_code(ops->new (spec, &d), 0);
        assert_return_code(position_save(d, lines, &text), 0);
        driver_free(d);
        return text;
}

/* One that has ended, as the store has it after a restart, with `weight` bytes in whatever an orchestrator may make long. */
static Conversation *
add(Place *p, size_t i, unsigned lines, size_t line_size, size_t weight, bool run_delivered) {
        _cleanup_free_ char *id = xasprintf("c-%zu", i), *x = text_of(weight), *state = state_behind(lines),
                            *spec = xasprintf("{\"appendSystemPrompt\":\"%s\"}", x),
                            *detail = xasprintf("{\"reason\":\"stopped\",\"detail\":\"%s\"}", x),
                            *directory = xasprintf("/%s", x);
        ConversationRow row = {
                .id = strdup(id),
                .workspace = strdup(id),
                .agent = strdup("claude"),
                .origin = strdup("orchestrator"),
                .params = xasprintf("{\"prompt\":\"%s\",\"model\":\"%s\"}", x, x),
                .session = strdup(x),
                .state = strdup("ended"),
                .reason = strdup("stopped"),
                .detail = strdup(detail),
                .directory = strdup(directory),
                .run = 1,
                .created_usec = 1,
                .ended_usec = 2,
        };
        RunRow run = {
                .conversation = id,
                .run = 1,
                .state = (char *) "ended",
                .unit = (char *) "northflare-conversation-c-1.scope",
                .spec = spec,
                .driven = write_output(p, id, lines, line_size),
                .driven_state = state,
                .delivered = run_delivered,
        };
        Conversation *c = NULL;
        int64_t seq;

        run.out_bytes = run.driven;
        (void) snprintf(run.run_id, sizeof(run.run_id), "%016zx", i);
        assert_return_code(store_put_conversation(p->ctx.store, &row), 0);
        assert_return_code(store_put_run(p->ctx.store, &run), 0);
        if (!run_delivered)
                assert_return_code(
                                store_add_own_event(
                                                p->ctx.store,
                                                id,
                                                1,
                                                run.driven,
                                                NULL,
                                                "conversation.ended",
                                                "\"reason\":\"stopped\"",
                                                &seq),
                                0);
        assert_return_code(conversation_new(&p->ctx, &row, &c), 0);
        assert_return_code(conversation_send_open(c), 0);
        p->list[i] = c;
        return c;
}

/* As after a restart. */
static Conversation *add_resting(Place *p, size_t i, unsigned lines, size_t line_size, size_t weight) {
        Conversation *c = add(p, i, lines, line_size, weight, false);

        assert_return_code(conversation_take_all(c), 0);
        conversation_rest(c);
        return c;
}

static void test_one_that_waits_holds_little(void **state) {
        Place *p = *state;
        size_t before, each;

        /* SQLite's cache is full by then. */
        for (size_t i = 0; i < N / 2; i++)
                add_resting(p, i, 3, 100, 256 * 1024);
        before = mallinfo2().uordblks;
        for (size_t i = N / 2; i < N; i++)
                add_resting(p, i, 3, 100, 256 * 1024);
        each = (mallinfo2().uordblks - before) / (N / 2);
        print_message("%zu bytes each\n", each);
        assert_in_range(each, 0, BYTES_MAX);
        /* Those who ask how much waits do not change that. */
        for (size_t i = N / 2; i < N; i++) {
                assert_int_equal(conversation_queued_events(p->list[i]), 4);
                assert_int_equal(conversation_queued_bytes(p->list[i]), 300);
                assert_int_equal(p->list[i]->queued_since_usec, 2);
        }
        assert_in_range((mallinfo2().uordblks - before) / (N / 2), 0, BYTES_MAX);
}

static void test_one_that_waits_is_known_as_before(void **state) {
        Place *p = *state;
        _cleanup_free_ char *before = NULL, *after = NULL;
        Conversation *c = add(p, 0, 3, 100, 1000, false);

        assert_return_code(conversation_take_all(c), 0);
        assert_non_null(c->run);
        assert_true(c->run->over); /* nobody answers its questions */
        assert_int_equal(conversation_queued_events(c), 4);
        assert_return_code(conversation_describe(c, &before), 0);
        assert_null(c->run);
        assert_null(c->params);
        assert_null(c->row.detail);
        assert_string_equal(conversation_scope(c), "northflare-conversation-c-1.scope");
        assert_return_code(conversation_describe(c, &after), 0);
        assert_non_null(strstr(before, "\"directory\":\"/xxx"));
        assert_non_null(strstr(before, "\"queuedBytes\":300"));
        /* The time is none that is in the store. */
        assert_string_equal(after, before);
        /* Whoever resumes it finds all. */
        assert_return_code(conversation_take_all(c), 0);
        assert_int_equal(strlen(c->row.session), 1000);
        assert_int_equal(strlen(json_get_string(c->params, "model")), 1000);
        assert_non_null(c->run);
}

/* How many the sender has in memory. */
static unsigned count_open(Place *p) {
        unsigned n = 0;

        for (size_t i = 0; i < N; i++)
                n += p->list[i]->send != NULL;
        return n;
}

static void test_the_sender_reads_few_at_a_time(void **state) {
        Place *p = *state;
        SenderStats stats;
        unsigned most = 0;

        /* Longer than is kept, and than is passed over in a turn. */
        for (size_t i = 0; i < N; i++)
                add_resting(p, i, 1, 2 * LINE_SKIP_BYTES, 1000);
        assert_int_equal(count_open(p), 0);
        p->hold = true;
        sender_set_enabled(p->ctx.sender, true);
        do {
                assert_false(test_deadline_over);
                assert_true(sd_event_run(p->ctx.event, UINT64_MAX) >= 0);
                most = MAX(most, count_open(p));
                assert_in_range(count_open(p), 0, ENDED_READERS_MAX);
                sender_get_stats(p->ctx.sender, &stats);
        } while (stats.in_flight < SENDER_IN_FLIGHT || p->n_held < SENDER_IN_FLIGHT);
        assert_int_equal(most, ENDED_READERS_MAX);
        /* The link is lost, and nobody has anything more of them. */
        sender_set_enabled(p->ctx.sender, false);
        for (size_t i = 0; i < N; i++)
                assert_true(p->list[i]->ended.rests || p->list[i]->send_counted);
        assert_in_range(count_open(p), 0, ENDED_READERS_MAX - SENDER_IN_FLIGHT);
        assert_int_equal(p->n_delivered, 0);
        p->hold = false;
        sender_set_enabled(p->ctx.sender, true);
        while (p->n_delivered < N) {
                assert_false(test_deadline_over);
                assert_true(sd_event_run(p->ctx.event, UINT64_MAX) >= 0);
                assert_in_range(count_open(p), 0, ENDED_READERS_MAX);
        }
        assert_int_equal(p->n_ends, N);
        assert_int_equal(p->ctx.ended_sending, 0);
        for (size_t i = 0; i < N; i++) {
                _cleanup_(conversation_row_done) ConversationRow row = {};

                assert_int_equal(store_get_conversation(p->ctx.store, p->list[i]->row.id, &row), 1);
                assert_true(row.delivered);
                assert_int_equal(strlen(row.session), 1000);
        }
}

static void test_a_reader_goes_with_each_acknowledgement(void **state) {
        Place *p = *state;
        Conversation *c = add_resting(p, 0, 4000, 300, 1000);
        uint64_t before = conversation_queued_bytes(c);

        /* More than a batch: what is left of it rests between two of them. */
        p->hold = true;
        sender_set_enabled(p->ctx.sender, true);
        RUN_UNTIL(p->ctx.event, p->n_held == 1);
        assert_non_null(c->send);
        assert_false(c->ended.rests);
        p->hold = false;
        test_reply(p->held[0], 204, NULL, NULL);
        sender_set_enabled(p->ctx.sender, true);
        RUN_UNTIL(p->ctx.event, c->ended.rests);
        assert_null(c->send);
        assert_null(c->send_row.spec);
        assert_in_range(conversation_queued_bytes(c), 1, before - 1);
        RUN_UNTIL(p->ctx.event, p->n_delivered == 1);
        assert_int_equal(p->n_ends, 1);
}

static void test_all_was_acknowledged_and_not_noted(void **state) {
        Place *p = *state;
        Conversation *c = add(p, 0, 3, 100, 10, true);

        sender_set_enabled(p->ctx.sender, true);
        RUN_UNTIL(p->ctx.event, c->row.delivered);
        assert_int_equal(p->n_delivered, 1);
}

static void test_people_read_few_at_a_time(void **state) {
        Place *p = *state;
        char *cursors[N] = {};

        for (size_t i = 0; i < N; i++) {
                char **events = NULL;

                add_resting(p, i, 4, 100, 10);
                assert_return_code(conversation_read_events(p->list[i], "", 1, &events, &cursors[i]), 0);
                assert_int_equal(strv_length(events), 1);
                strv_free(events);
        }
        for (unsigned turn = 0, n; turn < 2; turn++) {
                n = 0;
                for (size_t i = 0; i < N; i++)
                        n += p->list[i]->local != NULL;
                assert_int_equal(n, ENDED_READERS_MAX);
                /* All go on where they were: three lines and the end. */
                for (size_t i = 0; i < N; i++) {
                        char **events = NULL, *cursor = NULL;

                        assert_return_code(
                                        conversation_read_events(
                                                        p->list[i], cursors[i], 10, &events, &cursor),
                                        0);
                        assert_int_equal(strv_length(events), 4);
                        strv_free(events);
                        free(cursor);
                }
        }
        for (size_t i = 0; i < N; i++)
                free(cursors[i]);
}

/* A runner with so many of them. */
static Conversation *put(Runner *r, Conversation *c, const char *state, bool delivered) {
        *c = (Conversation){
                .row = {.state = (char *) state, .delivered = delivered},
                  .next = r->first
        };
        r->first = c;
        *(streq(state, "ended") ? &r->n_ended : &r->n_live) += 1;
        return c;
}

static void assert_admission(Runner *r, const char *expected) {
        runner_admission_look(r);
        assert_string_equal(admission_to_string(r->admission), expected);
}

static void test_the_bound_and_one_past_it(void **state) {
        _cleanup_free_ Conversation *list = new0(Conversation, ENDED_WAITING_MAX + 100);
        _cleanup_free_ char *text = NULL, *past = NULL;
        RunnerConfig config = { .max_conversations = 16 };
        Runner r = { .config = &config };
        size_t n = 0;

        /* Neither those that live count nor those that are acknowledged. */
        for (size_t i = 0; i < 15; i++)
                put(&r, &list[n++], "live", false);
        for (size_t i = 0; i < ENDED_KEPT_MAX; i++)
                put(&r, &list[n++], "ended", true);
        assert_admission(&r, "");
        for (size_t i = 0; i < ENDED_WAITING_MAX - 1; i++)
                put(&r, &list[n++], "ended", false);
        assert_admission(&r, "");
        Conversation *last = put(&r, &list[n++], "ended", false);
        assert_admission(&r, "unacknowledged");
        text = runner_admission_text(&r);
        assert_string_equal(
                        text,
                        "1024 conversations have ended and wait for the orchestrator to acknowledge their events: its log "
                        "says why it does not");
        /* What runs may end all the same. */
        put(&r, &list[n++], "ended", false);
        assert_admission(&r, "unacknowledged");
        past = runner_admission_text(&r);
        assert_non_null(strstr(past, "1025 conversations"));
        /* It opens with the acknowledgement. */
        last->row.delivered = true;
        assert_admission(&r, "unacknowledged");
        list[n - 1].row.delivered = true;
        assert_admission(&r, "");
        last->row.delivered = false;
        assert_admission(&r, "unacknowledged");
        /* What is for everybody is said first. */
        put(&r, &list[n++], "live", false);
        assert_admission(&r, "capacity");
}

static void test_whom_it_is_for(void **state) {
        for (Admission a = ADMISSION_OPEN; a < _ADMISSION_MAX; a++) {
                assert_int_equal(runner_admission_is_for(a, "orchestrator"), a != ADMISSION_OPEN);
                assert_int_equal(
                                runner_admission_is_for(a, "local"),
                                a != ADMISSION_OPEN && a != ADMISSION_UNACKNOWLEDGED);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_one_that_waits_holds_little, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_that_waits_is_known_as_before, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_sender_reads_few_at_a_time, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                test_a_reader_goes_with_each_acknowledgement, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_was_acknowledged_and_not_noted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_people_read_few_at_a_time, setup, teardown),
                cmocka_unit_test(test_the_bound_and_one_past_it),
                cmocka_unit_test(test_whom_it_is_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
