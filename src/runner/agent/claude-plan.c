/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "runner/agent/claude-plan.h"
#include "runner/agent/driver-util.h"

#define NAME_MAX_BYTES 256
/* The kernel takes 128 KiB in one argument. */
#define ARGUMENT_MAX (100 * 1024)

static const char *const program_paths[] = { "/usr/local/bin/claude", "/usr/bin/claude", NULL };

static const char advice[] =
        "install Claude Code (npm install --global @anthropic-ai/claude-code) so that /usr/local/bin/claude or "
        "/usr/bin/claude exists, or name the program in agents.claude.executable";

/* What a runner wants of every Claude: no updates behind its back, no traffic but the model's. */
#define DEFAULT_ENV                                               \
        "CLAUDE_CODE_ENTRYPOINT=sdk-ts", "DISABLE_AUTOUPDATER=1", \
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"
static const char *const trusted_env[] = { DEFAULT_ENV, NULL };

/* A schedule in the working directory (.claude/scheduled_tasks.json) would speak as the user does. And
 * Claude inspects the working directory with git before the first message, and git runs what its
 * .git/config names as core.fsmonitor. A checkout of ours has no such thing; a directory of another's making may. */
static const char *const untrusted_env[] = {
        DEFAULT_ENV,
        "CLAUDE_CODE_DISABLE_CRON=1",
        "GIT_CONFIG_COUNT=1",
        "GIT_CONFIG_KEY_0=core.fsmonitor",
        "GIT_CONFIG_VALUE_0=false",
        NULL,
};

/* It becomes Claude, and knows what of a repository may be read. */
#define ENTRY NF_LIBEXECDIR "/northflare-claude-entry"

static const char *const fixed_arguments[] = {
        "--output-format",
        "stream-json",
        "--verbose",
        "--input-format",
        "stream-json",
        "--permission-prompt-tool=stdio",
        "--include-partial-messages",
        NULL,
};

/* A repository's settings run programs, at once and unasked: hooks, servers, helpers. They count where the administrator
 * trusts the repository, and then as the SDK asks for them: without a settings.local.json. Without the project's settings
 * Claude reads no CLAUDE.md either, and AGENTS.md it may not know: what a repository says is quoted to it. */
static const char *const untrusted_words[] = { "CLAUDE.md", ".claude/CLAUDE.md", "AGENTS.md", NULL };
static const char *const trusted_words[] = { "AGENTS.md", NULL };

bool claude_is_trusted(Json *spec) {
        return !isempty(json_get_string(spec, "trustedRepository"));
}

int claude_probe(Json *agent_config, char **ret_error) {
        return plan_executable(agent_config, program_paths, advice, NULL, ret_error);
}

/* --flag=value in one argument: a value that begins with a dash stays a value. */
static int add_flag(char ***argv, const char *flag, const char *value) {
        return strv_consume(argv, xasprintf("%s=%s", flag, value));
}

static int add_string(char ***argv, const char *flag, Json *spec, const char *name, char **ret_error) {
        const char *value;
        int r;

        r = plan_string(spec, name, NAME_MAX_BYTES, &value, ret_error);
        if (r <= 0 || isempty(value))
                return r;
        return add_flag(argv, flag, value);
}

static int get_uuid(Json *spec, const char *name, const char **ret, char **ret_error) {
        int r;

        r = plan_string(spec, name, NAME_MAX_BYTES, ret, ret_error);
        if (r > 0 && !uuid_is_valid(*ret))
                return refuse(
                        ret_error, "%s is not a UUID; every session of Claude Code is named by one", name);
        return r;
}

static int add_session(char ***argv, Json *spec, char **ret_error) {
        const char *id = NULL, *resume = NULL;
        bool fork = false;
        int r;

        if (json_get_bool(spec, "forkSession", &fork) < 0)
                return refuse(ret_error, "forkSession is neither true nor false");
        r = get_uuid(spec, "resumeSessionId", &resume, ret_error);
        if (r < 0)
                return r;
        r = get_uuid(spec, "sessionId", &id, ret_error);
        if (r < 0)
                return r;
        if (resume) {
                r = add_flag(argv, "--resume", resume);
                if (r >= 0 && fork)
                        r = strv_extend(argv, "--fork-session");
                if (r < 0)
                        return r;
        }
        /* A resumed session keeps its name. */
        return id && (!resume || fork) ? add_flag(argv, "--session-id", id) : 0;
}

