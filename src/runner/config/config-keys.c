/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/ident.h"
#include "common/repository-rule.h"
#include "runner/config/config-keys.h"
#include "runner/config/config-url.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define STRING_MAX 4096

static const char *const strategies[] = { "none", "interval", "exponential", NULL };

/* dataDir has no fallback here: it depends on who runs us. (clang-format 14 crashes on rows of unequal length.) */
/* clang-format off */
const ConfigKey config_keys[] = {
        { "orchestratorUrl", CONFIG_URL, .env = "NORTHFLARE_ORCHESTRATOR_URL" },
        { "tokenFile", CONFIG_PATH, .live = true },
        { "dataDir", CONFIG_PATH, .env = "NORTHFLARE_DATA_DIR", .option = "data-dir" },
        { "workspaceDir", CONFIG_PATH, .env = "NORTHFLARE_WORKSPACE_DIR", .option = "workspace-dir", .live = true },
        { "caFile", CONFIG_PATH },
        { "endpoints.messages", CONFIG_URL_PATH, "\"/api/runner/messages\"" },
        { "endpoints.events", CONFIG_URL_PATH, "\"/api/runner/events\"" },
        { "retryStrategy", CONFIG_ENUM, "\"interval\"", .choices = strategies, .option = "retry-strategy" },
        { "retryIntervalSecs", CONFIG_UINT, "60", 1, 86400, .option = "retry-interval-secs" },
        { "retryDurationSecs", CONFIG_UINT, "900", 1, 31536000, .option = "retry-duration-secs" },
        { "heartbeatIntervalMs", CONFIG_UINT, "120000", 1000, 3600000, .option = "heartbeat-interval" },
        { "maxConversations", CONFIG_UINT, "16", 1, 10000, .live = true },
        { "maxMessageBytes", CONFIG_BYTES, "16777216", 64 * KIB, 512 * MIB },
        { "minFreeDiskBytes", CONFIG_BYTES, "268435456", 0, 1024 * TIB, .live = true },
        { "minFreeMemoryBytes", CONFIG_BYTES, "134217728", 0, 1024 * TIB, .live = true },
        { "maxMemoryPressurePercent", CONFIG_UINT, "50", 0, 100, .live = true },
        { "maxCpuPressurePercent", CONFIG_UINT, "0", 0, 100, .live = true },
        { "keepEndedDays", CONFIG_UINT, "30", 0, 36500, .live = true },
        { "stopGraceMs", CONFIG_UINT, "5000", 0, 3600000, .live = true },
        { "forwardRaw", CONFIG_BOOL, "false", .live = true },
        { "allowInsecureHttp", CONFIG_BOOL, "false", .live = true },
        { "debug", CONFIG_BOOL, "false", .env = "DEBUG", .option = "debug", .live = true },
        { "permissionModes", CONFIG_IDENT_LIST, "[\"default\",\"acceptEdits\",\"plan\",\"dontAsk\"]", .live = true },
        { "envAllowed",
          CONFIG_ENV_LIST,
          "[\"ANTHROPIC_*\",\"CLAUDE_CODE_*\",\"DISABLE_AUTOUPDATER\",\"OPENAI_*\",\"NORTHFLARE_TEST_*\"]", .live = true },
        { "trustedRepositories", CONFIG_REPOSITORY_LIST, .live = true },
        { "limits.memoryHigh", CONFIG_BYTES, "3221225472", MIB, 1024 * TIB, .live = true },
        { "limits.memoryMax", CONFIG_BYTES, "4294967296", MIB, 1024 * TIB, .live = true },
        { "limits.memorySwapMax", CONFIG_BYTES, NULL, 0, 1024 * TIB, .live = true },
        { "limits.tasksMax", CONFIG_UINT, "1024", 1, 4194304, .live = true },
        { "limits.cpuWeight", CONFIG_UINT, "100", 1, 10000, .live = true },
        { "limits.ioWeight", CONFIG_UINT, NULL, 1, 10000, .live = true },
        { "limits.cpuQuotaPercent", CONFIG_UINT, NULL, 1, 1000000, .live = true },
        { "limits.runtimeMaxSec", CONFIG_UINT, NULL, 1, 31536000, .live = true },
        { "timeouts.silenceSec", CONFIG_UINT, NULL, 1, 31536000, .live = true },
        { "timeouts.answerSec", CONFIG_UINT, NULL, 1, 31536000, .live = true },
        { "agents.*.protocol", CONFIG_IDENT, .live = true },
        { "agents.*.executable", CONFIG_PATH, .live = true },
        { "agents.*.env.*", CONFIG_STRING, .live = true },
        { "labels.*", CONFIG_STRING, .live = true },
        { "git.caFile", CONFIG_PATH, .live = true },
        { "git.knownHostsFile", CONFIG_PATH, .live = true },
        { "git.tokenFile", CONFIG_PATH, .live = true },
        { "git.sshKeyFile", CONFIG_PATH, .live = true },
        { "git.username", CONFIG_STRING, .live = true },
        { "git.credentialHosts", CONFIG_IDENT_LIST, .live = true },
        { "git.allowLoopback", CONFIG_BOOL, "false", .live = true },
        { "git.timeoutSecs", CONFIG_UINT, "600", 1, 86400, .live = true },
        { "git.maxObjectBytes", CONFIG_BYTES, "268435456", KIB, TIB, .live = true },
        { "git.maxObjects", CONFIG_UINT, "16777216", 1, 4294967295, .live = true },
        { "git.maxPackBytes", CONFIG_BYTES, "17179869184", KIB, 1024 * TIB, .live = true },
        { "git.maxRefs", CONFIG_UINT, "500000", 1, 4294967295, .live = true },
        { "git.maxCheckoutBytes", CONFIG_BYTES, "17179869184", KIB, 1024 * TIB, .live = true },
        { "git.maxCheckoutFiles", CONFIG_UINT, "1000000", 1, 4294967295, .live = true },
};
/* clang-format on */
const size_t config_n_keys = ELEMENTSOF(config_keys);

