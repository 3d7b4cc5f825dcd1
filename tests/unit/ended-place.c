/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "ended-place.h"
#include "runner/conversation/conversation-life.h"
#include "runner/link/sender.h"
#include "runner/run/position.h"
#include "runner/run/run-internal.h"
#include "tests/unit/own-event.h"

static void on_trouble(SenderTrouble t, long status, void *userdata) {
        fail_msg("the sender is in trouble: HTTP %ld", status);
}

void ended_place_ignore(Conversation *c, void *userdata) {
}

void ended_place_open(EndedPlace *p, TestHandler handler, const ConversationHooks *hooks, void *userdata) {
        static char *const headers[] = { (char *) "Content-Type: application/json", NULL };
        static const SenderTiming timing = {
                .retry_min_usec = USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .timeout_usec = 30 * USEC_PER_SEC,
        };
        _cleanup_free_ char *error = NULL;

        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-ended-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_return_code(store_open(p->fd, p->path, &p->ctx.run.store, &error), 0);
        assert_return_code(sd_event_new(&p->ctx.run.event), 0);
        test_deadline_arm(p->ctx.run.event);
        p->ctx.run.conversations_fd = p->fd;
        p->ctx.run.config = &p->config;
        p->ctx.hooks = hooks;
        p->ctx.userdata = userdata;
        p->server = test_server_new(p->ctx.run.event, handler, userdata);
        assert_int_equal(http_client_new(p->ctx.run.event, NULL, &p->http), 0);
        assert_int_equal(sender_new(p->ctx.run.event, p->http, &timing, on_trouble, p, &p->ctx.sender), 0);
        assert_int_equal(sender_set_target(p->ctx.sender, test_server_url(p->server), headers), 0);
}

void ended_place_close(EndedPlace *p) {
        sender_free(p->ctx.sender);
        http_client_free(p->http);
        test_server_free(p->server);
        test_deadline_disarm();
        event_cache_free(p->ctx.event_cache);
        store_close(p->ctx.run.store);
        sd_event_unref(p->ctx.run.event);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
}

char *ended_place_state(const char *protocol, unsigned lines) {
        _cleanup_json_ Json *spec = json_object_new_object();
        Driver *d = NULL;
        char *text = NULL;

        assert_return_code(driver_find(protocol)->new (spec, &d), 0);
        assert_return_code(position_save(d, lines, &text), 0);
        driver_free(d);
        return text;
}

Conversation *ended_place_add(
        EndedPlace *p,
        ConversationRow *row,
        const RunRow *run,
        const char *end_id,
        const char *members) {
        Store *store = p->ctx.run.store;
        Conversation *c = NULL;
        int64_t seq;

        assert_return_code(store_put_conversation(store, row), 0);
        assert_return_code(store_put_run(store, run), 0);
        if (!run->delivered)
                assert_return_code(
                        add_own_event(
                                store,
                                row->id,
                                run->run,
                                run->driven,
                                end_id,
                                "conversation.ended",
                                members,
                                &seq),
                        0);
        assert_return_code(conversation_new(&p->ctx, row, &c), 0);
        return c;
}
