/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/git-url.h"
#include "common/repository-rule.h"
#include "fuzz.h"
#include "runner/config/config-url.h"

/* Addresses: of the orchestrator and of repositories. What is taken means to libcurl, and to whoever reads the key of a
 * cache, what it means here: above all the same host. */

static void check_host(const char *url, bool loopback, bool plain) {
        CURLU *u = curl_url();
        char *host = NULL, *scheme = NULL, *user = NULL;

        CHECK(u);
        /* It may refuse more. */
        if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
                CHECK(curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK);
                CHECK(curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK);
                CHECK(curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
                CHECK(streq(scheme, plain ? "http" : "https"));
                if (loopback)
                        CHECK(strcasecmp(host, "localhost") == 0 || startswith(host, "127.") ||
                              host[0] == '[');
        }
        curl_free(host);
        curl_free(scheme);
        curl_free(user);
        curl_url_cleanup(u);
}

static void check_base(const char *text) {
        _cleanup_free_ char *url = NULL, *why = NULL, *again = NULL;
        bool plain = false, loopback = false, plain2 = false, loopback2 = false;
        int r = config_url_check(text, &url, &plain, &loopback, &why);

        CHECK(r == 0 || r == -EINVAL);
        CHECK((r < 0) == !!why && (r == 0) == !!url);
        if (r < 0)
                return;
        CHECK(!strpbrk(url, "?# \"\\\n"));
        CHECK(url[strlen(url) - 1] != '/');
        check_host(url, loopback, plain);
        CHECK(config_url_check(url, &again, &plain2, &loopback2, &why) == 0);
        CHECK(streq(url, again) && plain == plain2 && loopback == loopback2);
}

static void check_key(const GitUrl *u) {
        char key[GITURL_KEY_SIZE];

        CHECK(giturl_key(u, key) >= 0 && strlen(key) == GITURL_KEY_SIZE - 1);
        CHECK(strspn(key, "0123456789abcdef") == GITURL_KEY_SIZE - 1);
}

static bool is_own_address(const char *host) {
        struct in_addr a;

        return inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static void check_repository(const char *text) {
        _cleanup_free_ char *error = NULL;
        _cleanup_giturl_ GitUrl u = {};
        int r = giturl_parse(text, &u, &error);

        CHECK(r == 0 || r == -EINVAL);
        CHECK((r < 0) == !!error);
        if (r < 0) {
                CHECK(!isempty(error) && utf8_is_valid(error, strlen(error)));
                return;
        }
        CHECK(u.host && u.path && (u.scheme == GIT_SCHEME_FILE) == !*u.host);
        CHECK(u.host[0] != '-' && u.path[0] != '-' && (!u.user || u.user[0] != '-'));
        CHECK(u.scp || u.path[0] == '/');
        CHECK(!strpbrk(u.host, "/@ ?#\\%") && !strpbrk(u.path, " \n\t\\"));
        for (const char *p = u.host; *p; p++)
                CHECK(!(*p >= 'A' && *p <= 'Z'));
        check_key(&u);
        for (int loopback = 0; loopback < 2; loopback++) {
                free(TAKE_PTR(error));
                r = giturl_check(&u, loopback, &error);
                CHECK(r == 0 || r == -EPERM);
                CHECK((r < 0) == !!error);
                if (r == 0 && !loopback)
                        CHECK((u.scheme == GIT_SCHEME_HTTPS || u.scheme == GIT_SCHEME_SSH) &&
                              !streq(u.host, "localhost") && !is_own_address(u.host));
        }
}

static void check_names(const char *text) {
        if (gitref_branch_is_valid(text))
                CHECK(*text != '-' && *text != '/' && !strstr(text, "..") && !strpbrk(text, " ~^:?*[\\\n") &&
                      strlen(text) <= GIT_BRANCH_MAX && !endswith(text, ".lock") && !endswith(text, "/"));
        if (gitref_commit_is_valid(text))
                CHECK(strlen(text) == 40);
}

/* A rule, a newline, what it may match. */
static void check_rule(const char *text) {
        const char *newline = strchr(text, '\n');
        _cleanup_free_ char *rule = strndup(text, newline ? (size_t) (newline - text) : 0), *why = NULL;
        _cleanup_giturl_ GitUrl u = {};
        int r;

        CHECK(rule);
        r = repository_rule_check(rule, &why);
        CHECK((r == 0 || r == -EINVAL) && (r < 0) == !!why);
        if (!newline)
                return;
        if (repository_rule_matches_directory(rule, newline + 1))
                CHECK(r == 0 && startswith(newline + 1, rule) && !strstr(newline + 1, "/../"));
        if (giturl_parse(newline + 1, &u, NULL) < 0 || !repository_rule_matches_url(rule, &u))
                return;
        CHECK(r == 0 && *rule != '/' && u.scheme != GIT_SCHEME_FILE && strcasestr(rule, u.host));
        CHECK(!strchr(rule, '/') || !strpbrk(u.path, "%"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        CHECK(text);
        check_base(text);
        check_repository(text);
        check_names(text);
        check_rule(text);
        return 0;
}
