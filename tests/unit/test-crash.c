/* SPDX-License-Identifier: MIT */
/* The runner is killed at every point where it touches the store, a file, the launcher or the orchestrator, once for each
 * point and once more at each point of the recovery's beginning, and started again. In the end every instruction must have
 * reached the agent exactly once and in order, and every event the orchestrator.
 *
 * Real: the store, the method table, the conversation core, the shell driver, files, inotify. Played by the test: the
 * launcher and PID 1 (units), the agent behind its two files, the orchestrator behind the sender's interface. These outlive
 * the runner, so what they know is in files of their own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/log.h"
#include "runner/method/method.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-hooks.h"
#include "runner/runner-internal.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-internal.h"
#include "runner/store/transaction.h"

#define CRASHED 99

static struct World {
        char path[64];
        int fd, out_fd;
        Runner *runner;
        SendSource *sources;
        unsigned crash_at, points; /* the point at which this process dies, and how many it has passed */
        bool crash_disabled;
} world;

static void point(void) {
        if (!world.crash_disabled && ++world.points == world.crash_at)
                _exit(CRASHED);
}

/* ---- what the orchestrator sends ---- */

static const struct {
        const char *id, *method, *params;
} script[] = {
        { "m-0",
          "conversation.start",
          "{\"conversationId\":\"c-1\",\"agent\":\"shell\",\"prompt\":\"word-0\"}" },
        { "m-1", "message.user", "{\"conversationId\":\"c-1\",\"content\":\"word-1\"}" },
        { "m-2", "message.user", "{\"conversationId\":\"c-1\",\"content\":\"word-2\"}" },
        { "m-3", "message.user", "{\"conversationId\":\"c-none\",\"content\":\"x\"}" },
        { "m-4", "message.user", "{\"conversationId\":\"c-1\",\"content\":\"word-3\"}" },
        { "m-5", "conversation.stop", "{\"conversationId\":\"c-1\",\"graceMs\":600000}" },
};
#define WORDS 4

static int deliver(size_t i) {
        _cleanup_free_ char *cursor = xasprintf("%zu", i + 1), *request = xasprintf("\"q-%zu\"", i);
        _cleanup_json_ Json *params = NULL;

        assert_int_equal(json_parse(script[i].params, strlen(script[i].params), &params, NULL), 0);
        _cleanup_(method_call_done) MethodCall c = {
                .runner = world.runner,
                .method = script[i].method,
                .params = params,
                .origin = "orchestrator",
                .envelope_id = script[i].id,
                .request_id = request,
                .cursor = cursor,
        };
        return method_accept(&c);
}

/* ---- the orchestrator's side of the sender: received events, one a line, in server.log ---- */

struct SendSource {
        const SendSourceOps *ops;
        void *userdata;
        SendSource *next;
        bool woken;
};

struct SendBatch {
        Buffer json;
        size_t from;
        unsigned n;
        char *text;
};

Buffer *send_batch_buffer(SendBatch *b) {
        return &b->json;
}

int send_batch_event_done(SendBatch *b, const char *message_id) {
        b->n++;
        return buffer_append_str(&b->json, "\n");
}

int send_batch_add(SendBatch *b, const char *message_id, const char *json, size_t size) {
        (void) buffer_append(&b->json, json, size);
        return send_batch_event_done(b, message_id);
}

/* Small batches make many acknowledgements. */
bool send_batch_full(SendBatch *b) {
        return b->n >= 3;
}

int send_source_new(Sender *s, const SendSourceOps *ops, void *userdata, SendSource **ret) {
        SendSource *src = new0(SendSource, 1);

        *src = (SendSource){ .ops = ops, .userdata = userdata, .next = world.sources };
        world.sources = src;
        *ret = src;
        return 0;
}

SendSource *send_source_free(SendSource *src) {
        for (SendSource **p = &world.sources; src && *p; p = &(*p)->next)
                if (*p == src) {
                        *p = src->next;
                        free(src);
                        break;
                }
        return NULL;
}

void sender_wake(SendSource *src) {
        src->woken = true;
}

void sender_get_stats(Sender *s, SenderStats *ret) {
        *ret = (SenderStats){};
}

