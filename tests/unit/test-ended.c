/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "ended-place.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-life.h"
#include "runner/link/sender.h"
#include "runner/run/run-internal.h"
#include "runner/runner-internal.h"
#include "runner/runner-link.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-internal.h"
#include "tests/unit/own-event.h"

/* Conversations that have ended and whose events the orchestrator has not acknowledged: what each of them holds, how many are
 * read at a time, and that none of what they say is lost by that. And what is made of it where something on the way from the
 * store to the orchestrator fails. */

#define N 24
/* In docs/performance.md. */
#define BYTES_MAX ((size_t) 8 * 1024)

typedef struct Place {
        EndedPlace base;
        Conversation *list[N];
        bool hold; /* the server does not answer */
        TestRequest *held[16];
        size_t n_held;
        unsigned n_delivered, n_ends, n_posts;
        char **taken;  /* the ids of all events that the server took */
        bool may_fail; /* the store */
        int store_error;
        unsigned n_store_failed;
        int stderr_fd; /* the real one, while ours is a file */
} Place;

/* The server has it now. */
static void take(Place *p, TestRequest *r) {
        static const char key[] = "\"messageId\":\"";

        for (const char *at = r->body; (at = strstr(at, key));) {
                _cleanup_free_ char *id = NULL;

                at += strlen(key);
                id = strndup(at, strcspn(at, "\""));
                assert_non_null(id);
                assert_return_code(strv_extend(&p->taken, id), 0);
        }
        test_reply(r, 204, NULL, NULL);
}

static void on_request(TestRequest *r, void *userdata) {
        Place *p = userdata;

        p->n_posts++;
        for (const char *at = r->body; (at = strstr(at, "\"conversation.ended\"")); at++)
                p->n_ends += !p->hold;
        if (p->hold) {
                assert_true(p->n_held < ELEMENTSOF(p->held));
                p->held[p->n_held++] = r;
        } else
                take(p, r);
}

static void on_delivered(Conversation *c, void *userdata) {
        ((Place *) userdata)->n_delivered++;
}

static void on_store_failed(int error, void *userdata) {
        Place *p = userdata;

        if (!p->may_fail)
                fail_msg("the store failed: %s", strerror(-error));
        p->n_store_failed++;
        p->store_error = error;
        p->base.ctx.run.broken = true;
}

static const ConversationHooks hooks = {
        .changed = ended_place_ignore,
        .events_available = ended_place_ignore,
        .acked = ended_place_ignore,
        .delivered = on_delivered,
        .store_failed = on_store_failed,
};

static int setup(void **state) {
        Place *p = new0(Place, 1);

        assert_non_null(p);
        p->stderr_fd = -EBADF;
        ended_place_open(&p->base, on_request, &hooks, p);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        if (p->stderr_fd >= 0)
                (void) dup2(p->stderr_fd, STDERR_FILENO);
        safe_close(p->stderr_fd);
        for (size_t i = 0; i < N; i++)
                conversation_free(p->list[i]);
        ended_place_close(&p->base);
        strv_free(p->taken);
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

        assert_return_code(mkdirat(p->base.fd, id, 0700), errno);
        assert_return_code(mkdirat(p->base.fd, folder, 0700), errno);
        fd = openat(p->base.fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        for (unsigned i = 0; i < lines; i++)
                assert_int_equal(pwrite_all(fd, "\n", 1, (off_t) (i * size + size - 1)), 0);
        return lines * size;
}

/* One that has ended, as the store has it after a restart, with `weight` bytes in whatever an orchestrator may make long. */
static Conversation *
add(Place *p, size_t i, unsigned lines, size_t line_size, size_t weight, bool run_delivered) {
        _cleanup_free_ char *id = xasprintf("c-%zu", i), *x = text_of(weight),
                            *state = ended_place_state("claude", lines),
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
                .state = CONVERSATION_ENDED,
                .reason = END_STOPPED,
                .detail = strdup(detail),
                .directory = strdup(directory),
                .run = 1,
                .created_usec = 1,
                .ended_usec = 2,
        };
        RunRow run = {
                .conversation = id,
                .run = 1,
                .state = RUN_ENDED,
                .unit = (char *) "northflare-conversation-c-1.scope",
                .spec = spec,
                .driven = write_output(p, id, lines, line_size),
                .driven_state = state,
                .delivered = run_delivered,
        };
        Conversation *c;

        run.out_bytes = run.driven;
        (void) snprintf(run.run_id, sizeof(run.run_id), "%016zx", i);
        c = ended_place_add(&p->base, &row, &run, NULL, "\"reason\":\"stopped\"");
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
                assert_int_equal(p->list[i]->send.queued_since_usec, 2);
        }
        assert_in_range((mallinfo2().uordblks - before) / (N / 2), 0, BYTES_MAX);
}

