/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/log.h"
#include "run-test.h"
#include "runner/limits/limit-victim.h"
#include "runner/run/run-state.h"
#include "runner/run/run.h"
#include "runner/scope/run-directory.h"
#include "runner/scope/scope-stop.h"
#include "runner/store/state-step.h"
#include "runner/store/store-input.h"
#include "runner/store/transaction.h"

World world;

/* ---- the launcher ---- */

struct LauncherCall {
        LauncherDone done;
        void *userdata;
};

static LauncherCall *new_call(LauncherDone done, void *userdata) {
        LauncherCall *c = new0(LauncherCall, 1);

        assert_non_null(c);
        *c = (LauncherCall){ done, userdata };
        return c;
}

LauncherCall *launcher_call_free(LauncherCall *c) {
        if (world.start == c)
                world.start = NULL;
        for (unsigned i = 0; i < world.n_sent; i++)
                if (world.sent[i].call == c)
                        world.sent[i].call = NULL;
        free(c);
        return NULL;
}

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        _cleanup_buffer_ Buffer b = {};

        assert_null(world.start);
        assert_int_equal(start->kind, SCOPE_AGENT);
        assert_int_equal(start->dirfd, run_directory_fd(world.r));
        (void) buffer_printf(&b, "%s %u %s in %s:", start->id, start->run, start->workspace, start->cwd);
        STRV_FOREACH(s, start->argv)
                (void) buffer_printf(&b, " %s", *s);
        STRV_FOREACH(s, start->env)
                if (startswith(*s, "NF_"))
                        (void) buffer_printf(&b, " %s", *s);
        free(world.start_text);
        world.start_text = buffer_steal(&b);
        world.n_limits = (unsigned) start->n_limits;
        world.n_starts++;
        *ret = world.start = new_call(done, userdata);
        return 0;
}

static int
send_verb(const char *verb, uint64_t limit, LauncherDone done, void *userdata, LauncherCall **ret) {
        assert_true(world.n_sent < ELEMENTSOF(world.sent));
        *ret = new_call(done, userdata);
        world.sent[world.n_sent++] = (Sent){ verb, limit, *ret };
        return 0;
}

int launcher_unit_verb(
        sd_bus *bus,
        const char *verb,
        const char *unit,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        assert_string_equal(unit, UNIT);
        return send_verb(verb, 0, done, userdata, ret);
}

int launcher_set_limits(
        sd_bus *bus,
        const char *unit,
        const LauncherLimit *limits,
        size_t n_limits,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        assert_string_equal(unit, UNIT);
        return send_verb("SetLimits", n_limits > 0 ? limits[0].value : 0, done, userdata, ret);
}

void answer_start(int error, const char *text, const char *unit, const char *invocation) {
        assert_non_null(world.start);
        world.start->done(error, text, unit, invocation, world.start->userdata);
}

void answer_order(unsigned n, const char *verb, int error, const char *text) {
        LauncherCall *c;

        assert_true(n < world.n_sent);
        assert_string_equal(world.sent[n].verb, verb);
        c = world.sent[n].call;
        assert_non_null(c);
        c->done(error, text, NULL, NULL, c->userdata);
}

int __real_run_directory_make(int parentfd, const char *name, const char *spec);
int __wrap_run_directory_make(int parentfd, const char *name, const char *spec);
int __wrap_run_directory_make(int parentfd, const char *name, const char *spec) {
        return world.make_error < 0 ? world.make_error : __real_run_directory_make(parentfd, name, spec);
}

/* ---- systemd, the journal, the kernel ---- */

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;
}

/* One that is let go calls gone. */
static sd_bus_slot *new_slot(sd_bus_destroy_t gone) {
        sd_bus_slot *slot;

        assert_true(sd_bus_add_filter(world.bus, &slot, on_message, NULL) >= 0);
        assert_true(sd_bus_slot_set_destroy_callback(slot, gone) >= 0);
        return slot;
}

static void on_question_gone(void *userdata) {
        world.result = NULL;
}

int units_get_result(Units *u, const char *unit, UnitsResult callback, void *userdata, sd_bus_slot **ret) {
        assert_string_equal(unit, UNIT);
        assert_null(world.result);
        world.result = callback;
        world.result_userdata = userdata;
        world.n_questions++;
        *ret = new_slot(on_question_gone);
        return 0;
}

void answer_result(const char *result) {
        assert_non_null(world.result);
        world.result(result, world.result_userdata);
}

static void on_shutdown_gone(void *userdata) {
        world.shutdown = NULL;
}

int shutdown_ask(sd_bus *bus, ShutdownAnswer answer, void *userdata, sd_bus_slot **ret) {
        assert_null(world.shutdown);
        world.shutdown = answer;
        world.shutdown_userdata = userdata;
        *ret = new_slot(on_shutdown_gone);
        return 0;
}

