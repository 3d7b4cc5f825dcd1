/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/scope-name.h"

static void test_kinds(void **state) {
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++)
                assert_int_equal(scope_kind_from_string(scope_kind_to_string(k)), k);
        assert_int_equal(scope_kind_from_string("agent"), SCOPE_AGENT);
        assert_int_equal(scope_kind_from_string("git"), SCOPE_GIT);
        assert_int_equal(scope_kind_from_string("hook"), SCOPE_HOOK);
        assert_int_equal(scope_kind_from_string("Agent"), _SCOPE_KIND_INVALID);
        assert_int_equal(scope_kind_from_string(""), _SCOPE_KIND_INVALID);
}

static void check_both_ways(ScopeKind kind, const char *id, uint32_t run, const char *expected) {
        _cleanup_free_ char *name = scope_name(kind, id, run);
        ScopeName n = {};

        assert_string_equal(name, expected);
        assert_true(scope_name_parse(name, &n));
        assert_int_equal(n.kind, kind);
        assert_string_equal(n.id, id);
        assert_int_equal(n.run, run);
}

#define ID64 "0123456789012345678901234567890123456789012345678901234567890123"

static void test_a_name_gives_back_what_it_was_made_of(void **state) {
        check_both_ways(SCOPE_AGENT, "a", 1, "northflare-conversation-a-1.scope");
        check_both_ways(SCOPE_AGENT, "c-1-2", 3, "northflare-conversation-c-1-2-3.scope");
        check_both_ways(SCOPE_AGENT, "a.scope", 10, "northflare-conversation-a.scope-10.scope");
        check_both_ways(SCOPE_GIT, "a-b", 12, "northflare-git-a-b-12.scope");
        check_both_ways(SCOPE_HOOK, "a.b", UINT32_MAX, "northflare-hook-a.b-4294967295.scope");
        check_both_ways(SCOPE_HOOK, ID64, 1, "northflare-hook-" ID64 "-1.scope");
}

static void test_other_units_are_not_ours(void **state) {
        static const char *const others[] = {
                "",
                ".scope",
                "northflare.slice",
                "northflare-conversation-a-1.service",
                "northflare-conversation-a-1",
                "northflare-conversation-a.scope",
                "northflare-conversation--1.scope",
                "northflare-conversation-a-0.scope",
                "northflare-conversation-a-01.scope",
                "northflare-conversation-a-4294967296.scope",
                "northflare-conversation-a-42949672950.scope",
                "northflare-conversation-a-1 .scope",
                "northflare-conversation-a-+1.scope",
                "northflare-conversation-a-1.scopex",
                "northflare-conversation-0" ID64 "-1.scope",
                "northflare-other-a-1.scope",
                "northflare-conversation-a-.scope",
                "northflare-conversation-a*-1.scope",
                "northflare-conversation-a/b-1.scope",
                "xnorthflare-conversation-a-1.scope",
                "northflare-conversation-a\n-1.scope",
                "northflare-conversation-a..b-1.scope",
        };
        ScopeName n = { .run = 7 };

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (scope_name_parse(others[i], &n))
                        fail_msg("%s passes for ours", others[i]);
        assert_int_equal(n.run, 7);
        assert_true(scope_name_parse("northflare-git-a-1.scope", NULL));
}

static void test_slices_of_workspaces(void **state) {
        static const char *const no_slices[] = {
                "",
                "northflare.slice",
                "system.slice",
                "northflare-ws_.slice",
                "northflare-ws_0123456789abcde.slice",
                "northflare-ws_0123456789abcdef0.slice",
                "northflare-ws_0123456789abcdeF.slice",
                "northflare-ws_0123456789abcdef.slicex",
                "northflare-ws_0123456789abcdef-x.slice",
                "northflare-ws-0123456789abcdef.slice",
                "xnorthflare-ws_0123456789abcdef.slice",
        };
        char slice[WORKSPACE_SLICE_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(no_slices); i++)
                if (workspace_slice_is_valid(no_slices[i]))
                        fail_msg("%s passes for a workspace's slice", no_slices[i]);
        /* sha256("abc") begins so. */
        workspace_slice("abc", slice);
        assert_string_equal(slice, "northflare-ws_ba7816bf8f01cfea.slice");
        assert_true(workspace_slice_is_valid(slice));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_a_name_gives_back_what_it_was_made_of),
                cmocka_unit_test(test_other_units_are_not_ours),
                cmocka_unit_test(test_slices_of_workspaces),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