static void test_one_that_waits_is_known_as_before(void **state) {
        Place *p = *state;
        _cleanup_free_ char *before = NULL, *after = NULL;
        Conversation *c = add(p, 0, 3, 100, 1000, false);

        assert_return_code(conversation_take_all(c), 0);
        assert_non_null(c->run);
        assert_true(c->run->ended); /* nobody answers its questions */
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
                n += p->list[i]->send.reader != NULL;
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
        sender_set_enabled(p->base.ctx.sender, true);
        do {
                assert_false(test_deadline_over);
                assert_true(sd_event_run(p->base.ctx.run.event, UINT64_MAX) >= 0);
                most = MAX(most, count_open(p));
                assert_in_range(count_open(p), 0, ENDED_READERS_MAX);
                sender_get_stats(p->base.ctx.sender, &stats);
        } while (stats.in_flight < SENDER_IN_FLIGHT || p->n_held < SENDER_IN_FLIGHT);
        assert_int_equal(most, ENDED_READERS_MAX);
        /* The link is lost, and nobody has anything more of them. */
        sender_set_enabled(p->base.ctx.sender, false);
        for (size_t i = 0; i < N; i++)
                assert_true(p->list[i]->send.rests || p->list[i]->send.counted);
        assert_in_range(count_open(p), 0, ENDED_READERS_MAX - SENDER_IN_FLIGHT);
        assert_int_equal(p->n_delivered, 0);
        p->hold = false;
        sender_set_enabled(p->base.ctx.sender, true);
        while (p->n_delivered < N) {
                assert_false(test_deadline_over);
                assert_true(sd_event_run(p->base.ctx.run.event, UINT64_MAX) >= 0);
                assert_in_range(count_open(p), 0, ENDED_READERS_MAX);
        }
        assert_int_equal(p->n_ends, N);
        assert_int_equal(p->base.ctx.ended_sending, 0);
        for (size_t i = 0; i < N; i++) {
                _cleanup_(conversation_row_done) ConversationRow row = {};

                assert_int_equal(store_get_conversation(p->base.ctx.run.store, p->list[i]->row.id, &row), 1);
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
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_held == 1);
        assert_non_null(c->send.reader);
        assert_false(c->send.rests);
        p->hold = false;
        take(p, p->held[0]);
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, c->send.rests);
        assert_null(c->send.reader);
        assert_null(c->send.row.spec);
        assert_in_range(conversation_queued_bytes(c), 1, before - 1);
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        assert_int_equal(p->n_ends, 1);
}

static void test_all_was_acknowledged_and_not_noted(void **state) {
        Place *p = *state;
        Conversation *c = add(p, 0, 3, 100, 10, true);

        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, c->row.delivered);
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
                        n += p->list[i]->local.reader != NULL;
                assert_int_equal(n, ENDED_READERS_MAX);
                /* All go on where they were: three lines and the end. */
                for (size_t i = 0; i < N; i++) {
                        char **events = NULL, *cursor = NULL;

                        assert_return_code(
                                conversation_read_events(p->list[i], cursors[i], 10, &events, &cursor), 0);
                        assert_int_equal(strv_length(events), 4);
                        strv_free(events);
                        free(cursor);
                }
        }
        for (size_t i = 0; i < N; i++)
                free(cursors[i]);
}