int scope_stop_find(const char *unit, uint64_t since_usec, uint64_t *ret_usec) {
        *ret_usec = world.stop_usec;
        return world.stop_usec > 0;
}

int limit_victim_find(const char *cgroup, uint64_t since_usec, LimitVictim *ret) {
        return 0;
}

int cgroup_is_populated(const char *cgroup) {
        assert_string_equal(cgroup, CGROUP);
        return world.populated;
}

int log_internal(
        int level,
        int error,
        const char *message_id,
        const char *file,
        int line,
        const char *func,
        const char *format,
        ...) {
        world.n_warnings += level <= LOG_WARNING;
        return -abs(error);
}

/* ---- the owner ---- */

static void begin_call(void) {
        if (world.calls.size > 0)
                (void) buffer_append_str(&world.calls, "; ");
}

#define NOTE(...) (begin_call(), (void) buffer_printf(&world.calls, __VA_ARGS__))

void expect_calls(const char *calls) {
        assert_string_equal(strempty(world.calls.data), calls);
        buffer_clear(&world.calls, 0);
}

static int store_effects(const RunEffects *e) {
        _cleanup_(transaction_done) Transaction t = {};

        if (world.storing == STORES_NOTHING)
                return -EIO;
        assert_return_code(transaction_begin(world.ctx.store, &t), 0);
        assert_return_code(run_store_effects(e), 0);
        return transaction_finish(&t, world.storing == STORES ? 0 : -EIO);
}

static int on_effects(const RunEffects *e, void *userdata) {
        int k;

        assert_ptr_equal(e->run, world.r);
        NOTE("effects(%s%s%s%s%s)",
             driver_phase_to_string(run_phase(world.r)),
             e->session ? ", session " : "",
             strempty(e->session),
             e->lines.size > 0 ? ", lines" : "",
             e->replayed ? ", replayed" : "");
        world.most = MAX(world.most, e->lines.size);
        world.n_parts = e->n_parts;
        k = store_effects(e);
        if (k < 0)
                return k;
        if (e->lines.size > 0)
                assert_return_code(buffer_append(&world.lines, e->lines.data, e->lines.size), 0);
        return e->session ? free_and_strdup(&world.session, e->session) : 0;
}

static bool on_is_session(const char *session, void *userdata) {
        return streq_ptr(session, world.session);
}

static void on_driven(bool progress, void *userdata) {
        const char *late = world.late;

        NOTE("driven(%s)", progress ? "true" : "false");
        world.late = NULL;
        if (late)
                say(late);
}

static int on_event(const char *method, Json *params, void *userdata) {
        NOTE("event(%s)", method);
        assert_return_code(store_set(world.ctx.store, "owner", json_text(params)), 0);
        return world.event_error;
}

static void on_changed(void *userdata) {
        NOTE("changed");
}

static void on_directory(const char *path, void *userdata) {
        NOTE("directory(%s)", path);
}

static int on_starting(void *userdata) {
        NOTE("starting");
        if (world.kept)
                assert_return_code(store_set(world.ctx.store, "owner", world.kept), 0);
        return world.starting_error;
}

static void on_started(const char *unit, const char *invocation, void *userdata) {
        NOTE("started(%s, %s)", unit, invocation ? invocation : "none");
        assert_return_code(run_store_started(world.r, unit, invocation), 0);
}

static void on_launcher_lost(void *userdata) {
        NOTE("launcher_lost");
}

static void on_start_again(void *userdata) {
        _cleanup_free_ char *error = NULL;

        NOTE("start_again");
        if (world.starts_again)
                assert_return_code(start_run(&error), 0);
}

static void on_start_failed(const char *text, void *userdata) {
        NOTE("start_failed(%s)", text ? text : "none");
}

static void on_ordered(LauncherVerb verb, int error, const char *text, void *userdata) {
        NOTE("ordered(%s, %d, %s)", launcher_verb_to_string(verb), -error, text ? text : "none");
}

static void on_frozen(bool frozen, void *userdata) {
        NOTE("frozen(%s)", frozen ? "true" : "false");
        run_set_frozen(world.r, frozen);
}

static void on_time_over(void *userdata) {
        NOTE("time_over");
}

static void on_silent(void *userdata) {
        NOTE("silent");
}

int deny_question(uint64_t offset, unsigned n) {
        _cleanup_json_ Json *params = NULL;
        _cleanup_buffer_ Buffer lines = {};
        _cleanup_free_ char *error = NULL;

        assert_return_code(json_parse("{\"behavior\":\"deny\"}", 19, &params, NULL), 0);
        return run_command(
                world.r,
                &(DriverCommand){
                        .type = DRIVER_COMMAND_ANSWER,
                        .params = params,
                        .offset = offset,
                        .n = n,
                },
                &lines,
                &error);
}

