/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/fileio.h"
#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* A driver with a real agent on its other side, and nothing of the runner but the driver: for tests/agents/run.
 *
 *   agent-drive PROTOCOL SPEC CONFIG FOLDER UID
 *
 * SPEC and CONFIG are JSON; the agent runs as UID in FOLDER, which is its HOME as well. Commands come on stdin, one
 * JSON object a line: {"command":"user|interrupt|answer|config|end|eof","params":{…},"offset":N,"n":N}. On stdout: each
 * event with its place, each change of the phase, what a driver refused, and at the end how the agent exited, the
 * totals, and whether the whole session makes the same events again from the state saved before each line. */

#define STATES_MAX 100000

typedef struct Drive {
        const DriverOps *ops;
        Driver *driver;
        Json *spec;
        int in, out;
        DriverPhase phase;
        Buffer partial;
        uint64_t offset;
        unsigned n;

        Buffer log;     /* all whole lines of the agent */
        Buffer events;  /* all events, as text */
        char **states;  /* before each line */
        size_t *starts; /* of the line in log, and of its events in events */
        size_t *event_starts;
        size_t n_lines;

        Json **waiting; /* commands that the driver could not take yet */
        size_t n_waiting;
        uint64_t seq;
} Drive;

_Noreturn static void die(const char *what) {
        fprintf(stderr, "agent-drive: %s\n", what);
        exit(2);
}

static void must(int r, const char *what) {
        if (r < 0) {
                fprintf(stderr, "agent-drive: %s: %s\n", what, strerror(-r));
                exit(2);
        }
}

static int on_event(void *userdata, const char *method, const char *members, size_t size) {
        Drive *d = userdata;

        printf("{\"offset\":%" PRIu64 ",\"n\":%u,\"method\":\"%s\",%s}\n", d->offset, d->n, method, members);
        return buffer_printf(&d->events, "%" PRIu64 ".%u %s %s\n", d->offset, d->n++, method, members);
}

static int on_replayed_event(void *userdata, const char *method, const char *members, size_t size) {
        Drive *d = userdata;

        return buffer_printf(&d->events, "%" PRIu64 ".%u %s %s\n", d->offset, d->n++, method, members);
}

static int on_write(void *userdata, const char *line, size_t size) {
        Drive *d = userdata;

        return write_all(d->in, line, size);
}

static int on_fail(void *userdata, const char *reason) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, "{\"failed\":");
        (void) buffer_append_json_str(&b, reason);
        (void) buffer_append_str(&b, "}");
        puts(strempty(b.data));
        return 0;
}

static char *save(Driver *driver) {
        _cleanup_json_ Json *state = NULL;
        char *text;

        must(driver->ops->save(driver, &state), "save");
        text = strdup(json_text(state));
        if (!text)
                die("out of memory");
        return text;
}

static void tell_phase(Drive *d) {
        DriverPhase phase = d->ops->phase(d->driver);

        if (phase != d->phase)
                printf("{\"phase\":\"%s\"}\n", driver_phase_to_string(phase));
        d->phase = phase;
}

/* ---- commands ---- */

static bool type_of(const char *name, DriverCommandType *ret) {
        static const struct {
                const char *name;
                DriverCommandType type;
        } types[] = {
                { "user", DRIVER_COMMAND_USER },     { "interrupt", DRIVER_COMMAND_INTERRUPT },
                { "answer", DRIVER_COMMAND_ANSWER }, { "config", DRIVER_COMMAND_CONFIG },
                { "end", DRIVER_COMMAND_END },
        };

        for (size_t i = 0; name && i < ELEMENTSOF(types); i++)
                if (streq(types[i].name, name)) {
                        *ret = types[i].type;
                        return true;
                }
        return false;
}

/* Whether it is done with. */
static bool try_command(Drive *d, Json *o) {
        const char *name = json_get_string(o, "command");
        DriverCommand c = { .params = json_get(o, "params"), .seq = d->seq + 1 };
        _cleanup_free_ char *error = NULL;
        _cleanup_buffer_ Buffer lines = {};
        uint64_t n = 0;
        int r;

        if (streq_ptr(name, "eof")) {
                d->in = safe_close(d->in);
                return true;
        }
        if (!type_of(name, &c.type))
                die("unknown command");
        (void) json_get_u64(o, "offset", &c.offset);
        (void) json_get_u64(o, "n", &n);
        c.n = (unsigned) n;
        if (c.type == DRIVER_COMMAND_ANSWER && c.offset < d->log.size) {
                const char *line = d->log.data + c.offset,
                           *end = memchr(line, '\n', d->log.size - (size_t) c.offset);

                c.line = (Slice){ line, end ? (size_t) (end - line) : 0 };
        }
        r = d->ops->command(d->driver, &c, &lines, &error);
        if (r == 0)
                return false;
        d->seq++;
        if (r == -EINVAL) {
                _cleanup_buffer_ Buffer b = {};

                (void) buffer_append_json_str(&b, strempty(error));
                printf("{\"refused\":%s}\n", strempty(b.data));
                return true;
        }
        must(r, "command");
        if (lines.size > 0)
                must(write_all(d->in, lines.data, lines.size), "writing to the agent");
        tell_phase(d);
        return true;
}