/* ---- what fails on the way ---- */

/* On the store's own connection, since its lock keeps out all others. */
static void run_sql(Place *p, const char *sql) {
        char *error = NULL;

        if (sqlite3_exec(p->base.ctx.run.store->db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
}

/* From where such events of the conversation cannot be read, whatever comes before them can. */
static void spoil_own_events(Place *p, const char *method) {
        _cleanup_free_ char *view = xasprintf(
                "CREATE VIEW own_events AS SELECT seq, conversation, run, at_offset, message_id, method, "
                "CASE WHEN method = '%s' THEN abs(-9223372036854775807 - 1) ELSE members END AS members "
                "FROM own_rows",
                method);

        run_sql(p, "ALTER TABLE own_events RENAME TO own_rows");
        run_sql(p, view);
}

static void mend_own_events(Place *p) {
        run_sql(p, "DROP VIEW own_events; ALTER TABLE own_rows RENAME TO own_events");
}

static Conversation *make_live(Conversation *c) {
        c->row.state = CONVERSATION_LIVE;
        return c;
}

/* It is tried again after five seconds, or more where that was not the first time, which begin and are over now. */
static void let_again_come(Place *p, Conversation *c) {
        uint64_t at, turn;

        assert_non_null(c->send.again);
        assert_return_code(sd_event_now(p->base.ctx.run.event, CLOCK_MONOTONIC, &turn), 0);
        assert_return_code(sd_event_source_get_time(c->send.again, &at), 0);
        assert_int_equal(at - turn, c->send.again_usec);
        assert_in_range(c->send.again_usec, 5 * USEC_PER_SEC, 20 * USEC_PER_SEC);
        assert_return_code(sd_event_source_set_time_relative(c->send.again, 0), 0);
        assert_return_code(sd_event_source_set_time_accuracy(c->send.again, 1), 0);
}

/* Nothing is kept of what was read, and nothing is said to be under way. */
static void assert_nothing_read(Place *p, Conversation *c) {
        SenderStats stats;

        sender_get_stats(p->base.ctx.sender, &stats);
        assert_int_equal(stats.in_flight, 0);
        assert_null(c->send.reader);
        assert_null(c->send.ack_state);
        assert_false(c->send.ack_pending);
        assert_false(c->row.delivered);
        assert_int_equal(p->base.ctx.ended_sending, 0);
        assert_int_equal(p->n_delivered, 0);
}

/* The server took each line of the conversation once and in order, and then so many events of the runner's own. */
static void assert_all_taken(Place *p, Conversation *c, unsigned lines, size_t size, unsigned own) {
        assert_int_equal(strv_length(p->taken), lines + own);
        for (unsigned i = 0; i < lines; i++) {
                _cleanup_free_ char *id = xasprintf("%016x:%zu.0", (unsigned) atoi(c->row.id + 2), i * size);

                assert_string_equal(p->taken[i], id);
        }
        for (size_t i = lines; i < lines + own; i++)
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(p->taken[k], p->taken[i]);
}

static void move(Place *p, const char *from, const char *to) {
        assert_return_code(renameat(p->base.fd, from, p->base.fd, to), errno);
}

static void hide_runs(Place *p) {
        run_sql(p, "ALTER TABLE runs RENAME TO runs_away");
}

static void show_runs(Place *p) {
        run_sql(p, "ALTER TABLE runs_away RENAME TO runs");
}

static void link_output(Place *p) {
        move(p, "c-0/1/out.log", "c-0/1/away");
        assert_return_code(symlinkat("away", p->base.fd, "c-0/1/out.log"), errno);
}

static void unlink_output(Place *p) {
        assert_return_code(unlinkat(p->base.fd, "c-0/1/out.log", 0), errno);
        move(p, "c-0/1/away", "c-0/1/out.log");
}

static void make_output_a_folder(Place *p) {
        move(p, "c-0/1/out.log", "c-0/1/away");
        assert_return_code(mkdirat(p->base.fd, "c-0/1/out.log", 0700), errno);
}

static void remove_the_folder(Place *p) {
        assert_return_code(unlinkat(p->base.fd, "c-0/1/out.log", AT_REMOVEDIR), errno);
        move(p, "c-0/1/away", "c-0/1/out.log");
}

static void test_what_cannot_be_read_at_all_is_read_later(void **state) {
        static const struct {
                void (*spoil)(Place *p);
                void (*mend)(Place *p);
        } cases[] = {
                { hide_runs, show_runs },
                { link_output, unlink_output },
                { make_output_a_folder, remove_the_folder },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases) * 2; i++) {
                bool live = i % 2;
                Place *p = *state;
                Conversation *c = live ? make_live(add(p, 0, 3, 100, 10, false)) :
                                         add_resting(p, 0, 3, 100, 10);

                cases[i / 2].spoil(p);
                sender_set_enabled(p->base.ctx.sender, true);
                RUN_UNTIL(p->base.ctx.run.event, c->send.again);
                assert_nothing_read(p, c);
                /* Not for good. */
                let_again_come(p, c);
                sd_event_source *first = sd_event_source_ref(c->send.again);
                RUN_UNTIL(p->base.ctx.run.event, c->send.again && c->send.again != first);
                sd_event_source_unref(first);
                assert_nothing_read(p, c);
                cases[i / 2].mend(p);
                /* While it waits it holds as little as before, and it is not forgotten what that is. */
                assert_int_equal(conversation_queued_events(c), 4);
                assert_int_equal(conversation_queued_bytes(c), 300);
                if (!live && i / 2 > 0)
                        assert_null(c->send.row.spec);
                assert_int_equal(p->n_posts, 0);
                let_again_come(p, c);
                if (live)
                        RUN_UNTIL(p->base.ctx.run.event, c->send.row.delivered);
                else
                        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
                assert_all_taken(p, c, 3, 100, 1);
                assert_null(c->send.again);
                teardown(state);
                setup(state);
        }
}

static void test_what_cannot_be_read_is_said_once(void **state) {
        _cleanup_free_ char *text = NULL;
        Place *p = *state;
        Conversation *c = add_resting(p, 0, 3, 100, 10);
        int log = openat(p->base.fd, "log", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        p->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_return_code(dup2(log, STDERR_FILENO), errno);
        safe_close(log);
        log_set_max_level(LOG_INFO);
        hide_runs(p);
        sender_set_enabled(p->base.ctx.sender, true);
        for (unsigned i = 0; i < 3; i++) {
                RUN_UNTIL(p->base.ctx.run.event, c->send.again);
                let_again_come(p, c);
                RUN_UNTIL(p->base.ctx.run.event, !c->send.again);
        }
        show_runs(p);
        /* The fourth of them is under way. */
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        log_set_max_level(LOG_DEBUG);
        assert_return_code(read_file_at(p->base.fd, "log", 64 * 1024, &text, NULL), 0);
        assert_non_null(strstr(text, "Failed to read the events of conversation c-0"));
        assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
        assert_false(c->send.failed);
}

static void test_one_that_is_gone_is_not_read_again(void **state) {
        Place *p = *state;
        Conversation *c = add_resting(p, 0, 3, 100, 10);

        hide_runs(p);
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, c->send.again);
        let_again_come(p, c);
        p->list[0] = conversation_free(c);
        while (sd_event_run(p->base.ctx.run.event, 0) > 0)
                ;
}

static void test_what_cannot_be_read_to_the_end_of_a_batch_is_read_once_more(void **state) {
        for (unsigned live = 0; live < 2; live++) {
                Place *p = *state;
                Conversation *c = add(p, 0, 3, 100, 10, false);

                assert_return_code(
                        add_own_event(p->base.ctx.run.store, "c-0", 1, 300, NULL, "error.report", "", NULL),
                        0);
                if (live)
                        make_live(c);
                /* The lines and one event are in the batch when the other one is asked for. */
                spoil_own_events(p, "error.report");
                sender_set_enabled(p->base.ctx.sender, true);
                RUN_UNTIL(p->base.ctx.run.event, c->send.again);
                assert_nothing_read(p, c);
                assert_int_equal(p->n_posts, 0);
                mend_own_events(p);
                assert_int_equal(conversation_queued_events(c), 5);
                let_again_come(p, c);
                if (live)
                        RUN_UNTIL(p->base.ctx.run.event, c->send.row.delivered);
                else
                        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
                assert_all_taken(p, c, 3, 100, 2);
                assert_null(c->send.again);
                teardown(state);
                setup(state);
        }
}

/* Memory was short when the last batch was to have an event that then did not become one. */
static bool short_of_memory;

int __real_event_reader_read(EventReader *r, uint64_t limit, const EventOut *out);
int __wrap_event_reader_read(EventReader *r, uint64_t limit, const EventOut *out);
int __wrap_event_reader_read(EventReader *r, uint64_t limit, const EventOut *out) {
        int k = __real_event_reader_read(r, limit, out);

        if (short_of_memory)
                out->buffer(out->userdata)->failed = true;
        short_of_memory = false;
        return k;
}

static void test_a_batch_without_memory_is_read_once_more(void **state) {
        Place *p = *state;
        Conversation *c = make_live(add(p, 0, 3, 100, 10, false));

        short_of_memory = true;
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, !short_of_memory);
        assert_nothing_read(p, c);
        let_again_come(p, c);
        RUN_UNTIL(p->base.ctx.run.event, c->send.row.delivered);
        assert_all_taken(p, c, 3, 100, 1);
}

