/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "conversation-place.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-run.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/store/state-step.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"

/* ---- git ---- */

int checkout_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *conversation,
        const char *workspace,
        Json *repository,
        CheckoutProgress progress,
        CheckoutDone done,
        void *userdata,
        Checkout **ret) {
        *ret = new0(Checkout, 1);
        assert_non_null(*ret);
        **ret = (Checkout){ done, userdata };
        fake_run_call("checkout");
        return 0;
}

Checkout *checkout_free(Checkout *c) {
        if (c)
                fake_run_call("checkout-free");
        free(c);
        return NULL;
}

int checkout_status_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *conversation,
        const char *workspace,
        const char *directory,
        CheckoutStatusDone done,
        void *userdata,
        CheckoutStatus **ret) {
        *ret = new0(CheckoutStatus, 1);
        assert_non_null(*ret);
        **ret = (CheckoutStatus){ done, userdata };
        fake_run_call("git");
        return 0;
}

CheckoutStatus *checkout_status_free(CheckoutStatus *s) {
        free(s);
        return NULL;
}

/* ---- the owner: what is announced is stored ---- */

bool in_transaction(Place *p) {
        return !sqlite3_get_autocommit(p->ctx.run.store->db);
}

static void on_changed(Conversation *c, void *userdata) {
        assert_false(in_transaction(userdata));
        fake_run_call("changed");
}

static void on_events(Conversation *c, void *userdata) {
        Place *p = userdata;

        assert_false(in_transaction(p));
        p->n_visible = store_count_own_events(p->ctx.run.store, "c-1", 1, p->events_read);
        fake_run_call("events");
}

static void on_responded(Conversation *c, int64_t seq, EndReason reason, void *userdata) {
        assert_false(in_transaction(userdata));
        fake_run_call("responded:%s", end_reason_to_string(reason));
}

static void on_ended(Conversation *c, void *userdata) {
        assert_false(in_transaction(userdata));
        fake_run_call("ended");
}

static void on_store_failed(int error, void *userdata) {
        assert_true(error < 0);
        assert_false(in_transaction(userdata));
        fake_run_call("store-failed");
}

static void on_no_room(void *userdata) {
        fake_run_call("no-room");
}

static int on_expiring(Conversation *c, const char *request_id, void *userdata) {
        Place *p = userdata;

        assert_true(in_transaction(p));
        fake_run_call("expiring:%s", request_id);
        return p->expiring_error;
}

static void on_expired(Conversation *c, const char *request_id, void *userdata) {
        assert_false(in_transaction(userdata));
        fake_run_call("expired:%s", request_id);
}

static const ConversationHooks hooks = {
        .changed = on_changed,
        .events_available = on_events,
        .responded = on_responded,
        .ended = on_ended,
        .store_failed = on_store_failed,
        .no_room = on_no_room,
        .question_expiring = on_expiring,
        .question_expired = on_expired,
};

/* ---- the store ---- */

static int on_commit(void *userdata) {
        Place *p = userdata;

        if (p->commit_fails)
                return 1;
        p->n_commits++;
        return 0;
}

static void sql(Place *p, const char *format, ...) _printf_(2, 3);

static void sql(Place *p, const char *format, ...) {
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        assert_int_equal(sqlite3_exec(p->ctx.run.store->db, text, NULL, NULL, NULL), SQLITE_OK);
}

void begin_failure(Place *p, const Failure *f) {
        if (f->table)
                sql(p,
                    "CREATE TEMP TRIGGER broken BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'broken'); END",
                    f->operation,
                    f->table);
        p->commit_fails = f->commit;
        p->expiring_error = f->expiring;
        fake_run.effects_error = f->effects;
        fake_run.started_error = f->started;
        fake_run.end_error = f->end;
}

void end_failure(Place *p, const Failure *f) {
        if (f->table)
                sql(p, "DROP TRIGGER broken");
        p->commit_fails = false;
        p->expiring_error = fake_run.effects_error = fake_run.started_error = fake_run.end_error = 0;
}

/* All that a conversation may write to, as text. */
char *dump(Place *p) {
        static const char *const tables[] = {
                "conversations", "runs",       "progress",  "own_events",
                "input",         "input_size", "responses", "inbound",
        };
        Buffer b = {};

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                _cleanup_free_ char *query = xasprintf("SELECT * FROM %s ORDER BY 1, 2", tables[i]);
                sqlite3_stmt *stmt;

                assert_non_null(query);
                assert_int_equal(
                        sqlite3_prepare_v2(p->ctx.run.store->db, query, -1, &stmt, NULL), SQLITE_OK);
                while (sqlite3_step(stmt) == SQLITE_ROW) {
                        for (int k = 0; k < sqlite3_column_count(stmt); k++)
                                (void) buffer_printf(
                                        &b, "%s|", strempty((const char *) sqlite3_column_text(stmt, k)));
                        (void) buffer_append_str(&b, "\n");
                }
                sqlite3_finalize(stmt);
        }
        return buffer_steal(&b);
}

