/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "common/git-url.h"

static int check(const char *text, bool allow_loopback, char **ret_error) {
        _cleanup_giturl_ GitUrl u = {};
        int r = giturl_parse(text, &u, ret_error);

        return r < 0 ? r : giturl_check(&u, allow_loopback, ret_error);
}

static void test_parts(void **state) {
        static const struct {
                const char *text, *user, *host, *path;
                GitScheme scheme;
                uint16_t port;
        } cases[] = {
                { "https://GitHub.com/owner/repo.git",
                  NULL,
                  "github.com",
                  "/owner/repo.git",
                  GIT_SCHEME_HTTPS,
                  443 },
                { "https://git.example.org.:8443/a", NULL, "git.example.org", "/a", GIT_SCHEME_HTTPS, 8443 },
                { "https://[2001:db8::1]:444/a", NULL, "2001:db8::1", "/a", GIT_SCHEME_HTTPS, 444 },
                { "ssh://git@example.org/~/a b", NULL, NULL, NULL, GIT_SCHEME_SSH, 0 },
                { "ssh://git@example.org:22/~/a", "git", "example.org", "/~/a", GIT_SCHEME_SSH, 22 },
                { "git@github.com:owner/repo.git",
                  "git",
                  "github.com",
                  "owner/repo.git",
                  GIT_SCHEME_SSH,
                  22 },
                { "host:repo", NULL, "host", "repo", GIT_SCHEME_SSH, 22 },
                { "https://h/%20a", NULL, "h", "/%20a", GIT_SCHEME_HTTPS, 443 },
                { "file:///srv/a.git", NULL, "", "/srv/a.git", GIT_SCHEME_FILE, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_giturl_ GitUrl u = {};
                int r = giturl_parse(cases[i].text, &u, NULL);

                if (!cases[i].host) {
                        assert_int_equal(r, -EINVAL);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(u.scheme, cases[i].scheme);
                assert_int_equal(u.port, cases[i].port);
                assert_string_equal(u.host, cases[i].host);
                assert_string_equal(u.path, cases[i].path);
                assert_true(streq_ptr(u.user, cases[i].user));
        }
}

static void test_refused(void **state) {
        static const char *const texts[] = {
                "",
                "-",
                "--upload-pack=x",
                "https://",
                "https://h",
                "https://h/",
                "HTTPS://h/a",
                "git://h/a",
                "ext::sh -c x",
                "https://u:SECRET@h/a",
                "https://SECRET@h/a",
                "https://h@SECRET@x/a",
                "ssh://u:SECRET@h/a",
                "ssh://-x@h/a",
                "ssh://-oProxyCommand=x/a",
                "https://h:0/a",
                "https://h:65536/a",
                "https://h:1x/a",
                "https://h:/a",
                "https://h/a?x",
                "https://h/a#x",
                "https://h/../a",
                "https://h/a/..",
                "https://h/a%00",
                "https://h/a%0ab",
                "https://h/a%2",
                "https://h\\@x/a",
                "https://h h/a",
                "https://h/a\nb",
                "https://[::1/a",
                "https://[x]/a",
                "https://[fe80::1%25eth0]/a",
                "https://h..h/a",
                "https://.h/a",
                "https://h\xc3\xa4/a",
                "file://host/a",
                "/srv/a.git",
                "./a:b",
                "a",
                "c:\\x",
                "u:SECRET@h:p",
                "h:-x",
                "-u@h:p",
                "h:a:b",
                "ftp://h/a",
                "http:/h/a",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *error = NULL;
                int r = check(texts[i], false, &error);

                if (r >= 0 || !error)
                        fail_msg("taken: %s", texts[i]);
                if (strstr(error, "SECRET"))
                        fail_msg("repeated: %s", error);
        }
        _cleanup_free_ char *longer = malloc(5000);
        memset(longer, 'a', 4999);
        memcpy(longer, "https://h/", 10);
        longer[4999] = 0;
        assert_true(check(longer, false, NULL) < 0);
}

static void test_hosts(void **state) {
        static const char *const here[] = {
                "https://localhost/a",   "https://LOCALHOST./a",
                "https://x.localhost/a", "https://127.0.0.1/a",
                "https://127.9/a",       "https://2130706433/a",
                "https://0x7f.1/a",      "https://0177.0.0.1/a",
                "https://[::1]/a",       "https://[::ffff:127.0.0.1]/a",
                "ssh://git@localhost/a", "git@localhost:a",
        };
        static const char *const never[] = {
                "https://0.0.0.0/a",
                "https://0/a",
                "https://169.254.169.254/a",
                "https://2852039166/a",
                "https://[fe80::1]/a",
                "https://[::]/a",
                "https://[ff02::1]/a",
                "https://224.0.0.1/a",
                "https://255.255.255.255/a",
                "https://[::ffff:169.254.169.254]/a",
                "https://[64:ff9b::a9fe:a9fe]/a",
                "https://[fd00:ec2::254]/a",
                "https://[2002:7f00:1::]/a",
                "http://example.org/a",
        };
        static const char *const fine[] = {
                "https://example.org/a",           "https://10.0.0.1/a",      "https://192.168.1.1:8443/a",
                "https://[2001:db8::1]/a",         "https://[fd12::1]/a",     "https://git/a",
                "https://localhost.example.org/a", "ssh://git@example.org/a", "https://notlocalhost/a",
        };

        for (size_t i = 0; i < ELEMENTSOF(here); i++)
                if (check(here[i], false, NULL) != -EPERM || check(here[i], true, NULL) != 0)
                        fail_msg("%s", here[i]);
        for (size_t i = 0; i < ELEMENTSOF(never); i++)
                if (check(never[i], false, NULL) != -EPERM || check(never[i], true, NULL) != -EPERM)
                        fail_msg("%s", never[i]);
        for (size_t i = 0; i < ELEMENTSOF(fine); i++)
                if (check(fine[i], false, NULL) != 0)
                        fail_msg("%s", fine[i]);
        assert_int_equal(check("http://localhost/a", false, NULL), -EPERM);
        assert_int_equal(check("http://localhost:3000/a", true, NULL), 0);
        assert_int_equal(check("file:///a", false, NULL), -EPERM);
        assert_int_equal(check("file:///a", true, NULL), 0);
}

static void test_addresses(void **state) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        struct sockaddr un = { .sa_family = AF_UNIX };

        assert_int_equal(inet_pton(AF_INET, "127.3.2.1", &in.sin_addr), 1);
        assert_false(giturl_address_is_allowed((struct sockaddr *) &in, sizeof(in), false));
        assert_true(giturl_address_is_allowed((struct sockaddr *) &in, sizeof(in), true));
        assert_false(giturl_address_is_allowed((struct sockaddr *) &in, sizeof(in) - 1, true));
        assert_int_equal(inet_pton(AF_INET, "93.184.216.34", &in.sin_addr), 1);
        assert_true(giturl_address_is_allowed((struct sockaddr *) &in, sizeof(in), false));
        assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &in6.sin6_addr), 1);
        assert_true(giturl_address_is_allowed((struct sockaddr *) &in6, sizeof(in6), false));
        assert_int_equal(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
        assert_false(giturl_address_is_allowed((struct sockaddr *) &in6, sizeof(in6), true));
        assert_false(giturl_address_is_allowed(&un, sizeof(un), true));
}