static void assert_stored(Place *p, uint64_t acked, bool run_delivered, bool delivered) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        _cleanup_(run_row_done) RunRow run = {};

        assert_int_equal(store_get_conversation(p->base.ctx.run.store, "c-0", &row), 1);
        assert_int_equal(store_get_run(p->base.ctx.run.store, "c-0", 1, &run), 1);
        assert_int_equal(run.acked, acked);
        assert_int_equal(run.delivered, run_delivered);
        assert_int_equal(row.delivered, delivered);
}

/* As the runner does it some time after its store has failed. */
static Conversation *read_all_again(Place *p) {
        ConversationRow row = {};

        p->list[0] = conversation_free(p->list[0]);
        p->base.ctx.run.broken = false;
        assert_int_equal(store_get_conversation(p->base.ctx.run.store, "c-0", &row), 1);
        assert_return_code(conversation_new(&p->base.ctx, &row, &p->list[0]), 0);
        assert_return_code(conversation_send_open(p->list[0]), 0);
        return p->list[0];
}

static void refuse(Place *p, const char *what) {
        _cleanup_free_ char *sql = xasprintf(
                "CREATE TRIGGER refuse BEFORE UPDATE ON %s BEGIN SELECT RAISE (ABORT, 'no'); END", what);

        run_sql(p, sql);
}