static int add_tools(char ***argv, const char *flag, Json *spec, const char *name, char **ret_error) {
        _cleanup_strv_free_ char **tools = NULL;
        _cleanup_buffer_ Buffer list = {};
        int r;

        r = json_get_strv(spec, name, &tools);
        if (r == -EINVAL)
                return refuse(ret_error, "%s is not an array of strings", name);
        if (r < 0)
                return r;
        STRV_FOREACH(t, tools) {
                if (isempty(*t))
                        return refuse(ret_error, "%s has an empty name", name);
                for (const char *p = *t; *p; p++)
                        if ((unsigned char) *p < 0x20 || *p == 0x7f)
                                return refuse(ret_error, "%s has a control character", name);
                if (list.size > 0)
                        (void) buffer_append(&list, ",", 1);
                (void) buffer_append_str(&list, *t);
        }
        if (list.failed)
                return -ENOMEM;
        if (list.size > ARGUMENT_MAX)
                return refuse(ret_error, "%s is longer than %u bytes", name, (unsigned) ARGUMENT_MAX);
        return list.size > 0 ? add_flag(argv, flag, list.data) : 0;
}

/* Servers may have secrets in their environment, and everybody on the machine can read an argument. */
static int add_mcp_servers(LaunchPlan *plan, Json *spec, char **ret_error) {
        Json *servers = json_get(spec, "mcpServers");

        if (!servers)
                return 0;
        if (!json_object_is_type(servers, json_type_object))
                return refuse(ret_error, "mcpServers is not an object");
        if (json_object_object_length(servers) == 0)
                return 0;
        json_object_object_foreach(servers, name, server)
                if (!json_object_is_type(server, json_type_object))
                        return refuse(
                                ret_error, "mcpServers.%.*s is not an object", utf8_cut(name, 64), name);
        plan->private_file = xasprintf("{\"mcpServers\":%s}\n", json_text(servers));
        if (!plan->private_file)
                return -ENOMEM;
        return strv_extend(&plan->argv, "--mcp-config={private}");
}

/* The program that goes first, and what it is to quote. */
static int add_entry(char ***argv, Json *spec) {
        const char *rule = json_get_string(spec, "trustedRepository");
        const char *const *words = claude_is_trusted(spec) ? trusted_words : untrusted_words;
        int r;

        r = strv_extend(argv, ENTRY);
        if (r >= 0 && rule && *rule == '/')
                r = add_flag(argv, "--below", rule);
        for (; r >= 0 && *words; words++)
                r = add_flag(argv, "--quote", *words);
        return r < 0 ? r : strv_extend(argv, "--");
}

int claude_plan(Json *spec, Json *agent_config, LaunchPlan *ret, char **ret_error) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        Json *prompt = json_get(spec, "appendSystemPrompt");
        char *path = NULL;
        int r;

        if (prompt && !json_object_is_type(prompt, json_type_string))
                return refuse(ret_error, "appendSystemPrompt is not a string");
        r = plan_executable(agent_config, program_paths, advice, &path, ret_error);
        if (r < 0)
                return r;
        r = add_entry(&plan.argv, spec);
        if (r < 0) {
                free(path);
                return r;
        }
        r = strv_consume(&plan.argv, path);
        for (size_t i = 0; r >= 0 && fixed_arguments[i]; i++)
                r = strv_extend(&plan.argv, fixed_arguments[i]);
        if (r >= 0)
                r = add_flag(
                        &plan.argv, "--setting-sources", claude_is_trusted(spec) ? "user,project" : "user");
        if (r < 0)
                return r;
        if ((r = add_session(&plan.argv, spec, ret_error)) < 0 ||
            (r = add_string(&plan.argv, "--model", spec, "model", ret_error)) < 0 ||
            (r = add_string(&plan.argv, "--permission-mode", spec, "permissionMode", ret_error)) < 0 ||
            (r = add_tools(&plan.argv, "--allowedTools", spec, "allowedTools", ret_error)) < 0 ||
            (r = add_tools(&plan.argv, "--disallowedTools", spec, "disallowedTools", ret_error)) < 0 ||
            (r = add_mcp_servers(&plan, spec, ret_error)) < 0 ||
            (r = plan_env(
                     spec,
                     agent_config,
                     claude_is_trusted(spec) ? trusted_env : untrusted_env,
                     &plan.env,
                     ret_error)) < 0)
                return r;
        *ret = plan;
        plan = (LaunchPlan){};
        return 0;
}