static int append_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        return buffer_append(userdata, data, size);
}

/* in.log as it has to become. */
char *input(Place *p) {
        Buffer b = {};

        assert_return_code(buffer_append_str(&b, ""), 0);
        assert_return_code(store_unwritten_input(p->ctx.run.store, "c-1", p->run, append_input, &b), 0);
        return buffer_steal(&b);
}

void assert_input(Place *p, const char *text) {
        _cleanup_free_ char *is = input(p);

        assert_string_equal(is, text);
}

void assert_calls(const char *words) {
        assert_string_equal(strempty(fake_run.calls.data), words);
        buffer_done(&fake_run.calls);
}

/* The own events since the last time. */
void assert_events(Place *p, const char *lines) {
        _cleanup_buffer_ Buffer b = {};

        for (;;) {
                _cleanup_(own_event_done) OwnEvent e = {};

                if (store_next_own_event(p->ctx.run.store, "c-1", p->run, p->events_read, &e) <= 0)
                        break;
                (void) buffer_printf(&b, "%s %s\n", e.method, e.members);
                p->events_read = e.seq;
        }
        assert_string_equal(strempty(b.data), lines);
}

void skip_events(Place *p) {
        for (;;) {
                _cleanup_(own_event_done) OwnEvent e = {};

                if (store_next_own_event(p->ctx.run.store, "c-1", p->run, p->events_read, &e) <= 0)
                        return;
                p->events_read = e.seq;
        }
}

int64_t accept_message(Place *p, const char *method, const char *params, const char *request_id) {
        _cleanup_free_ char *id = xasprintf("m-%u", ++p->n_accepted);
        int64_t seq;

        assert_int_equal(
                store_accept(
                        p->ctx.run.store,
                        &(InboundMessage){
                                .envelope_id = id,
                                .conversation = (char *) "c-1",
                                .method = (char *) method,
                                .params = (char *) params,
                                .request_id = (char *) request_id,
                                .received_usec = 1,
                        },
                        NULL,
                        false,
                        &seq),
                1);
        p->c->n_pending++;
        return seq;
}

void say(Place *p, const char *content) {
        _cleanup_free_ char *params = xasprintf("{\"content\":\"%s\"}", content);

        (void) accept_message(p, "message.user", params, NULL);
}

int64_t count_pending(Place *p) {
        return store_count_pending(p->ctx.run.store, "c-1");
}

/* ---- a conversation that lives ---- */

void set_params(Place *p, const char *name, const char *text) {
        Json *value;

        assert_return_code(json_parse(text, strlen(text), &value, NULL), 0);
        assert_return_code(json_set(p->c->params, name, value), 0);
}

/* One that waits for nothing, without any event or message. state: of its row. */
void begin_in(Place *p, ConversationState state) {
        bool live = state == CONVERSATION_LIVE;
        ConversationRow row = {
                .id = strdup("c-1"),
                .workspace = strdup("w"),
                .agent = strdup("shell"),
                .origin = strdup("local"),
                .params = strdup("{\"prompt\":\"x\"}"),
                .state = state,
                .run = 1,
                .created_usec = 1,
        };
        RunRow run = {
                .conversation = strdup("c-1"),
                .run = 1,
                .run_id = "0000000000000001",
                .state = live ? RUN_LIVE : RUN_PREPARING,
                .unit = live ? strdup(UNIT) : NULL,
                .spec = strdup("{}"),
                .out_bytes = UINT64_MAX,
                .started_usec = live,
        };

        p->c = conversation_free(p->c);
        fake_run_reset();
        sql(p, "DELETE FROM own_events");
        sql(p, "DELETE FROM inbound");
        sql(p, "DELETE FROM responses");
        p->run = 1;
        assert_return_code(store_put_conversation(p->ctx.run.store, &row), 0);
        assert_return_code(store_put_run(p->ctx.run.store, &run), 0);
        assert_return_code(conversation_new(&p->ctx, &row, &p->c), 0);
        assert_return_code(conversation_make_run(p->c, &run), 0);
        p->c->last_phase = conversation_phase(p->c);
        p->n_commits = 0;
}

void begin(Place *p) {
        begin_in(p, CONVERSATION_LIVE);
}