static void accept_again(Place *p) {
        run_sql(p, "DROP TRIGGER refuse");
}

static void test_an_acknowledgement_that_cannot_be_stored_is_none(void **state) {
        Place *p = *state;
        Conversation *c = add(p, 0, 3, 100, 10, false);

        p->may_fail = true;
        refuse(p, "progress");
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_store_failed > 0);
        assert_int_equal(p->store_error, -EEXIST);
        assert_false(c->send.row.delivered);
        assert_false(c->row.delivered);
        /* Until everything is read from the store again, nothing goes on. */
        while (sd_event_run(p->base.ctx.run.event, 0) > 0)
                ;
        assert_int_equal(p->n_store_failed, 1);
        assert_int_equal(p->n_posts, 1);
        assert_int_equal(p->n_delivered, 0);
        assert_false(c->send.row.delivered);
        assert_stored(p, 0, false, false);
        accept_again(p);
        p->taken = strv_free(p->taken);
        c = read_all_again(p);
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        /* With the ids by which the orchestrator knows that it has them. */
        assert_all_taken(p, c, 3, 100, 1);
        assert_stored(p, 300, true, true);
        assert_int_equal(p->n_store_failed, 1);
}

/* A runner before this one has noted all of it but that it was all. */
static void test_an_end_that_cannot_be_stored_is_none(void **state) {
        Place *p = *state;
        RunRow run = {};
        Conversation *c = add(p, 0, 3, 100, 10, false);

        assert_int_equal(store_get_run(p->base.ctx.run.store, "c-0", 1, &run), 1);
        assert_return_code(
                store_set_acked(p->base.ctx.run.store, "c-0", 1, 300, 1, run.driven_state, false), 0);
        run_row_done(&run);
        p->may_fail = true;
        refuse(p, "progress");
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_store_failed > 0);
        assert_nothing_read(p, c);
        assert_int_equal(p->store_error, -EEXIST);
        assert_false(c->send.row.delivered);
        assert_stored(p, 300, false, false);
        /* Should the store be there again before it is read again. */
        accept_again(p);
        p->base.ctx.run.broken = false;
        let_again_come(p, c);
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        assert_stored(p, 300, true, true);
        assert_int_equal(p->n_posts, 0);
        assert_int_equal(p->n_store_failed, 1);
}

