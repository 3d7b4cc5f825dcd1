/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "store-test.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

int store_test_set_up(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-store.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        *state = f;
        return 0;
}

int store_test_tear_down(void **state) {
        Fixture *f = *state;

        store_close(f->store);
        safe_close(f->fd);
        (void) nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

void open_store(Fixture *f) {
        _cleanup_free_ char *error = NULL;
        int r = store_open(f->fd, f->path, &f->store, &error);

        if (r < 0)
                print_error("%s\n", error);
        assert_int_equal(r, 0);
        assert_null(error);
}

void reopen_store(Fixture *f) {
        f->store = store_close(f->store);
        open_store(f);
}

void expect_open_error(Fixture *f, int error, const char *words) {
        _cleanup_free_ char *text = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(f->fd, f->path, &s, &text), error);
        assert_null(s);
        assert_non_null(text);
        assert_non_null(strstr(text, words));
        assert_non_null(strstr(text, f->path));
}

InboundMessage message(const char *id, const char *conversation) {
        return (InboundMessage){
                .envelope_id = (char *) id,
                .conversation = (char *) conversation,
                .method = (char *) "message.user",
                .params = (char *) "{\"content\":\"hi\"}",
                .received_usec = 1000,
        };
}

int64_t accept_message(Store *s, const char *id, const char *conversation) {
        InboundMessage m = message(id, conversation);
        int64_t seq = 0;

        assert_int_equal(store_accept(s, &m, NULL, false, &seq), 1);
        assert_true(seq > 0);
        return seq;
}

void assert_value(Store *s, const char *key, const char *expected) {
        _cleanup_free_ char *value = NULL;

        assert_int_equal(store_get(s, key, &value), expected ? 1 : 0);
        if (expected)
                assert_string_equal(value, expected);
        else
                assert_null(value);
}

void put_run(Store *s, const char *conversation, unsigned run) {
        RunRow row = {
                .conversation = (char *) conversation,
                .run = run,
                .run_id = "0123456789abcdef",
                .state = RUN_LIVE,
                .spec = (char *) "{}",
                .out_bytes = UINT64_MAX,
        };

        assert_int_equal(store_put_run(s, &row), 0);
}

ConversationRow conversation(const char *id) {
        return (ConversationRow){
                .id = (char *) id,
                .workspace = (char *) "w",
                .agent = (char *) "shell",
                .origin = (char *) "orchestrator",
                .params = (char *) "{}",
                .state = CONVERSATION_LIVE,
                .run = 1,
                .created_usec = 5,
        };
}