static int on_deny(uint64_t offset, unsigned n, const char *message, void *userdata) {
        assert_non_null(strstr(message, "is denied"));
        NOTE("deny(%llu.%u)", (unsigned long long) offset, n);
        return world.answers ? deny_question(offset, n) : world.deny_result;
}

static bool on_ending(void *userdata) {
        NOTE("ending");
        world.marked_ending = run_directory_is_concluding(run_directory_fd(world.r));
        return world.ending;
}

void store_end(void) {
        _cleanup_(transaction_done) Transaction t = {};

        assert_return_code(transaction_begin(world.ctx.store, &t), 0);
        assert_return_code(run_store_end(world.r), 0);
        assert_return_code(transaction_finish(&t, 0), 0);
        run_close(world.r);
        run_release(world.r);
}

static void on_ended(const RunEndFacts *f, void *userdata) {
        NOTE("ended(%s%s%s%s%s%s%s)",
             f->result ? f->result : "no result",
             f->is_short ? ", short" : "",
             f->shutdown ? ", shutdown" : "",
             f->stopped_by_systemd ? ", stopped by systemd" : "",
             f->oom ? ", oom" : "",
             f->last_turn_failed ? ", turn failed" : "",
             f->supervisor_lost ? ", supervisor lost" : "");
        assert_false(f->oomd || f->oom_by_workspace);
        assert_true(f->is_short || !f->outcome || f->resources == json_get(f->outcome, "resources"));
        world.marked_over = run_directory_is_concluding(run_directory_fd(world.r));
        if (world.outcome)
                json_object_put(world.outcome);
        world.outcome = json_object_get(f->outcome);
        if (!world.keeps)
                store_end();
}

static void on_released(void *userdata) {
        NOTE("released");
        world.r = run_free(world.r);
}

static void on_store_failed(int error, void *userdata) {
        NOTE("store_failed(%d)", -error);
}

static void on_no_room(void *userdata) {
        NOTE("no_room");
}

static const RunOps ops = {
        .effects = on_effects,
        .is_session = on_is_session,
        .driven = on_driven,
        .event = on_event,
        .changed = on_changed,
        .directory = on_directory,
        .starting = on_starting,
        .started = on_started,
        .launcher_lost = on_launcher_lost,
        .start_again = on_start_again,
        .start_failed = on_start_failed,
        .ordered = on_ordered,
        .frozen = on_frozen,
        .time_over = on_time_over,
        .silent = on_silent,
        .deny = on_deny,
        .ending = on_ending,
        .ended = on_ended,
        .released = on_released,
        .store_failed = on_store_failed,
        .no_room = on_no_room,
};

/* ---- the world ---- */

int run_test_set_up(void **state) {
        _cleanup_free_ char *error = NULL;

        state_steps_set_critical(true);
        world = (World){ .ctx.ready = true };
        (void) snprintf(world.path, sizeof(world.path), "/tmp/nf-run-XXXXXX");
        assert_non_null(mkdtemp(world.path));
        world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(world.fd >= 0);
        assert_true(sd_event_new(&world.event) >= 0);
        assert_true(sd_bus_new(&world.bus) >= 0);
        assert_true(sd_bus_attach_event(world.bus, world.event, 0) >= 0);
        world.ctx.event = world.event;
        world.ctx.bus = world.bus;
        world.ctx.config = &world.config;
        world.ctx.state_fd = world.ctx.conversations_fd = world.fd;
        assert_return_code(store_open(world.fd, world.path, &world.ctx.store, &error), 0);
        assert_return_code(watch_new(world.event, &world.ctx.watch), 0);
        assert_return_code(launcher_queue_new(world.bus, &world.ctx.launcher), 0);
        return 0;
}

int run_test_tear_down(void **state) {
        run_free(world.r);
        launcher_queue_free(world.ctx.launcher);
        watch_free(world.ctx.watch);
        store_close(world.ctx.store);
        run_context_done(&world.ctx);
        (void) sd_bus_detach_event(world.bus);
        sd_bus_unref(world.bus);
        sd_event_unref(world.event);
        if (world.supervisor > 0) {
                (void) kill(world.supervisor, SIGKILL);
                (void) waitpid(world.supervisor, NULL, 0);
        }
        if (world.outcome)
                json_object_put(world.outcome);
        buffer_done(&world.calls);
        buffer_done(&world.lines);
        free(world.session);
        free(world.start_text);
        safe_close(world.fd);
        return remove_tree_at(AT_FDCWD, world.path);
}