static void test_a_delivery_that_cannot_be_stored_is_none(void **state) {
        Place *p = *state;
        Conversation *c = add(p, 0, 3, 100, 10, false);

        p->may_fail = true;
        refuse(p, "conversations");
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_store_failed > 0);
        assert_int_equal(p->store_error, -EEXIST);
        while (sd_event_run(p->base.ctx.run.event, 0) > 0)
                ;
        assert_int_equal(p->n_store_failed, 1);
        assert_int_equal(p->n_delivered, 0);
        assert_false(c->row.delivered);
        assert_stored(p, 300, true, false);
        accept_again(p);
        c = read_all_again(p);
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        assert_true(c->row.delivered);
        assert_stored(p, 300, true, true);
        /* The events were acknowledged. */
        assert_int_equal(p->n_posts, 1);
        assert_all_taken(p, c, 3, 100, 1);
}

/* What was acknowledged is then known here only, and nobody may forget it. */
static void test_a_cursor_that_cannot_be_stored_is_kept(void **state) {
        Place *p = *state;
        Conversation *c = add_resting(p, 0, 4000, 300, 10);

        run_sql(p,
                "CREATE TRIGGER refuse BEFORE UPDATE ON progress WHEN NOT NEW.delivered BEGIN SELECT RAISE (ABORT, "
                "'no'); END");
        p->hold = true;
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_held == 1);
        take(p, p->held[0]);
        RUN_UNTIL(p->base.ctx.run.event, p->n_held == 2);
        assert_stored(p, 0, false, false);
        assert_true(c->send.row.acked > 0);
        /* The second batch is lost with the link. */
        sender_set_enabled(p->base.ctx.sender, false);
        assert_false(c->send.rests);
        p->hold = false;
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, p->n_delivered == 1);
        assert_all_taken(p, c, 4000, 300, 1);
        assert_int_equal(p->base.ctx.ended_sending, 0);
}

/* Of one that runs, and whose output was read further than the store has it. */
static Conversation *add_running(Place *p, size_t i) {
        Conversation *c = add(p, i, 3, 100, 10, false);

        assert_return_code(conversation_take_all(c), 0);
        c->run->row.state = RUN_LIVE;
        c->run->ended = false;
        make_live(c);
        assert_return_code(store_set_driven(p->base.ctx.run.store, c->row.id, 1, 0, NULL), 0);
        c->run->output.stored = 0;
        return c;
}

