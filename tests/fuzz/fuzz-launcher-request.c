/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/ident.h"
#include "fuzz.h"
#include "launcher/dropped/program.h"

/* A call of Start, as the launcher gets it from the bus. The input has lines: kind, run, id, workspace, cwd, and then
 * any number that begin with a letter: a an argument, e NAME=value, l a limit with its value, x an extra descriptor.
 * What passes the checks can only make a scope of ours, with the launcher's own variables, below the workspace. */

static sd_bus *bus;
static int folder;

/* A bus that never says a word: messages want one. */
static void prepare(void) {
        char path[] = "/tmp/nf-fuzz-XXXXXX";
        int pair[2];

        if (bus)
                return;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        CHECK(sd_bus_new(&bus) >= 0 && sd_bus_set_fd(bus, pair[0], pair[0]) >= 0 && sd_bus_start(bus) >= 0);
        /* Without a name from here on. */
        CHECK(mkdtemp(path));
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(folder >= 0 && rmdir(path) >= 0);
}

static void append_text(sd_bus_message *m, char type, const char *s) {
        CHECK(sd_bus_message_append_basic(m, type, s) >= 0);
}

/* The lines that begin with that letter, as an array. */
static void append_lines(sd_bus_message *m, FuzzInput in, char letter, const char *contents) {
        const char *line;
        size_t n;

        CHECK(sd_bus_message_open_container(m, 'a', contents) >= 0);
        while (input_piece(&in, '\n', &line, &n)) {
                _cleanup_free_ char *s = n > 0 && line[0] == letter ? strndup(line + 1, n - 1) : NULL;

                if (!s || !utf8_is_for_bus(s))
                        continue;
                char *value = strchr(s, '=');
                if (letter == 'a') {
                        append_text(m, 's', s);
                        continue;
                }
                if (letter == 'x') {
                        CHECK(sd_bus_message_append(m, "h", folder) >= 0);
                        continue;
                }
                if (value)
                        *value++ = 0;
                uint64_t number = 0;
                (void) safe_atou64(strempty(value), &number);
                CHECK((letter == 'e' ? sd_bus_message_append(m, "{ss}", s, strempty(value)) :
                                       sd_bus_message_append(m, "{st}", s, number)) >= 0);
        }
        CHECK(sd_bus_message_close_container(m) >= 0);
}

static sd_bus_message *message_of(FuzzInput in) {
        _cleanup_free_ char *kind = input_string(&in, '\n'), *run = input_string(&in, '\n'),
                            *id = input_string(&in, '\n'), *workspace = input_string(&in, '\n'),
                            *cwd = input_string(&in, '\n');
        sd_bus_message *m = NULL;
        uint64_t number = 0;

        if (!utf8_is_for_bus(kind) || !utf8_is_for_bus(id) || !utf8_is_for_bus(workspace) ||
            !utf8_is_for_bus(cwd))
                return NULL;
        (void) safe_atou64(run, &number);
        CHECK(sd_bus_message_new_method_call(bus, &m, "a.b", "/", "a.b", "Start") >= 0);
        CHECK(sd_bus_message_append(m, "ssus", kind, id, (uint32_t) number, workspace) >= 0);
        append_lines(m, in, 'a', "s");
        append_lines(m, in, 'e', "{ss}");
        append_text(m, 's', cwd);
        append_lines(m, in, 'l', "{st}");
        CHECK(sd_bus_message_append(m, "h", folder) >= 0);
        append_lines(m, in, 'x', "h");
        CHECK(sd_bus_message_seal(m, 1, 0) >= 0 && sd_bus_message_rewind(m, true) >= 0);
        return m;
}

/* ---- what was let in ---- */

static void check_environment(const Request *r, const Arguments *a, const Place *place) {
        static const char *const own[] = {
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "USER=agent",
                "LOGNAME=agent",
                "SHELL=/bin/sh",
                "HOME=/h",
                "TMPDIR=/t",
        };
        _cleanup_strv_free_ char **env = request_environment(r, a, place);

        CHECK(env);
        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                CHECK(streq(env[i], own[i]));
        for (size_t i = 0; env[i]; i++) {
                size_t n = strcspn(env[i], "=");

                CHECK(env[i][n] == '=' && n > 0 && !startswith(env[i], "LD_"));
                for (size_t k = 0; k < i; k++)
                        CHECK(strncmp(env[i], env[k], n + 1) != 0);
        }
}

/* Absolute, where the agent's own rights decide; or names, none of which leads out. */
static void check_cwd(const char *cwd) {
        if (cwd[0] == '/' || !*cwd)
                return;
        for (;;) {
                size_t n = strcspn(cwd, "/");

                CHECK(n > 0 && !(n == 1 && cwd[0] == '.') && !(n == 2 && cwd[0] == '.' && cwd[1] == '.'));
                if (!cwd[n])
                        return;
                cwd += n + 1;
        }
}

static void check_accepted(const Request *r, const Arguments *a) {
        const Place place = { .user = "agent", .shell = "/bin/sh", .home = "/h", .tmp = "/t" };
        _cleanup_free_ char *unit = scope_name(r->kind, r->id, r->run);
        _cleanup_strv_free_ char **argv = request_argv(r, a, &place);

        CHECK(unit && scope_name_parse(unit, NULL) && startswith(unit, "northflare-"));
        CHECK(argv && argv[0] && argv[0][0] == '/');
        STRV_FOREACH(s, argv)
                CHECK(!strstr(*s, "{private}") || r->kind != SCOPE_AGENT);
        CHECK(ident_is_valid(r->id) && (ident_is_valid(r->workspace) || r->kind == SCOPE_GIT));
        check_cwd(a->cwd);
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                CHECK(!r->limits.set[i] ||
                      (r->limits.value[i] >= limit_infos[i].minimum &&
                       r->limits.value[i] <= limit_infos[i].maximum));
        check_environment(r, a, &place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Request request = { .dirfd = -EBADF };
        Arguments arguments = {};
        sd_bus_error e = SD_BUS_ERROR_NULL;

        prepare();
        sd_bus_message *m = message_of(input_of(data, size));
        if (!m)
                return 0;
        int r = request_read(m, &request, &e);
        if (r >= 0)
                r = request_check(&request, &e);
        if (r >= 0)
                r = arguments_read(request.call, &arguments, &e);
        if (r >= 0)
                r = arguments_check(&arguments, &request, getuid(), &e);
        if (r >= 0)
                check_accepted(&request, &arguments);
        else
                CHECK(e.name && !isempty(e.message) && utf8_is_valid(e.message, strlen(e.message)));
        arguments_done(&arguments);
        sd_bus_error_free(&e);
        sd_bus_message_unref(m);

        /* The last line alone, as the name of a unit. */
        _cleanup_free_ char *text = strndup((const char *) data, size);
        CHECK(text);
        const char *line = strrchr(text, '\n');
        if (scope_name_parse(line ? line + 1 : text, NULL))
                CHECK(!strchr(line ? line + 1 : text, '/') && !strstr(line ? line + 1 : text, ".."));
        return 0;
}
