/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store.h"

/* What the tests of the store share: a store in a folder of its own, and rows to put into it. */

typedef struct Fixture {
        char path[64];
        int fd;
        Store *store;
} Fixture;

/* What a walk over rows has come by. */
typedef struct Seen {
        char text[512];
        int n, stop_at;
} Seen;

int store_test_set_up(void **state);
int store_test_tear_down(void **state);
#define CASE(f) cmocka_unit_test_setup_teardown(f, store_test_set_up, store_test_tear_down)
void open_store(Fixture *f);
void reopen_store(Fixture *f);
void expect_open_error(Fixture *f, int error, const char *words);
InboundMessage message(const char *id, const char *conversation);
int64_t accept_message(Store *s, const char *id, const char *conversation);
void assert_value(Store *s, const char *key, const char *expected);
void put_run(Store *s, const char *conversation, unsigned run);
ConversationRow conversation(const char *id);