/* ---- names ---- */

int config_path_parse(const char *name, ConfigPath *ret, char **ret_memory) {
        ConfigPath path = {};
        char *memory = strdup(name), *p = memory, *part;

        if (!memory)
                return -ENOMEM;
        while ((part = strsep(&p, "."))) {
                assert(path.n < CONFIG_DEPTH_MAX);
                path.part[path.n++] = part;
        }
        *ret = path;
        *ret_memory = memory;
        return 0;
}

char *config_path_text(const ConfigPath *path) {
        _cleanup_buffer_ Buffer b = {};

        for (unsigned i = 0; i < path->n; i++) {
                if (i > 0)
                        (void) buffer_append_str(&b, ".");
                (void) buffer_append_str(&b, path->part[i]);
        }
        return buffer_steal(&b);
}

/* What follows in name behind the parts of path, or NULL where they differ. */
static const char *
match(const char *name, const ConfigPath *path, int (*compare)(const char *, const char *, size_t)) {
        for (unsigned i = 0; i < path->n; i++) {
                size_t n = strcspn(name, ".");

                if (n == 0 ||
                    (!(n == 1 && *name == '*') &&
                     (strlen(path->part[i]) != n || compare(name, path->part[i], n) != 0)))
                        return NULL;
                name += n;
                if (*name == '.')
                        name++;
                else if (i + 1 < path->n)
                        return NULL;
        }
        return name;
}

const ConfigKey *config_key_find(const ConfigPath *path) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const char *rest = match(config_keys[i].name, path, strncmp);
                if (rest && !*rest)
                        return &config_keys[i];
        }
        return NULL;
}

const ConfigKey *config_key_by_name(const char *name) {
        for (size_t i = 0; i < config_n_keys; i++)
                if (streq(config_keys[i].name, name))
                        return &config_keys[i];
        return NULL;
}

bool config_key_is_group(const ConfigPath *path) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const char *rest = match(config_keys[i].name, path, strncmp);
                if (rest && *rest)
                        return true;
        }
        return false;
}