void spin(void) {
        for (unsigned i = 0; i < 1000; i++) {
                int k = sd_event_run(world.event, 0);

                assert_return_code(k, 0);
                if (k == 0)
                        return;
        }
        fail_msg("there is always something to do");
}

void pass_time(uint64_t usec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + usec, now;

        while ((now = now_usec(CLOCK_MONOTONIC)) < end)
                assert_return_code(sd_event_run(world.event, end - now), 0);
}

void wait_for_call(void) {
        for (unsigned i = 0; i < 10 && world.calls.size == 0; i++)
                assert_return_code(sd_event_run(world.event, USEC_PER_SEC), 0);
        assert_true(world.calls.size > 0);
}

void make_run(const Setup *s) {
        RunRow row = {
                .conversation = strdup(ID),
                .run = 1,
                .run_id = "0000000000000001",
                .state = run_state_from_string(s->state ?: "live"),
                .unit = strdup(UNIT),
                .spec = strdup(s->spec ?: "{\"protocol\":\"shell\"}"),
                .driven_state = s->driven_state ? strdup(s->driven_state) : NULL,
                .out_bytes = UINT64_MAX,
                .started_usec = s->started_usec,
                .conclusion_crashes = s->crashes,
        };

        assert_return_code(store_put_run(world.ctx.store, &row), 0);
        assert_return_code(
                run_new(
                        &(RunParams){
                                .context = &world.ctx, .agent = "agent", .workspace = "w", .ops = &ops },
                        &row,
                        &world.r),
                0);
        assert_null(row.conversation);
}

void write_file(const char *name, const char *text) {
        assert_return_code(
                write_file_atomic_at(run_directory_fd(world.r), name, text, strlen(text), 0600), 0);
}

void open_folder(void) {
        _cleanup_close_ int parent = mkdir_open_at(world.fd, ID, RUN_DIRECTORY_MODE);
        int fd = run_directory_make(parent, "1", "{}");

        assert_true(fd >= 0);
        safe_close(fd);
        assert_return_code(run_open_directory(world.r), 0);
}

void live_as(const Setup *s) {
        make_run(s);
        open_folder();
        write_file("started", STARTED);
        world.populated = true;
        assert_return_code(run_watch(world.r), 0);
        spin();
        expect_calls("driven(false)");
}

void live(const char *protocol) {
        _cleanup_free_ char *spec = xasprintf("{\"protocol\":\"%s\"}", protocol);

        live_as(&(Setup){ .spec = spec });
}

void say(const char *text) {
        _cleanup_close_ int fd = openat(
                run_directory_fd(world.r), "out.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_return_code(write_all(fd, text, strlen(text)), 0);
}

void say_much(size_t size) {
        _cleanup_buffer_ Buffer b = {};

        while (b.size < size)
                assert_return_code(buffer_append_str(&b, OUTPUT), 0);
        say(b.data);
}

RunRow stored_row(void) {
        RunRow row = {};

        assert_int_equal(store_get_run(world.ctx.store, ID, 1, &row), 1);
        return row;
}

void assert_stored_up_to(uint64_t offset, uint64_t lines) {
        RunRow row = stored_row();
        _cleanup_free_ char *begin = xasprintf("{\"lines\":%llu,", (unsigned long long) lines);

        assert_int_equal(row.driven, offset);
        if (offset > 0)
                assert_non_null(startswith(row.driven_state, begin));
        else
                assert_null(row.driven_state);
        run_row_done(&row);
}

void assert_state(RunState state) {
        RunRow row = stored_row();

        assert_int_equal(row.state, state);
        run_row_done(&row);
}

uint64_t stored_input_size(void) {
        uint64_t total, written;

        assert_return_code(store_input_size(world.ctx.store, ID, 1, &total, &written), 0);
        return total;
}

bool owner_has_stored(void) {
        _cleanup_free_ char *text = NULL;
        int k = store_get(world.ctx.store, "owner", &text);

        assert_return_code(k, 0);
        return k > 0;
}

void begin_limits(void) {
        const Limits none = {};

        assert_return_code(run_limits_begin(world.r, &none), 0);
}

int start_run(char **ret_error) {
        _cleanup_json_ Json *config = NULL, *adoption = json_object_new_object(), *limits = NULL;
        static const char agent[] = "{\"executable\":\"/bin/true\",\"env\":{\"NF_A\":\"1\",\"NF_B\":null}}",
                          asked[] = "{\"tasksMax\":5}";

        assert_return_code(json_parse(agent, strlen(agent), &config, NULL), 0);
        assert_return_code(json_parse(asked, strlen(asked), &limits, NULL), 0);
        return run_start(
                world.r,
                &(RunStartParams){
                        .agent_config = config, .limits = limits, .adoption = adoption, .directory = "/w" },
                ret_error);
}