static void key_of(const char *text, char ret[static GITURL_KEY_SIZE]) {
        _cleanup_giturl_ GitUrl u = {};

        assert_int_equal(giturl_parse(text, &u, NULL), 0);
        assert_int_equal(giturl_key(&u, ret), 0);
}

static void test_key(void **state) {
        static const char *const same[] = {
                "https://github.com/o/r",
                "https://github.com/o/r.git",
                "https://GITHUB.com:443/o/r/",
                "https://github.com./o/r.git/",
        };
        static const char *const others[] = {
                "https://github.com/o/R",    "https://github.com:8443/o/r", "ssh://github.com/o/r",
                "ssh://git@github.com/o/r",  "git@github.com:o/r",          "https://github.com/o/r2",
                "https://github.com/o/.git",
        };
        char first[GITURL_KEY_SIZE], key[GITURL_KEY_SIZE];

        key_of(same[0], first);
        assert_int_equal(strlen(first), 16);
        for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                key_of(same[i], key);
                assert_string_equal(key, first);
        }
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                key_of(others[i], key);
                for (size_t j = 0; j < i; j++) {
                        char other[GITURL_KEY_SIZE];
                        key_of(others[j], other);
                        assert_string_not_equal(key, other);
                }
                assert_string_not_equal(key, first);
        }
}

static void test_names(void **state) {
        static const char *const good[] = {
                "main", "feature/x", "fix/#12", "a.b", "\xc3\xbc", "a-b", "x@y", "northflare/c-1",
        };
        static const char *const bad[] = {
                "",       "-x",       "/x",   "x/", "x//y", ".x",           "x/.y", "x..y",  "x.",
                "x.lock", "x.lock/y", "x y",  "x~", "x^",   "x:y",          "x?",   "x*",    "x[",
                "x\\y",   "x\"y",     "x@{y", "@",  "HEAD", "refs/heads/x", "x\ny", "x\x7f", "\xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!gitref_branch_is_valid(good[i]))
                        fail_msg("%s", good[i]);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (gitref_branch_is_valid(bad[i]))
                        fail_msg("%s", bad[i]);
        assert_true(gitref_commit_is_valid("0123456789abcdef0123456789abcdef01234567"));
        assert_false(gitref_commit_is_valid("0123456789ABCDEF0123456789abcdef01234567"));
        assert_false(gitref_commit_is_valid("0123456"));
        assert_false(gitref_commit_is_valid("0123456789abcdef0123456789abcdef0123456g"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_hosts), cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_key),   cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
