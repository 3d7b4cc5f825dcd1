/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "hub-place.h"
#include "runner/runner-adopt.h"
#include "runner/scope/run-directory.h"
#include "runner/store/state-step.h"
#include "runner/store/store-internal.h"

static Place *place;

/* ---- PID 1, the launcher, the kernel ---- */

int units_list(Units *u, char ***ret) {
        *ret = new0(char *, 1);
        return place->scope ? strv_extend(ret, UNIT) : 0;
}

int units_get_result(Units *u, const char *unit, UnitsResult callback, void *userdata, sd_bus_slot **ret) {
        *ret = NULL;
        callback("success", userdata);
        return 0;
}

bool launcher_has_room(const LauncherQueue *q, const char *unit) {
        return !place->busy;
}

bool launcher_has_order(const LauncherQueue *q, const char *unit, LauncherVerb verb) {
        return false;
}

void launcher_forget(LauncherQueue *q, void *userdata) {
}

void launcher_cancel(LauncherQueue *q, const char *unit) {
}

LauncherQueue *launcher_queue_free(LauncherQueue *q) {
        return NULL;
}

int launcher_order(
        LauncherQueue *q,
        const char *unit,
        LauncherVerb verb,
        const LauncherLimit *limits,
        size_t n_limits,
        LauncherOrderDone done,
        void *userdata) {
        if (verb == LAUNCHER_KILL)
                assert_return_code(free_and_strdup(&place->killed, unit), 0);
        place->n_ordered++;
        return -EIO; /* there is no answer */
}

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        place->n_starts++;
        *ret = (LauncherCall *) place; /* there is no answer */
        return 0;
}

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
        place->n_checkouts++;
        *ret = (Checkout *) place; /* there is no answer */
        return 0;
}

Checkout *checkout_free(Checkout *c) {
        return NULL;
}

int shutdown_watch_new(
        sd_bus *bus,
        bool user_mode,
        uint64_t grace_usec,
        const ShutdownOps *ops,
        void *userdata,
        ShutdownWatch **ret) {
        assert_ptr_equal(userdata, place->r->shutdown);
        place->shutdown = ops;
        *ret = NULL; /* nothing waits for us */
        return 0;
}

LauncherCall *launcher_call_free(LauncherCall *c) {
        return NULL;
}

int cgroup_is_populated(const char *cgroup) {
        assert_string_equal(cgroup, CGROUP);
        return place->scope;
}

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

static int on_commit(void *userdata) {
        return ((Place *) userdata)->refuses;
}

int setup(void **state) {
        static char *const modes[] = { (char *) "default", NULL };
        static const char agents[] = "{\"shell\":{\"executable\":\"/bin/sh\"}}";
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);
        Runner *r;

        state_steps_set_critical(true);
        log_set_max_level(LOG_ERR);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-hub-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_true(sd_event_new(&p->event) >= 0);
        p->config = (RunnerConfig){ .max_conversations = 1000, .permission_modes = (char **) modes };
        assert_return_code(json_parse(agents, strlen(agents), &p->config.agents, NULL), 0);
        assert_return_code(runner_new(p->event, NULL, &p->config, &p->r), 0);
        r = p->r;
        announcer_set_observer(r->announcer, &observer, p);
        assert_return_code(store_open(p->fd, p->path, &r->store, &error), 0);
        r->ctx->run.store = r->store;
        (void) sqlite3_commit_hook(r->store->db, on_commit, p);
        r->ctx->run.launcher = (LauncherQueue *) r; /* it is played */
        r->ctx->run.state_fd = p->fd;
        r->ctx->run.conversations_fd = mkdir_open_at(p->fd, "conversations", 0700);
        assert_return_code(watch_new(p->event, &r->ctx->run.watch), 0);
        assert_return_code(methods_new(r, &p->methods), 0);
        *state = place = p;
        return 0;
}

int teardown(void **state) {
        Place *p = *state;
        p->called = false;
        methods_free(p->methods);
        runner_free(p->r); /* with the directory */
        sd_event_unref(p->event);
        json_object_put(p->config.agents);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p->reason);
        free(p->killed);
        free(p);
        return 0;
}

static void on_reply(Json *result, Json *error, void *userdata) {
        Place *p = userdata;

        p->code = error ? json_object_get_int64(json_get(error, "code")) : 0;
        assert_return_code(free_and_strdup(&p->reason, json_get_string(result, "reason")), 0);
        p->n_replies++;
}

int try_call(Place *p, const char *method, unsigned i, const char *members) {
        static const RunnerCaller caller = { .uid = 0 };
        _cleanup_free_ char *text = xasprintf("{\"conversationId\":\"c-%u\"%s}", i, members);
        _cleanup_json_ Json *params = NULL;
        int r;

        assert_return_code(json_parse(text, strlen(text), &params, NULL), 0);
        p->called = true;
        r = methods_call(p->methods, method, params, &caller, on_reply, p, NULL);
        p->called = false;
        return r;
}

