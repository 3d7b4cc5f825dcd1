/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/repository-rule.h"

static bool matches_url(const char *rule, const char *url) {
        _cleanup_giturl_ GitUrl u = {};

        assert_int_equal(giturl_parse(url, &u, NULL), 0);
        return repository_rule_matches_url(rule, &u);
}

static void expect(bool expected, const char *rule, const char *text, bool matched) {
        if (matched != expected)
                fail_msg("%s %s %s", rule, matched ? "matches" : "does not match", text);
}

typedef struct Case {
        const char *rule, *text;
} Case;

static void test_a_repository_is_matched_by_host_and_whole_components(void **state) {
        static const Case yes[] = {
                { "git.example.org", "https://git.example.org/team/app.git" },
                { "git.example.org", "https://GIT.example.org./x" },
                { "Git.Example.Org", "https://git.example.org:443/x" },
                { "git.example.org", "ssh://git@git.example.org/team/app" },
                { "git.example.org", "git@git.example.org:team/app" },
                { "git.example.org", "https://git.example.org/a%20b" },
                { "git.example.org/team", "https://git.example.org/team/app.git" },
                { "git.example.org/team/app", "https://git.example.org/team/app.git" },
                { "git.example.org/team/app", "https://git.example.org/team/app/" },
                { "git.example.org/team/app.git", "git@git.example.org:team/app" },
                { "git.example.org/team/app", "ssh://git.example.org/team/app" },
                { "git.example.org:8443", "https://git.example.org:8443/x" },
                { "git.example.org:2222/team", "ssh://git@git.example.org:2222/team/x" },
                { "ci@git.example.org", "ssh://ci@git.example.org/x" },
                { "ci@git.example.org:22/a", "ci@git.example.org:a/b" },
                { "[::1]:8080/a", "http://[::1]:8080/a/b" },
        };
        static const Case no[] = {
                { "git.example.org", "https://git.example.org.evil.net/team/app" },
                { "git.example.org", "https://evil-git.example.org/team/app" },
                { "git.example.org", "https://sub.git.example.org/x" },
                { "example.org", "https://git.example.org/x" },
                { "git.example.org/team", "https://evil.net/git.example.org/team/app" },
                { "git.example.org/team", "https://git.example.org/team2/app" },
                { "git.example.org/team", "https://git.example.org/tea" },
                { "git.example.org/team/app", "https://git.example.org/team/app2.git" },
                { "git.example.org/team/app", "https://git.example.org/team/app.git.git" },
                { "git.example.org/team", "https://git.example.org/Team/app" },
                { "git.example.org/team", "https://git.example.org/x/team/app" },
                { "git.example.org/team", "https://git.example.org//team/app" },
                { "git.example.org/team", "https://git.example.org/team//app" },
                { "git.example.org/team", "https://git.example.org/team/./app" },
                { "git.example.org/team", "https://git.example.org/team/%2e%2e/evil" },
                { "git.example.org/team", "https://git.example.org/%74eam/app" },
                { "git.example.org/team", "git@git.example.org:~evil/team/app" },
                { "git.example.org", "https://git.example.org:8443/x" },
                { "git.example.org", "ssh://git@git.example.org:2222/x" },
                { "git.example.org:8443", "https://git.example.org/x" },
                { "git.example.org", "ssh://evil@git.example.org/x" },
                { "git.example.org", "evil@git.example.org:x" },
                { "ci@git.example.org", "https://git.example.org/x" },
                { "ci@git.example.org", "git@git.example.org:x" },
                { "ci@git.example.org", "ssh://git.example.org/x" },
                { "127.0.0.1", "https://127.1/x" },
                { "/srv/git", "file:///srv/git/x" },
                { "/srv/git", "https://srv/git/x" },
                { "", "https://git.example.org/x" },
                { "https://git.example.org", "https://git.example.org/x" },
                { "git.example.org/", "https://git.example.org/x" },
                { "*", "https://git.example.org/x" },
                { "git.example.org/*", "https://git.example.org/*" },
        };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                expect(true, yes[i].rule, yes[i].text, matches_url(yes[i].rule, yes[i].text));
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                expect(false, no[i].rule, no[i].text, matches_url(no[i].rule, no[i].text));
}