static bool send_some(void) {
        for (SendSource *s = world.sources; s; s = s->next) {
                SendBatch b = {};

                if (!s->woken)
                        continue;
                s->woken = false;
                assert_true(s->ops->fill(s->userdata, &b) >= 0);
                if (b.n > 0) {
                        point(); /* before the POST */
                        int fd = openat(
                                world.fd, "server.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
                        assert_true(fd >= 0);
                        assert_int_equal(write_all(fd, b.json.data, b.json.size), 0);
                        safe_close(fd);
                        point(); /* the answer is lost */
                        s->ops->acked(s->userdata);
                        point();
                        /* The timer's work, here at once: cursors in the store are what a restart begins with. */
                        runner_flush_cursors(world.runner);
                }
                buffer_done(&b.json);
                return true;
        }
        return false;
}

/* ---- launcher and PID 1 ---- */

struct LauncherCall {
        sd_event_source *source;
        LauncherDone done;
        void *userdata;
        int dirfd;
        bool start;
};

static int on_launched(sd_event_source *source, void *userdata) {
        LauncherCall *c = userdata;

        point(); /* the scope is up, its owner does not know */
        c->done(0,
                NULL,
                c->start ? "northflare-conversation-c-1-1.scope" : NULL,
                c->start ? "00" : NULL,
                c->userdata);
        return 0;
}

static int new_call(sd_bus *bus, LauncherDone done, void *userdata, bool start, LauncherCall **ret) {
        LauncherCall *c = new0(LauncherCall, 1);

        *c = (LauncherCall){ .done = done, .userdata = userdata, .start = start };
        assert_true(sd_event_add_defer(world.runner->event, &c->source, on_launched, c) >= 0);
        *ret = c;
        return 0;
}

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        static const char text[] = "{\"version\":1,\"cgroup\":\"/played\",\"cwd\":\"/w\"}";

        point();
        /* As the supervisor does it: at most once, however often it is asked for. */
        int fd = openat(start->dirfd, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
                assert_int_equal(write_all(fd, text, strlen(text)), 0);
                safe_close(fd);
                fd = openat(start->dirfd, "out.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                safe_close(fd);
                int starts = openat(world.fd, "starts", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
                assert_int_equal(write_all(starts, "x", 1), 0);
                safe_close(starts);
        }
        point();
        return new_call(bus, done, userdata, true, ret);
}

typedef struct Order {
        sd_event_source *source;
        LauncherVerb verb;
        LauncherOrderDone done;
        void *userdata;
} Order;

static int on_carried_out(sd_event_source *source, void *userdata) {
        Order *o = userdata;

        point(); /* it was done, and nobody knows */
        if (o->done)
                o->done(o->verb, 0, NULL, o->userdata);
        sd_event_source_disable_unref(o->source);
        free(o);
        return 0;
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
        Order *o = new0(Order, 1);

        point();
        *o = (Order){ .verb = verb, .done = done, .userdata = userdata };
        assert_true(sd_event_add_defer(world.runner->event, &o->source, on_carried_out, o) >= 0);
        return 0;
}

bool launcher_has_order(const LauncherQueue *q, const char *unit, LauncherVerb verb) {
        return false;
}

void launcher_forget(LauncherQueue *q, void *userdata) {
}

LauncherCall *launcher_call_free(LauncherCall *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        free(c);
        return NULL;
}

static int run_fd(void) {
        _cleanup_close_ int conversations = openat(
                world.fd, "conversations/c-1/1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return TAKE_FD(conversations);
}

static bool exists(int fd, const char *name) {
        return fd >= 0 && faccessat(fd, name, F_OK, 0) >= 0;
}

int units_list(Units *u, char ***ret) {
        _cleanup_close_ int fd = run_fd();

        *ret = new0(char *, 1);
        if (exists(fd, "started") && !exists(fd, "outcome.json"))
                return strv_extend(ret, "northflare-conversation-c-1-1.scope");
        return 0;
}

int units_get_result(Units *u, const char *unit, UnitsResult callback, void *userdata, sd_bus_slot **ret) {
        fail_msg("nobody should have to ask");
        return -EIO;
}

Units *units_free(Units *u) {
        return NULL;
}

int cgroup_is_populated(const char *cgroup) {
        _cleanup_close_ int fd = run_fd();

        return exists(fd, "started") && !exists(fd, "outcome.json");
}

/* ---- the agent behind its supervisor: answers each line of in.log, by what out.log holds already ---- */

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (const char *p = text; p && (p = strstr(p, what)); p += strlen(what))
                n++;
        return n;
}

static bool agent_step(void) {
        _cleanup_close_ int fd = run_fd(), out = -EBADF;
        _cleanup_free_ char *in = NULL, *done = NULL;
        unsigned answered, n = 0;

        if (!exists(fd, "started") || exists(fd, "outcome.json"))
                return false;
        assert_int_equal(read_file_at(fd, "in.log", 1 << 20, &in, NULL), 0);
        assert_int_equal(read_file_at(fd, "out.log", 1 << 20, &done, NULL), 0);
        answered = count(done, "turn_end");
        out = openat(fd, "out.log", O_WRONLY | O_APPEND | O_CLOEXEC);
        if (done[0] == 0)
                assert_true(dprintf(out, "{\"type\":\"started\",\"version\":\"0\",\"cwd\":\"/w\"}\n") > 0);
        for (char *line = in, *end; (end = strchr(line, '\n')); line = end + 1) {
                _cleanup_json_ Json *o = NULL;
                *end = 0;
                assert_int_equal(json_parse(line, strlen(line), &o, NULL), 0);
                const char *type = json_get_string(o, "type");
                if (streq(type, "end")) {
                        struct stat st;
                        assert_int_equal(fstat(out, &st), 0);
                        _cleanup_free_ char *outcome = xasprintf(
                                "{\"version\":1,\"exitCode\":0,\"outBytes\":%lld}", (long long) st.st_size);
                        assert_int_equal(
                                write_file_atomic_at(fd, "outcome.json", outcome, strlen(outcome), 0600), 0);
                        return true;
                }
                if (!streq(type, "user") || n++ < answered)
                        continue;
                assert_true(
                        dprintf(out,
                                "{\"type\":\"turn_start\",\"id\":\"%s\"}\n"
                                "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"did %s\\n\"}\n"
                                "{\"type\":\"turn_end\",\"id\":\"%s\",\"exitCode\":0,\"interrupted\":false,\"durationMs\":1}\n",
                                json_get_string(o, "id"),
                                json_get_string(o, "text"),
                                json_get_string(o, "id")) > 0);
                return true;
        }
        return false;
}

/* ---- points inside the runner ---- */

#define WRAP(type, name, arguments, call)         \
        type __real_##name arguments;             \
        type __wrap_##name arguments;             \
        type __wrap_##name arguments {            \
                point();                          \
                type result = __real_##name call; \
                point();                          \
                return result;                    \
        }

/* Each commit: the end of an outermost transaction. */
int __real_transaction_finish(Transaction *t, int r);
int __wrap_transaction_finish(Transaction *t, int r);
int __wrap_transaction_finish(Transaction *t, int r) {
        bool commits = t->store && t->store->depth == 1 && r >= 0;

        if (commits)
                point();
        r = __real_transaction_finish(t, r);
        if (commits)
                point();
        return r;
}

WRAP(int,
     run_directory_write_input,
     (int dirfd, uint64_t offset, const void *data, size_t size),
     (dirfd, offset, data, size))
WRAP(int, run_directory_make, (int parentfd, const char *name, const char *spec), (parentfd, name, spec))
WRAP(int,
     store_set_driven,
     (Store * s, const char *conversation, unsigned run, uint64_t offset, const char *state),
     (s, conversation, run, offset, state))
WRAP(int, store_response_acked, (Store * s, int64_t upto), (s, upto))
WRAP(int, store_put_conversation, (Store * s, const ConversationRow *r), (s, r))
WRAP(int,
     store_count_conclusion_crash,
     (Store * s, const char *conversation, unsigned run),
     (s, conversation, run))

/* ---- one life of the runner ---- */

static Runner *make_runner(sd_event *event) {
        static char *const modes[] = { (char *) "default", NULL };
        static RunnerConfig config = {
                .max_conversations = 4,
                .permission_modes = (char **) modes,
                .stop_grace_ms = 600000,
        };
        _cleanup_free_ char *error = NULL;
        Runner *r;

        /* Never run, but it has to be there. */
        assert_int_equal(
                json_parse("{\"shell\":{\"executable\":\"/bin/sh\"}}", 34, &config.agents, NULL), 0);

        assert_int_equal(runner_new(event, NULL, &config, &r), 0);
        assert_int_equal(store_open(world.fd, world.path, &r->store, &error), 0);
        r->ctx->run.store = r->store;
        r->ctx->run.launcher = (LauncherQueue *) r; /* it is played */
        r->ctx->run.state_fd = world.fd;
        r->ctx->run.conversations_fd = mkdir_open_at(world.fd, "conversations", 0700);
        r->ctx->sender = (Sender *) &world;
        assert_int_equal(watch_new(event, &r->ctx->run.watch), 0);
        return r;
}

static void settle(void) {
        bool again;

        do {
                again = false;
                /* The agent is faster than the link: a backlog is what acknowledgements have to get right. */
                do
                        while (sd_event_run(world.runner->event, 0) > 0)
                                again = true;
                while (agent_step());
                again = send_some() || again;
        } while (again);
}

static void live(void) {
        _cleanup_strv_free_ char **scopes = NULL;
        _cleanup_free_ char *cursor = NULL;
        size_t next = 0;
        sd_event *event;

        assert_true(sd_event_new(&event) >= 0);
        world.runner = make_runner(event);
        Runner *r = world.runner;
        assert_int_equal(control_new(r->store, NULL, &r->control), 0);
        assert_int_equal(runner_list_scopes(r, &scopes), 0);
        assert_int_equal(runner_adopt(r, scopes), 0);
        r->ctx->run.ready = true;
        runner_begin_all(r);
        if (store_get(r->store, "cursor", &cursor) > 0)
                next = (size_t) atoi(cursor);
        /* The orchestrator cannot know what was taken last: it comes again. */
        if (next > 0)
                assert_int_equal(deliver(next - 1), 0);
        for (; next < ELEMENTSOF(script); next++) {
                assert_int_equal(deliver(next), 0);
                control_wake(r->control);
                /* Some messages come in a rush, some when all is quiet. */
                if (next % 2 == 0)
                        settle();
        }
        settle();
        runner_flush_cursors(r);
        control_wake(r->control);
        settle();
}

static int one_life(unsigned crash_at) {
        int status;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                log_set_max_level(LOG_ERR);
                world.crash_at = crash_at;
                world.points = 0;
                live();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* ---- what must be true in the end ---- */

static void check_in(void) {
        _cleanup_close_ int fd = run_fd();
        _cleanup_free_ char *in = NULL;
        const char *at;

        assert_int_equal(read_file_at(fd, "in.log", 1 << 20, &in, NULL), 0);
        at = in;
        for (unsigned i = 0; i < WORDS; i++) {
                char word[16];
                (void) snprintf(word, sizeof(word), "word-%u", i);
                assert_int_equal(count(in, word), 1);
                at = strstr(at, word);
                assert_non_null(at);
        }
}

/* The orchestrator drops ids that it has; what is left must be whole and in order. */
static void check_server(void) {
        _cleanup_free_ char *log = NULL;
        _cleanup_strv_free_ char **seen = NULL;
        unsigned word = 0, ended = 0, started = 0, responses = 0;

        assert_int_equal(read_file_at(world.fd, "server.log", 1 << 22, &log, NULL), 0);
        for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
                _cleanup_json_ Json *o = NULL;
                *end = 0;
                assert_int_equal(json_parse(line, strlen(line), &o, NULL), 0);
                Json *params = json_get(o, "params");
                const char *id = params ? json_get_string(params, "messageId") :
                                          json_get_string(o, "messageId");
                assert_non_null(id);
                if (strv_contains(seen, id))
                        continue;
                assert_int_equal(strv_extend(&seen, id), 0);
                const char *method = json_get_string(o, "method"),
                           *delta = json_get_string(json_get(params, "event"), "delta");
                if (!method)
                        responses++;
                else if (streq(method, "conversation.ended")) {
                        assert_string_equal(json_get_string(params, "reason"), "stopped");
                        assert_int_equal(word, WORDS);
                        ended++;
                } else if (streq(method, "conversation.started"))
                        started++;
                else if (delta) {
                        char expected[32];
                        (void) snprintf(expected, sizeof(expected), "did word-%u\n", word++);
                        assert_string_equal(delta, expected);
                }
        }
        assert_int_equal(word, WORDS);
        assert_int_equal(ended, 1);
        assert_int_equal(started, 1);
        assert_int_equal(responses, ELEMENTSOF(script));
}

static void check_all(void) {
        _cleanup_free_ char *starts = NULL;

        check_in();
        check_server();
        assert_int_equal(read_file_at(world.fd, "starts", 100, &starts, NULL), 0);
        assert_string_equal(starts, "x");
}

static void fresh_world(void) {
        (void) snprintf(world.path, sizeof(world.path), "/dev/shm/test-crash-XXXXXX");
        if (!mkdtemp(world.path)) {
                (void) snprintf(world.path, sizeof(world.path), "/tmp/test-crash-XXXXXX");
                assert_non_null(mkdtemp(world.path));
        }
        world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(world.fd >= 0);
}

static void end_world(void) {
        world.fd = safe_close(world.fd);
        assert_int_equal(remove_tree_at(AT_FDCWD, world.path), 0);
}

static void undisturbed(void **state) {
        fresh_world();
        assert_int_equal(one_life(0), 0);
        check_all();
        end_world();
}

static void killed_at_every_point(void **state) {
        unsigned n = 0;

        for (;;) {
                fresh_world();
                int status = one_life(++n);
                if (status == CRASHED)
                        assert_int_equal(one_life(0), 0);
                else
                        assert_int_equal(status, 0);
                check_all();
                end_world();
                if (status == 0)
                        break;
        }
        print_message("killed at %u points\n", n - 1);
        assert_true(n > 60);
}

static void killed_again_while_it_recovers(void **state) {
        for (unsigned first = 3; first < 1000; first += 7)
                for (unsigned second = 1; second < 24; second += 3) {
                        fresh_world();
                        int status = one_life(first);
                        bool over = status == 0;
                        if (!over && one_life(second) == CRASHED)
                                assert_int_equal(one_life(0), 0);
                        check_all();
                        end_world();
                        if (over)
                                return;
                }
}

/* ---- runs that the runner may have died of ---- */

/* One run of each of these; c-1 has an earlier one as well. */
static const struct {
        const char *id, *state;
        unsigned run;
        bool concluding, counted;
} left[] = {
        { "c-1", "live", 2, true, true },
        { "c-2", "live", 1, false, false },
        { "c-3", "ended", 1, true, false },
        { "c-1", "live", 1, false, false },
};

/* What a runner leaves that died while it concluded runs. */
static void leave_conclusions(void) {
        _cleanup_close_ int conversations = mkdir_open_at(world.fd, "conversations", 0700);
        _cleanup_free_ char *error = NULL;
        Store *store;

        assert_int_equal(store_open(world.fd, world.path, &store, &error), 0);
        for (size_t i = 0; i < ELEMENTSOF(left); i++) {
                char name[2] = { (char) ('0' + left[i].run), 0 };
                _cleanup_close_ int parent = mkdir_open_at(conversations, left[i].id, 0700),
                                    folder = mkdir_open_at(parent, name, 0700);
                ConversationRow conversation = { .id = (char *) left[i].id,
                                                 .state = conversation_state_from_string(left[i].state),
                                                 .agent = (char *) "shell",
                                                 .workspace = (char *) "w",
                                                 .origin = (char *) "orchestrator",
                                                 .run = left[i].run };
                RunRow row = { .conversation = (char *) left[i].id,
                               .run = left[i].run,
                               .state = run_state_from_string(left[i].state),
                               .spec = (char *) "{}" };

                assert_true(folder >= 0);
                run_directory_mark_conclusion(folder, left[i].concluding);
                if (i + 1 < ELEMENTSOF(left))
                        assert_int_equal(store_put_conversation(store, &conversation), 0);
                assert_int_equal(store_put_run(store, &row), 0);
        }
        assert_int_equal(store_set(store, "running", "a:b"), 0);
        store_close(store);
}

/* Begins, and dies without an end in order, at that point at the latest. */
static void begin_only(unsigned crash_at) {
        sd_event *event;

        assert_true(sd_event_new(&event) >= 0);
        world.runner = make_runner(event);
        world.crash_at = crash_at;
        world.points = 0;
        crash_watch_mark(world.runner->crash);
        _exit(0);
}

static void check_crashes(unsigned least, unsigned most) {
        _cleanup_free_ char *crashed = NULL, *error = NULL;
        Store *store;
        unsigned told = 0;

        assert_int_equal(store_open(world.fd, world.path, &store, &error), 0);
        if (store_get(store, "crashed", &crashed) > 0)
                told = 1 + count(crashed, "\n");
        assert_in_range(told, least, most);
        for (size_t i = 0; i < ELEMENTSOF(left); i++) {
                RunRow row = {};

                assert_int_equal(store_get_run(store, left[i].id, left[i].run, &row), 1);
                assert_int_equal(row.conclusion_crashes, left[i].counted ? told : 0);
                run_row_done(&row);
        }
        store_close(store);
}

/* As many runners as the store says have died: that and the count are one transaction. */
static void a_conclusion_is_counted_once_for_each_runner_that_died_of_it(void **state) {
        unsigned n = 0;
        int status;

        do {
                fresh_world();
                leave_conclusions();
                pid_t pid = fork();
                if (pid == 0)
                        begin_only(n + 1);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
                check_crashes(0, 1);
                pid = fork();
                if (pid == 0)
                        begin_only(0);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                check_crashes(1, 2);
                end_world();
                n++;
        } while (WEXITSTATUS(status) == CRASHED);
        /* Before and after the count and the commit. */
        assert_int_equal(n, 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(undisturbed),
                cmocka_unit_test(killed_at_every_point),
                cmocka_unit_test(killed_again_while_it_recovers),
                cmocka_unit_test(a_conclusion_is_counted_once_for_each_runner_that_died_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