static void try_waiting(Drive *d) {
        while (d->n_waiting > 0 && try_command(d, d->waiting[0])) {
                json_object_put(d->waiting[0]);
                memmove(d->waiting, d->waiting + 1, --d->n_waiting * sizeof(Json *));
        }
}

static void add_command(Drive *d, const char *line, size_t size) {
        Json *o;

        must(json_parse(line, size, &o, NULL), "a command");
        d->waiting = reallocarray(d->waiting, d->n_waiting + 1, sizeof(Json *));
        if (!d->waiting)
                die("out of memory");
        d->waiting[d->n_waiting++] = o;
        try_waiting(d);
}

/* ---- lines ---- */

static void remember(Drive *d) {
        if (d->n_lines == STATES_MAX)
                die("too many lines");
        d->states = reallocarray(d->states, d->n_lines + 1, sizeof(char *));
        d->starts = reallocarray(d->starts, d->n_lines + 1, sizeof(size_t));
        d->event_starts = reallocarray(d->event_starts, d->n_lines + 1, sizeof(size_t));
        if (!d->states || !d->starts || !d->event_starts)
                die("out of memory");
        d->states[d->n_lines] = save(d->driver);
        d->starts[d->n_lines] = d->offset;
        d->event_starts[d->n_lines++] = d->events.size;
}

static void on_line(Drive *d, const char *line, size_t size) {
        const DriverSink sink = { d, on_event, on_write, on_fail };

        remember(d);
        d->n = 0;
        must(d->ops->feed(d->driver, line, size, d->offset, &sink), "feed");
        (void) buffer_append(&d->log, line, size);
        must(buffer_append(&d->log, "\n", 1), "log");
        d->offset = d->log.size;
        tell_phase(d);
        try_waiting(d);
}

/* From the state before line i, the rest makes the same events. */
static bool replays(Drive *d, size_t i) {
        const DriverSink sink = { d, on_replayed_event, NULL, NULL };
        _cleanup_(driver_freep) Driver *driver = NULL;
        _cleanup_json_ Json *state = NULL;
        Buffer whole = d->events;
        bool same;

        d->events = (Buffer){};
        must(json_parse(d->states[i], strlen(d->states[i]), &state, NULL), "a saved state");
        must(d->ops->load(d->spec, state, &driver), "load");
        for (size_t j = i; j < d->n_lines; j++) {
                size_t end = j + 1 < d->n_lines ? d->starts[j + 1] : d->log.size;

                d->offset = d->starts[j];
                d->n = 0;
                must(d->ops->feed(
                             driver, d->log.data + d->starts[j], end - d->starts[j] - 1, d->offset, &sink),
                     "feed");
        }
        same = streq(strempty(d->events.data), strempty(whole.data) + d->event_starts[i]);
        buffer_done(&d->events);
        d->events = whole;
        return same;
}

static void finish(Drive *d, int status) {
        size_t step = d->n_lines / 64 + 1;
        bool same = true;
        DriverUsage u;

        for (size_t i = 0; i < d->n_lines; i += step)
                same = same && replays(d, i);
        d->ops->usage(d->driver, &u);
        printf("{\"%s\":%i,\"replay\":%s,\"lines\":%zu,\"session\":\"%s\",\"turns\":%" PRIu64
               ",\"inputTokens\":%" PRIu64 ",\"outputTokens\":%" PRIu64
               ",\"costUsd\":%.12g,\"lastTurnFailed\":%s}\n",
               WIFEXITED(status) ? "exit" : "signal",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
               same ? "true" : "false",
               d->n_lines,
               strempty(d->ops->session(d->driver)),
               u.turns,
               u.input_tokens,
               u.output_tokens,
               u.cost_usd,
               d->ops->last_turn_failed(d->driver) ? "true" : "false");
}

static void done(Drive *d) {
        driver_free(d->driver);
        for (size_t i = 0; i < d->n_lines; i++)
                free(d->states[i]);
        for (size_t i = 0; i < d->n_waiting; i++)
                json_object_put(d->waiting[i]);
        free(d->states);
        free(d->starts);
        free(d->event_starts);
        free(d->waiting);
        buffer_done(&d->partial);
        buffer_done(&d->log);
        buffer_done(&d->events);
        json_object_put(d->spec);
        safe_close(d->in);
        safe_close(d->out);
}

/* ---- the agent ---- */