void call(Place *p, const char *method, unsigned i, const char *members) {
        assert_return_code(try_call(p, method, i, members), 0);
}

void turn_until(Place *p, const unsigned *n, unsigned expected) {
        for (unsigned i = 0; i < 100 && *n != expected; i++)
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        assert_int_equal(*n, expected);
}

void write_file(Place *p, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(
                p->r->ctx->run.conversations_fd, "c-0/1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_return_code(write_file_atomic_at(fd, name, text, strlen(text), 0600), 0);
}

void store(Place *p, const Stored *s) {
        const ConversationRow row = {
                .id = (char *) "c-0",
                .workspace = (char *) "w",
                .agent = (char *) s->agent,
                .origin = (char *) "local",
                .params = (char *) (s->params ? s->params : "{}"),
                .state = conversation_state_from_string(s->state),
                .run = 1,
                .created_usec = 1,
        };
        const RunRow run = {
                .conversation = (char *) "c-0",
                .run = 1,
                .run_id = "00000000000000aa",
                .state = run_state_from_string(s->state),
                .unit = (char *) (streq(s->state, "live") ? UNIT : NULL),
                .spec = (char *) (s->spec ? s->spec : "{}"),
                .driven = s->driven_state ? strlen(LINE) : 0,
                .driven_state = (char *) s->driven_state,
                .out_bytes = UINT64_MAX,
                .started_usec = 1,
        };

        assert_return_code(store_put_conversation(p->r->store, &row), 0);
        if (!s->no_row)
                assert_return_code(store_put_run(p->r->store, &run), 0);
        if (s->no_folder)
                return;
        assert_return_code(mkdirat(p->r->ctx->run.conversations_fd, "c-0", 0700), errno);
        assert_return_code(mkdirat(p->r->ctx->run.conversations_fd, "c-0/1", 0700), errno);
        write_file(p, "in.log", "");
        if (!streq(s->state, "live"))
                return;
        write_file(p, "started", "{\"version\":1,\"cgroup\":\"" CGROUP "\",\"cwd\":\"/w\"}");
        write_file(p, "out.log", LINE LINE);
}

void supervisor_ends(Place *p, const char *members) {
        _cleanup_free_ char *outcome = xasprintf(
                "{\"version\":1,\"outBytes\":%zu,%s}", 2 * strlen(LINE), members);

        p->scope = false;
        write_file(p, "outcome.json", outcome);
}

int adopt_rows(Place *p) {
        _cleanup_strv_free_ char **scopes = NULL;

        assert_return_code(runner_list_scopes(p->r, &scopes), 0);
        return runner_adopt(p->r, scopes);
}

Conversation *adopt(Place *p) {
        Conversation *c;

        assert_return_code(adopt_rows(p), 0);
        p->r->ctx->run.ready = true;
        runner_begin_all(p->r);
        c = registry_find(p->r->conversations, "c-0");
        assert_non_null(c);
        return c;
}

void repair_store(Place *p) {
        assert_true(p->r->ctx->run.broken);
        p->refuses = false;
        assert_return_code(sd_event_source_set_time(p->r->readopt_timer, 0), 0);
        turn(p);
        assert_false(p->r->ctx->run.broken);
}

void turn(Place *p) {
        while (sd_event_run(p->event, 0) > 0)
                ;
}

unsigned count_events(Place *p, const char *text) {
        _cleanup_free_ char *cursor = NULL;
        unsigned n = 0;
        char **events = NULL;

        assert_return_code(
                conversation_read_events(
                        registry_find(p->r->conversations, "c-0"), "", 100, &events, &cursor),
                0);
        STRV_FOREACH(e, events)
                n += strstr(*e, text) != NULL;
        strv_free(events);
        return n;
}

void assert_end(Place *p, const char *reason, const char *words, unsigned said) {
        Conversation *c = registry_find(p->r->conversations, "c-0");
        _cleanup_(conversation_row_done) ConversationRow row = {};

        assert_non_null(c);
        assert_int_equal(c->row.state, CONVERSATION_ENDED);
        assert_int_equal(registry_count_live(p->r->conversations), 0);
        assert_int_equal(registry_count_ended(p->r->conversations), 1);
        assert_int_equal(store_get_conversation(p->r->store, "c-0", &row), 1);
        assert_string_equal(end_reason_to_string(row.reason), reason);
        if (words)
                assert_non_null(strstr(row.detail, words));
        assert_int_equal(count_events(p, "\"conversation.ended\""), 1);
        assert_int_equal(count_events(p, "\"delta\":\"said\""), said);
}

void run_sql(Place *p, const char *sql) {
        assert_int_equal(sqlite3_exec(p->r->store->db, sql, NULL, NULL, NULL), SQLITE_OK);
}