/* On the store of the place. */
static Runner *make_runner(Place *p) {
        Runner *r;

        assert_return_code(runner_new(p->base.ctx.run.event, NULL, &p->base.config, &r), 0);
        r->store = r->ctx->run.store = p->base.ctx.run.store;
        return r;
}

static void free_runner(Runner *r) {
        r->store = r->ctx->run.store = NULL;
        runner_free(r);
}

static void test_cursors_of_a_transaction_that_failed_are_stored_later(void **state) {
        _cleanup_(run_row_done) RunRow before = {}, after = {};
        Place *p = *state;
        Conversation *first = add_running(p, 0), *second = add_running(p, 1);
        Runner *r = make_runner(p);

        registry_add(r->conversations, first);
        registry_add(r->conversations, second);
        sender_set_enabled(p->base.ctx.sender, true);
        RUN_UNTIL(p->base.ctx.run.event, first->send.dirty && second->send.dirty);
        run_sql(p,
                "CREATE TRIGGER refuse BEFORE UPDATE ON progress WHEN NEW.conversation = 'c-1' BEGIN SELECT RAISE "
                "(ABORT, 'no'); END");
        runner_flush_cursors(r);
        assert_true(first->send.dirty);
        assert_int_equal(store_get_run(p->base.ctx.run.store, "c-0", 1, &before), 1);
        assert_int_equal(before.acked, 0);
        assert_int_equal(before.driven, 0);
        accept_again(p);
        runner_flush_cursors(r);
        assert_int_equal(store_get_run(p->base.ctx.run.store, "c-0", 1, &after), 1);
        assert_int_equal(after.acked, 300);
        assert_int_equal(after.driven, 300);
        /* Nor does it matter where not even that can be begun. */
        first->send.dirty = true;
        run_sql(p, "BEGIN IMMEDIATE");
        runner_flush_cursors(r);
        run_sql(p, "ROLLBACK");
        assert_true(first->send.dirty);
        assert_int_equal(strv_length(p->taken), 8);
        registry_remove(r->conversations, first);
        registry_remove(r->conversations, second);
        free_runner(r);
}

/* No response waits for an acknowledgement. */
static bool all_heard(Place *p) {
        _cleanup_(inbound_message_done) InboundMessage m = {};

        return store_next_response(p->base.ctx.run.store, 0, &m) == 0;
}

/* What the runner itself answers and says is lost with a batch as well, and said again. */
static void test_a_response_is_not_lost_with_its_batch(void **state) {
        static char *const headers[] = { (char *) "Content-Type: application/json", NULL };
        Place *p = *state;
        Runner *r = make_runner(p);
        InboundMessage m = { .envelope_id = (char *) "m-1",
                             .method = (char *) "runner.ping",
                             .params = (char *) "{}",
                             .request_id = (char *) "1",
                             .response = (char *) "{\"id\":1,\"messageId\":\"rsp:m-1\"}" };

        p->base.config.orchestrator_url = (char *) test_server_url(p->base.server);
        p->base.config.messages_path = p->base.config.events_path = (char *) "/";
        p->base.config.retry_strategy = (char *) "none";
        assert_return_code(store_accept(p->base.ctx.run.store, &m, NULL, true, &m.seq), 0);
        assert_return_code(
                add_own_event(p->base.ctx.run.store, "", 0, 0, "said", "error.report", "\"a\":1", NULL), 0);
        spoil_own_events(p, "error.report");
        assert_return_code(runner_open_link(r), 0);
        assert_return_code(sender_set_target(r->ctx->sender, test_server_url(p->base.server), headers), 0);
        sender_set_enabled(r->ctx->sender, true);
        while (sd_event_run(p->base.ctx.run.event, 0) > 0)
                ;
        assert_int_equal(p->n_posts, 0);
        mend_own_events(p);
        /* Nobody has anything new to say: it is tried again with what is done every minute. */
        runner_flush_cursors(r);
        RUN_UNTIL(p->base.ctx.run.event, all_heard(p));
        assert_int_equal(strv_length(p->taken), 2);
        assert_string_equal(p->taken[0], "rsp:m-1");
        assert_string_equal(p->taken[1], "said");
        free_runner(r);
}