static void write_private(const LaunchPlan *plan, const char *folder, uid_t uid) {
        _cleanup_free_ char *path = xasprintf("%s/private", folder);
        _cleanup_close_ int fd = -EBADF;

        if (!plan->private_file)
                return;
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write_all(fd, plan->private_file, strlen(plan->private_file)) < 0 ||
            fchown(fd, uid, (gid_t) -1) < 0)
                die("cannot write the private file");
        for (char **a = plan->argv; *a; a++) {
                char *at = strstr(*a, "{private}");
                if (at) {
                        char *given = *a;
                        *a = xasprintf(
                                "%.*s%s%s", (int) (at - given), given, path, at + strlen("{private}"));
                        free(given);
                }
        }
}

/* What is not installed yet is beside the build's other programs. */
static void use_built_entry(LaunchPlan *plan) {
        static const char installed[] = NF_LIBEXECDIR "/northflare-claude-entry";
        const char *built = getenv("NF_CLAUDE_ENTRY");

        if (!built || !streq(plan->argv[0], installed))
                return;
        free(plan->argv[0]);
        plan->argv[0] = strdup(built);
        if (!plan->argv[0])
                die("out of memory");
}

static pid_t start(Drive *d, LaunchPlan *plan, const char *folder, uid_t uid) {
        const char *cwd = json_get_string(d->spec, "cwd");
        int in[2], out[2];

        cwd = cwd ? cwd : folder;
        must(strv_consume(&plan->env, xasprintf("HOME=%s", folder)), "env");
        must(strv_consume(&plan->env, xasprintf("TMPDIR=%s/tmp", folder)), "env");
        must(strv_extend(&plan->env, "PATH=/usr/local/bin:/usr/bin:/bin"), "env");
        must(strv_extend(&plan->env, "LANG=C.UTF-8"), "env");
        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
                die("pipe");
        pid_t pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0 ||
                    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || chdir(cwd) < 0 ||
                    (geteuid() == 0 &&
                     (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
                      setresuid(uid, uid, uid) < 0)))
                        _exit(98);
                (void) signal(SIGPIPE, SIG_DFL);
                (void) execve(plan->argv[0], plan->argv, plan->env);
                _exit(99);
        }
        (void) close(in[0]);
        (void) close(out[1]);
        d->in = in[1];
        d->out = out[0];
        return pid;
}

/* Reads once and hands each whole line on. False at the end. */
static bool pump(Drive *d, int fd, Buffer *b, void (*f)(Drive *d, const char *line, size_t size)) {
        size_t taken = 0;
        ssize_t n;

        must(buffer_reserve(b, 65536), "memory");
        n = read(fd, b->data + b->size, 65536);
        if (n <= 0)
                return false;
        b->size += (size_t) n;
        for (char *end; (end = memchr(b->data + taken, '\n', b->size - taken));) {
                f(d, b->data + taken, (size_t) (end - b->data) - taken);
                taken = (size_t) (end - b->data) + 1;
        }
        buffer_consume(b, taken);
        return true;
}

int main(int argc, char *argv[]) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;
        Drive d = { .in = -EBADF, .out = -EBADF };
        _cleanup_buffer_ Buffer first = {}, commands = {};
        _cleanup_json_ Json *config = NULL;
        bool listening = true;
        int status;

        if (argc != 6)
                die("usage: agent-drive PROTOCOL SPEC CONFIG FOLDER UID");
        (void) signal(SIGPIPE, SIG_IGN);
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        d.ops = driver_find(argv[1]);
        if (!d.ops)
                die("no such protocol");
        must(json_parse(argv[2], strlen(argv[2]), &d.spec, NULL), "the spec");
        must(json_parse(argv[3], strlen(argv[3]), &config, NULL), "the configuration");
        uid_t uid = (uid_t) strtoul(argv[5], NULL, 10);
        if (d.ops->plan(d.spec, config, &plan, &error) < 0)
                die(strempty(error));
        must(d.ops->new (d.spec, &d.driver), "new");
        must(d.ops->begin(d.driver, &first), "begin");
        write_private(&plan, argv[4], uid);
        use_built_entry(&plan);
        pid_t pid = start(&d, &plan, argv[4], uid);
        must(write_all(d.in, strempty(first.data), first.size), "writing to the agent");

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = d.out, .events = POLLIN },
                        { .fd = listening ? STDIN_FILENO : -1, .events = POLLIN },
                };

                if (poll(fds, ELEMENTSOF(fds), -1) < 0)
                        die("poll");
                if (fds[0].revents && !pump(&d, d.out, &d.partial, on_line))
                        break;
                if (fds[1].revents && !pump(&d, STDIN_FILENO, &commands, add_command)) {
                        /* Whoever gave the commands has gone: so should the agent. */
                        listening = false;
                        (void) kill(pid, SIGKILL);
                }
        }
        if (waitpid(pid, &status, 0) != pid)
                die("waitpid");
        finish(&d, status);
        done(&d);
        return 0;
}