char *config_key_similar(const ConfigPath *path) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const char *name = config_keys[i].name, *rest = match(name, path, strncasecmp);
                if (!rest || strchr(name, '*'))
                        continue;
                size_t n = (size_t) (rest - name);
                return strndup(name, *rest && n > 0 ? n - 1 : n);
        }
        return NULL;
}

/* ---- values ---- */

static int why(char **ret_why, char *text) {
        *ret_why = text;
        return text ? -EINVAL : -ENOMEM;
}

static int give(Json **ret, Json *value) {
        *ret = value;
        return value ? 0 : -ENOMEM;
}

/* The string without a NUL inside, or NULL. */
static const char *string_of(Json *value) {
        const char *s;

        if (!json_object_is_type(value, json_type_string))
                return NULL;
        s = json_object_get_string(value);
        return strlen(s) == (size_t) json_object_get_string_len(value) ? s : NULL;
}

static bool has_control(const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        return true;
        return false;
}

static bool env_name_is_valid(const char *s, bool star) {
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        if (n == 0 || isdigit((unsigned char) *s))
                return false;
        return !s[n] || (star && streq(s + n, "*"));
}

static int check_path(const char *s, const char *base_dir, Json **ret, char **ret_why) {
        _cleanup_buffer_ Buffer b = {};
        const char *sep = "/";

        if (isempty(s))
                return why(ret_why, strdup("must not be empty"));
        if (*s != '/')
                (void) buffer_append_str(&b, base_dir);
        /* Doubled slashes and "." say nothing; ".." stays, since a link may be before it. */
        for (const char *p = s; *p;) {
                size_t n = strcspn(p, "/");

                if (n > 0 && !(n == 1 && *p == '.')) {
                        if (b.size == 0 || b.data[b.size - 1] != '/')
                                (void) buffer_append_str(&b, sep);
                        (void) buffer_append(&b, p, n);
                }
                p += n;
                p += strspn(p, "/");
        }
        if (b.size == 0)
                (void) buffer_append_str(&b, "/");
        return b.failed ? -ENOMEM : give(ret, json_object_new_string_len(b.data, (int) b.size));
}

static int
check_string(const ConfigKey *key, const char *s, const char *base_dir, Json **ret, char **ret_why) {
        _cleanup_free_ char *url = NULL;
        bool plain, loopback;
        int r;

        if (strlen(s) > STRING_MAX || has_control(s))
                return why(
                        ret_why,
                        xasprintf("must be at most %d bytes without control characters", STRING_MAX));
        switch (key->type) {
        case CONFIG_IDENT:
                if (!ident_is_valid(s))
                        return why(ret_why, strdup("must be letters, digits, '_', '.' and '-', 64 at most"));
                break;
        case CONFIG_PATH:
                return check_path(s, base_dir, ret, ret_why);
        case CONFIG_URL:
                r = config_url_check(s, &url, &plain, &loopback, ret_why);
                return r < 0 ? r : give(ret, json_object_new_string(url));
        case CONFIG_URL_PATH:
                if (*s != '/' || s[strcspn(s, " ?#\\")])
                        return why(ret_why, strdup("must begin with '/' and have no blank, '?' or '#'"));
                break;
        case CONFIG_ENUM:
                STRV_FOREACH(c, key->choices)
                        if (streq(*c, s))
                                return give(ret, json_object_new_string(s));
                return why(
                        ret_why,
                        xasprintf(
                                "must be %s, %s or %s", key->choices[0], key->choices[1], key->choices[2]));
        default:
                break;
        }
        return give(ret, json_object_new_string(s));
}

static int parse_bytes(const char *s, uint64_t *ret) {
        static const struct {
                char suffix;
                uint64_t factor;
        } units[] = { { 'K', KIB }, { 'M', MIB }, { 'G', GIB }, { 'T', TIB } };
        _cleanup_free_ char *digits = strdup(s);
        uint64_t factor = 1;
        int r;

        if (!digits)
                return -ENOMEM;
        for (size_t i = 0, n = strlen(digits); i < ELEMENTSOF(units) && n > 0; i++)
                if (digits[n - 1] == units[i].suffix) {
                        digits[n - 1] = 0;
                        factor = units[i].factor;
                        break;
                }
        r = safe_atou64(digits, ret);
        if (r < 0)
                return r;
        return __builtin_mul_overflow(*ret, factor, ret) ? -ERANGE : 0;
}