static void test_a_directory_is_matched_by_whole_components(void **state) {
        static const Case yes[] = {
                { "/srv/a", "/srv/a" },
                { "/srv/a", "/srv/a/" },
                { "/srv/a", "/srv/a/b" },
                { "/srv", "/srv/a/b/" },
        };
        static const Case no[] = {
                { "/srv/a", "/srv" },
                { "/srv/a", "/srv/ab" },
                { "/srv/a", "/srv/a/../b" },
                { "/srv/a", "/srv/a/.." },
                { "/srv/a", "/srv/./a" },
                { "/srv/a", "/srv//a" },
                { "/srv/a", "/srv/a//" },
                { "/srv/a", "/SRV/a" },
                { "/srv/a", "srv/a" },
                { "/srv/a", "" },
                { "/srv/a", "/x/srv/a" },
                { "/", "/srv/a" },
                { "/*", "/*" },
                { "/srv/*", "/srv/a" },
                { "/srv/a/", "/srv/a/b" },
                { "git.example.org", "/git.example.org" },
                { "", "/srv" },
        };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                expect(true,
                       yes[i].rule,
                       yes[i].text,
                       repository_rule_matches_directory(yes[i].rule, yes[i].text));
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                expect(false,
                       no[i].rule,
                       no[i].text,
                       repository_rule_matches_directory(no[i].rule, no[i].text));
}

static void test_a_rule_that_is_not_valid_is_refused(void **state) {
        static const Case refused[] = {
                { "", "empty" },
                { "/", "every directory" },
                { "//", "\"//\"" },
                { "/srv/", "slash at its end" },
                { "/srv/../etc", "\"..\"" },
                { "/srv/./x", "\".\"" },
                { "/srv/\x01", "control" },
                { "/srv/\xff", "UTF-8" },
                { "https://git.example.org", "scheme" },
                { "git.example.org/", "HOST" },
                { "git.example.org/a/", "slash at its end" },
                { "git.example.org//a", "\"//\"" },
                { "git.example.org/a/../b", "HOST" },
                { "git.example.org/./a", "\".\"" },
                { "git.example.org/%61", "\"%\"" },
                { "git.example.org/a?b", "HOST" },
                { "git.example.org:", "HOST" },
                { "git.example.org:0/a", "HOST" },
                { "git.example.org:team/app", "HOST" },
                { "user:secret@git.example.org/a", "HOST" },
                { "*.example.org", "\"*\"" },
                { "git.example.org/*", "\"*\"" },
                { "/srv/*", "\"*\"" },
                { "git example.org", "HOST" },
                { "-git.example.org", "HOST" },
                { "..", "HOST" },
        };
        static const char *const taken[] = {
                "localhost",
                "git.example.org",
                "git.example.org/a",
                "git.example.org:8443/a/b.git",
                "ci@git.example.org",
                "[::1]/a",
                "/srv",
        };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_free_ char *why = NULL;

                if (repository_rule_check(refused[i].rule, &why) != -EINVAL)
                        fail_msg("taken: %s", refused[i].rule);
                assert_non_null(why);
                if (!strstr(why, refused[i].text) || strstr(why, "secret"))
                        fail_msg("%s: %s", refused[i].rule, why);
        }
        for (size_t i = 0; i < ELEMENTSOF(taken); i++) {
                _cleanup_free_ char *why = NULL;

                if (repository_rule_check(taken[i], &why) != 0)
                        fail_msg("refused: %s: %s", taken[i], why);
        }
}

static void test_a_directory_rule_of_the_longest_length_is_taken_and_one_more_is_not(void **state) {
        char rule[4095 + 2] = "/";
        _cleanup_free_ char *why = NULL;

        memset(rule + 1, 'a', sizeof(rule) - 2);
        assert_int_equal(strlen(rule), 4096);
        assert_int_equal(repository_rule_check(rule, &why), -EINVAL);
        free(TAKE_PTR(why));
        rule[4095] = 0;
        assert_int_equal(repository_rule_check(rule, &why), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_repository_is_matched_by_host_and_whole_components),
                cmocka_unit_test(test_a_directory_is_matched_by_whole_components),
                cmocka_unit_test(test_a_rule_that_is_not_valid_is_refused),
                cmocka_unit_test(test_a_directory_rule_of_the_longest_length_is_taken_and_one_more_is_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
