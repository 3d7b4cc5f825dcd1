/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/repository-rule.h"

/* Of a directory; longer than any path that the kernel takes. */
#define RULE_DIRECTORY_MAX 4095

static int refuse(char **ret_why, const char *text) {
        *ret_why = strdup(text);
        return *ret_why ? -EINVAL : -ENOMEM;
}

/* Components with one slash between, none of them empty, "." or "..". */
static bool is_plain(const char *path, size_t n) {
        for (size_t i = 0; i < n;) {
                const char *slash = memchr(path + i, '/', n - i);
                size_t k = slash ? (size_t) (slash - path) - i : n - i;

                if (k == 0 || (k <= 2 && memcmp(path + i, "..", k) == 0) || (slash && i + k + 1 == n))
                        return false;
                i += k + 1;
        }
        return n > 0;
}

/* prefix is path itself, or path continues behind it with a slash. */
static bool is_at_or_below(const char *path, size_t n, const char *prefix, size_t k) {
        return k <= n && memcmp(path, prefix, k) == 0 && (k == n || path[k] == '/');
}

static size_t without_slash(const char *path, size_t n) {
        return n > 1 && path[n - 1] == '/' ? n - 1 : n;
}

/* The length of a repository's path less the ".git" that servers take or leave. */
static size_t without_suffix(const char *path, size_t n) {
        return n > 4 && memcmp(path + n - 4, ".git", 4) == 0 && path[n - 5] != '/' ? n - 4 : n;
}

/* The user takes a rule for a pattern. */
static int check_star(const char *rule, char **ret_why) {
        return strchr(rule, '*') ?
                refuse(ret_why, "has a \"*\"; an entry covers what is below it without one") :
                0;
}

static int check_directory(const char *rule, char **ret_why) {
        size_t n = strlen(rule);
        int r;

        r = check_star(rule, ret_why);
        if (r < 0)
                return r;
        if (n > RULE_DIRECTORY_MAX || !utf8_is_valid(rule, n))
                return refuse(ret_why, "is longer than 4095 bytes or not UTF-8");
        for (const char *p = rule; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return refuse(ret_why, "has a control character");
        if (n == 1)
                return refuse(ret_why, "names every directory of the machine");
        return is_plain(rule + 1, n - 1) ?
                0 :
                refuse(ret_why, "has \"//\", \".\", \"..\" or a slash at its end");
}

typedef struct Rule {
        GitUrl url;
        bool has_port;
        const char *path; /* of url, less the slash it begins with; NULL: all of them */
} Rule;

static void rule_done(Rule *r) {
        giturl_done(&r->url);
}

/* The rule as the address that it would be over ssh, the only one with a place for a user. ret is zero-initialised, and
 * the caller's to free in any case. */
static int parse(const char *rule, Rule *ret, char **ret_why) {
        _cleanup_free_ char *url = NULL, *why = NULL;
        size_t n = strcspn(rule, "/");
        const char *host = memrchr(rule, '@', n), *bracket = memrchr(rule, ']', n);
        int r;

        r = check_star(rule, ret_why);
        if (r < 0)
                return r;
        if (strstr(rule, "://"))
                return refuse(ret_why, "has a scheme; write HOST or HOST/PATH");
        host = bracket ? bracket + 1 : host ? host + 1 : rule;
        ret->has_port = memchr(host, ':', n - (size_t) (host - rule));
        url = xasprintf("ssh://%s%s", rule, rule[n] ? "" : "/x");
        if (!url)
                return -ENOMEM;
        r = giturl_parse(url, &ret->url, &why);
        if (r == -EINVAL)
                return refuse(ret_why, "is not HOST, HOST/PATH or an absolute directory");
        if (r < 0 || !rule[n])
                return r;
        ret->path = ret->url.path + 1;
        return !strchr(ret->path, '%') && is_plain(ret->path, strlen(ret->path)) ?
                0 :
                refuse(ret_why, "has \"%\", \"//\", \".\" or \"..\" in its path, or a slash at its end");
}

int repository_rule_check(const char *rule, char **ret_why) {
        _cleanup_(rule_done) Rule r = {};

        *ret_why = NULL;
        if (isempty(rule))
                return refuse(ret_why, "is empty");
        return *rule == '/' ? check_directory(rule, ret_why) : parse(rule, &r, ret_why);
}

static bool path_matches(const char *rule, const GitUrl *url) {
        const char *path = url->path + (url->path[0] == '/');
        size_t n = without_slash(path, strlen(path));

        return !strchr(path, '%') && is_plain(path, n) &&
                is_at_or_below(path, without_suffix(path, n), rule, without_suffix(rule, strlen(rule)));
}

bool repository_rule_matches_url(const char *rule, const GitUrl *url) {
        static const uint16_t ports[] = {
                [GIT_SCHEME_HTTPS] = 443, [GIT_SCHEME_SSH] = 22, [GIT_SCHEME_HTTP] = 80
        };
        _cleanup_(rule_done) Rule r = {};
        _cleanup_free_ char *why = NULL;

        if (url->scheme == GIT_SCHEME_FILE || isempty(rule) || *rule == '/' || parse(rule, &r, &why) < 0)
                return false;
        if (!streq(r.url.host, url->host) || url->port != (r.has_port ? r.url.port : ports[url->scheme]))
                return false;
        if (r.url.user ? !streq_ptr(r.url.user, url->user) : url->user && !streq(url->user, "git"))
                return false;
        return !r.path || path_matches(r.path, url);
}

bool repository_rule_matches_directory(const char *rule, const char *directory) {
        _cleanup_free_ char *why = NULL;
        size_t n;

        if (isempty(rule) || *rule != '/' || check_directory(rule, &why) < 0 || directory[0] != '/')
                return false;
        n = without_slash(directory, strlen(directory));
        return is_plain(directory + 1, n - 1) && is_at_or_below(directory, n, rule, strlen(rule));
}