static int check_number(const ConfigKey *key, Json *value, bool text, Json **ret, char **ret_why) {
        const char *s = string_of(value);
        uint64_t n = 0;
        bool good;

        if (s && key->type == CONFIG_BYTES)
                good = parse_bytes(s, &n) >= 0;
        else if (s)
                good = text && safe_atou64(s, &n) >= 0;
        else {
                good = json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0;
                n = good ? json_object_get_uint64(value) : 0;
        }
        if (!good || n < key->min || n > key->max)
                return why(
                        ret_why,
                        xasprintf(
                                "must be a whole number from %llu to %llu%s",
                                (unsigned long long) key->min,
                                (unsigned long long) key->max,
                                key->type == CONFIG_BYTES ? ", or a string such as \"4G\"" : ""));
        return give(ret, json_object_new_uint64(n));
}

static int check_bool(Json *value, bool text, Json **ret, char **ret_why) {
        const char *s = string_of(value);

        if (json_object_is_type(value, json_type_boolean))
                return give(ret, json_object_new_boolean(json_object_get_boolean(value)));
        if (text && s && (streq(s, "true") || streq(s, "false")))
                return give(ret, json_object_new_boolean(streq(s, "true")));
        return why(ret_why, strdup("must be true or false"));
}

/* The i-th of a list. */
static int check_item(const ConfigKey *key, size_t i, const char *s, char **ret_why) {
        _cleanup_free_ char *clause = NULL;
        int r;

        switch (key->type) {
        case CONFIG_REPOSITORY_LIST:
                r = repository_rule_check(s, &clause);
                return r == -EINVAL ? why(ret_why, xasprintf("entry %zu %s", i + 1, clause)) : r;
        case CONFIG_ENV_LIST:
                if (env_name_is_valid(s, true))
                        return 0;
                clause = strdup("the name of a variable, or a prefix followed by '*'");
                break;
        default:
                if (ident_is_valid(s))
                        return 0;
                clause = strdup("a name");
        }
        return why(ret_why, xasprintf("\"%.*s\" is not %s", utf8_cut(s, 64), s, strempty(clause)));
}

static int check_list(const ConfigKey *key, Json *value, Json **ret, char **ret_why) {
        _cleanup_json_ Json *list = NULL;
        int r;

        if (!json_object_is_type(value, json_type_array))
                return why(ret_why, strdup("must be an array of strings"));
        list = json_object_new_array();
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < json_object_array_length(value); i++) {
                const char *s = string_of(json_object_array_get_idx(value, i));
                Json *item;

                if (!s)
                        return why(ret_why, strdup("must be an array of strings"));
                r = check_item(key, i, s, ret_why);
                if (r < 0)
                        return r;
                item = json_object_new_string(s);
                if (!item || json_object_array_add(list, item) < 0) {
                        json_object_put(item);
                        return -ENOMEM;
                }
        }
        return give(ret, TAKE_PTR(list));
}

int config_key_check(
        const ConfigKey *key,
        Json *value,
        bool text,
        const char *base_dir,
        Json **ret,
        char **ret_why) {
        const char *s;

        switch (key->type) {
        case CONFIG_UINT:
        case CONFIG_BYTES:
                return check_number(key, value, text, ret, ret_why);
        case CONFIG_BOOL:
                return check_bool(value, text, ret, ret_why);
        case CONFIG_IDENT_LIST:
        case CONFIG_ENV_LIST:
        case CONFIG_REPOSITORY_LIST:
                return check_list(key, value, ret, ret_why);
        default:
                s = string_of(value);
                return s ? check_string(key, s, base_dir, ret, ret_why) :
                           why(ret_why, strdup("must be a string"));
        }
}