int setup(void **state) {
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);

        state_steps_set_critical(true);
        assert_non_null(p);
        *state = p;
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-conversation-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_return_code(sd_event_new(&p->event), 0);
        p->config.stop_grace_ms = 600 * 1000;
        p->ctx = (ConversationContext){
                .run.event = p->event,
                .run.config = &p->config,
                .run.state_fd = p->fd,
                .run.conversations_fd = p->fd,
                .run.ready = true,
                .hooks = &hooks,
                .userdata = p,
        };
        assert_return_code(store_open(p->fd, p->path, &p->ctx.run.store, &error), 0);
        if (!p->ctx.run.store)
                return -1;
        (void) sqlite3_commit_hook(p->ctx.run.store->db, on_commit, p);
        begin(p);
        return 0;
}

int teardown(void **state) {
        Place *p = *state;

        conversation_free(p->c);
        fake_run_reset();
        store_close(p->ctx.run.store);
        sd_event_unref(p->event);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p);
        return 0;
}

/* ---- what its run reports ---- */

int report_effects(Place *p, const char *lines, const char *session, bool replayed) {
        _cleanup_(run_effects_done)
                RunEffects e = { .run = p->c->run, .session = session, .replayed = replayed };

        assert_return_code(buffer_append_str(&e.lines, lines), 0);
        if (e.lines.size > 0)
                assert_return_code(run_effects_add(&e, 0, 0), 0);
        return p->c->run->ops->effects(&e, p->c->run->userdata);
}

void report_driven(Place *p, bool progress) {
        p->c->run->ops->driven(progress, p->c->run->userdata);
}

uint64_t time_left(Place *p) {
        uint64_t at, now = now_usec(CLOCK_MONOTONIC);
        int enabled;

        if (!p->c->stop.timer)
                return 0;
        assert_return_code(sd_event_source_get_enabled(p->c->stop.timer, &enabled), 0);
        if (enabled == SD_EVENT_OFF)
                return 0;
        assert_return_code(sd_event_source_get_time(p->c->stop.timer, &at), 0);
        return at > now ? at - now : 1;
}

/* The timer of the stop has that much left, less what this test has taken. */
void assert_time_left(Place *p, uint64_t usec) {
        uint64_t left = time_left(p);

        assert_true(left > usec * 9 / 10 && left <= usec);
}

void let_time_pass(Place *p) {
        assert_true(time_left(p) > 0);
        assert_return_code(sd_event_source_set_time(p->c->stop.timer, 1), 0);
        assert_true(sd_event_run(p->event, USEC_PER_SEC) > 0);
}

void report_ordered(Place *p, LauncherVerb verb, int error, const char *text) {
        fake_run.orders[verb] = false;
        p->c->run->ops->ordered(verb, error, text, p->c->run->userdata);
}

void report_over(Place *p) {
        p->c->run->ended = true;
        run_conclude(p->c->run);
}

void report_released(Place *p) {
        p->c->run->ops->released(p->c->run->userdata);
}

void stop(Place *p, StopCause cause, uint64_t grace_usec) {
        conversation_stop(p->c, &(StopOrder){ .cause = cause, .grace_usec = grace_usec });
}

/* Starts it, up to where the launcher has to answer. */
void begin_start(Place *p) {
        begin_in(p, CONVERSATION_STARTING);
        conversation_advance(p->c);
        assert_calls("start");
        assert_int_equal(p->c->row.state, CONVERSATION_STARTING);
        assert_true(p->c->run->under_way);
        p->n_commits = 0;
}

void report_started(Place *p) {
        p->c->run->under_way = false;
        p->c->run->ops->started(UNIT, "0123", p->c->run->userdata);
}

/* ---- its end ---- */

static char *detail(Place *p, const char *name) {
        _cleanup_json_ Json *o = NULL;
        const char *s;

        assert_non_null(p->c->row.detail);
        assert_return_code(json_parse(p->c->row.detail, strlen(p->c->row.detail), &o, NULL), 0);
        s = json_get_string(o, name);
        return s ? strdup(s) : NULL;
}

void assert_detail(Place *p, const char *name, const char *text) {
        _cleanup_free_ char *is = detail(p, name);

        if (text)
                assert_string_equal(strempty(is), text);
        else
                assert_null(is);
}

void use(void) {
        fake_run.usage = (DriverUsage){ 1, 2, 3, 4, 5, .cost_usd = 0.5, .has_cost = true };
}

void take_checkout(Place *p) {
        assert_return_code(free_and_strdup(&p->c->row.directory, "/d"), 0);
        assert_return_code(free_and_strdup(&p->c->row.branch, "b"), 0);
}
