/* SPDX-License-Identifier: MIT */
#include "common/fileio.h"
#include "fuzz.h"
#include "launcher/settings.h"

/* launcher.json, and behind a NUL the file that remembers the agent users of workspaces. No ceiling is taken that is none,
 * and a workspace keeps its user. */

static void check_settings(const SettingsFile *s) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                CHECK(s->ceilings.value[i] == 0 ||
                      (s->ceilings.value[i] >= limit_infos[i].minimum &&
                       s->ceilings.value[i] <= limit_infos[i].maximum));
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                CHECK(!s->workspace_limits.set[i] ||
                      (i != LIMIT_RUNTIME_MAX && s->workspace_limits.value[i] >= 1 &&
                       s->workspace_limits.value[i] <= limit_infos[i].maximum));
        CHECK(s->max_scopes >= 1 && s->max_scopes <= 4096 && s->out_log_max > 0);
        CHECK(s->n_agents <= AGENT_USERS_MAX);
}

static void check_limits(const SettingsFile *s) {
        for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                sd_bus_error e = SD_BUS_ERROR_NULL;
                Limits l = {};

                CHECK(limits_check(&l, &s->ceilings, &e) >= 0);
                if (s->ceilings.value[i] == 0)
                        continue;
                l.set[i] = true;
                l.value[i] = s->ceilings.value[i] + 1;
                CHECK(limits_check(&l, &s->ceilings, &e) < 0 && streq(e.name, ERROR_LIMIT_TOO_HIGH));
                sd_bus_error_free(&e);
        }
}

/* Whatever the file says, no kind of scope is without a limit, and none has one above its ceiling. */
static void check_defaults(const SettingsFile *s) {
        static const LimitId all[] = {
                LIMIT_MEMORY_MAX, LIMIT_MEMORY_SWAP_MAX, LIMIT_TASKS_MAX, LIMIT_RUNTIME_MAX
        };

        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                sd_bus_error e = SD_BUS_ERROR_NULL;
                Limits l = {};

                limits_default(&l, &s->defaults[k]);
                for (size_t i = 0; i < ELEMENTSOF(all); i++)
                        CHECK(l.set[all[i]] && l.value[all[i]] <= limit_infos[all[i]].maximum);
                CHECK(l.set[LIMIT_CPU_QUOTA] || l.set[LIMIT_CPU_WEIGHT]);
                for (LimitId i = 0; i < _LIMIT_MAX; i++)
                        CHECK(s->ceilings.value[i] == 0 || l.set[i]);
                CHECK(limits_check(&l, &s->ceilings, &e) >= 0);
        }
}

static void parse(const char *text, size_t size) {
        char error[ANSWER_ERROR_SIZE] = "";
        SettingsFile file;
        int r = settings_file_parse(&file, text, size, error);
        CHECK(r == 0 || r == -EINVAL);
        CHECK((r < 0) == !!*error);
        if (r < 0)
                CHECK(utf8_is_valid(error, strlen(error)));
        else {
                check_settings(&file);
                check_limits(&file);
                check_defaults(&file);
        }
}

#define KEY "0123456789abcdef"

/* The user that the last whole line of the workspace names, or 0. */
static char expected(const char *text, size_t size) {
        FuzzInput in = { text, text + size };
        char found = 0;
        const char *line;
        size_t n;

        /* It ends at a NUL, and with a line feed. */
        in.end = text + strnlen(text, size);
        while (in.end > text && in.end[-1] != '\n')
                in.end--;
        while (input_piece(&in, '\n', &line, &n))
                if (n == strlen(KEY " a") && memcmp(line, KEY " ", strlen(KEY " ")) == 0 &&
                    line[n - 1] >= 'a' && line[n - 1] <= 'c')
                        found = line[n - 1];
        return found;
}

static void remember(const char *text, size_t size) {
        char names[][2] = { "a", "b", "c" };
        Settings s = { .agents = { { .name = names[0] }, { .name = names[1] }, { .name = names[2] } },
                       .n_agents = ELEMENTSOF(names),
                       .state_fd = fuzz_folder() };
        _cleanup_free_ char *after = NULL;
        const User *u = NULL, *again = NULL;
        size_t n = 0;
        char known = expected(text, size);

        fuzz_file(s.state_fd, "workspaces", text, size);
        CHECK(settings_agent_user(&s, KEY, &u) >= 0 && u);
        CHECK(!known || u->name[0] == known);
        CHECK(settings_agent_user(&s, KEY, &again) >= 0);
        CHECK(u == again || memchr(text, 0, size));
        /* Nothing of what was there is lost. */
        CHECK(read_file_at(s.state_fd, "workspaces", 1024 * 1024, &after, &n) >= 0);
        CHECK(n >= size && memcmp(after, text, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FuzzInput in = input_of(data, size);
        const char *text = "";
        size_t n = 0;

        (void) input_piece(&in, 0, &text, &n);
        parse(text, n);
        if (in.at < in.end)
                remember(in.at, (size_t) (in.end - in.at));
        return 0;
}