/* ---- how many there may be ---- */

/* So many of them. */
static Conversation *put(Registry *g, Conversation *c, const char *state, bool delivered) {
        *c = (Conversation){
                .row = { .state = conversation_state_from_string(state), .delivered = delivered },
        };
        registry_add(g, c);
        return c;
}

static void assert_admission(AdmissionGate *g, const char *expected) {
        admission_gate_check(g);
        assert_string_equal(admission_to_string(admission_gate_get(g)), expected);
}

static void test_the_bound_and_one_past_it(void **state) {
        _cleanup_free_ Conversation *list = new0(Conversation, ENDED_WAITING_MAX + 100);
        _cleanup_free_ char *text = NULL, *past = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        RunnerConfig config = { .max_conversations = 16 };
        Registry *g;
        Runner *r;
        size_t n = 0;

        assert_return_code(sd_event_new(&event), 0);
        assert_return_code(runner_new(event, NULL, &config, &r), 0);
        g = r->conversations;

        /* Neither those that live count nor those that are acknowledged. */
        for (size_t i = 0; i < 15; i++)
                put(g, &list[n++], "live", false);
        for (size_t i = 0; i < ENDED_KEPT_MAX; i++)
                put(g, &list[n++], "ended", true);
        assert_admission(r->gate, "");
        for (size_t i = 0; i < ENDED_WAITING_MAX - 1; i++)
                put(g, &list[n++], "ended", false);
        assert_admission(r->gate, "");
        Conversation *last = put(g, &list[n++], "ended", false);
        assert_admission(r->gate, "unacknowledged");
        text = admission_gate_text(r->gate);
        assert_string_equal(
                text,
                "1024 conversations have ended and wait for the orchestrator to acknowledge their events: "
                "see the orchestrator's log");
        /* What runs may end all the same. */
        put(g, &list[n++], "ended", false);
        assert_admission(r->gate, "unacknowledged");
        past = admission_gate_text(r->gate);
        assert_non_null(strstr(past, "1025 conversations"));
        /* It opens with the acknowledgement. */
        last->row.delivered = true;
        assert_admission(r->gate, "unacknowledged");
        list[n - 1].row.delivered = true;
        assert_admission(r->gate, "");
        last->row.delivered = false;
        assert_admission(r->gate, "unacknowledged");
        /* What is for everybody is said first. */
        put(g, &list[n++], "live", false);
        assert_admission(r->gate, "capacity");
        for (size_t i = 0; i < n; i++)
                registry_remove(g, &list[i]);
        runner_free(r);
}

static void test_whom_it_is_for(void **state) {
        for (Admission a = ADMISSION_OPEN; a < _ADMISSION_MAX; a++) {
                assert_int_equal(admission_is_for_origin(a, "orchestrator"), a != ADMISSION_OPEN);
                assert_int_equal(
                        admission_is_for_origin(a, "local"),
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
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_read_at_all_is_read_later, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_said_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_that_is_gone_is_not_read_again, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_read_to_the_end_of_a_batch_is_read_once_more, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_batch_without_memory_is_read_once_more, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_an_acknowledgement_that_cannot_be_stored_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_end_that_cannot_be_stored_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_delivery_that_cannot_be_stored_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_cursor_that_cannot_be_stored_is_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_cursors_of_a_transaction_that_failed_are_stored_later, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_response_is_not_lost_with_its_batch, setup, teardown),
                cmocka_unit_test(test_the_bound_and_one_past_it),
                cmocka_unit_test(test_whom_it_is_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
