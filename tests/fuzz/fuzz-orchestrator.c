/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "common/log.h"
#include "fuzz.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/events.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/runners.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"

/* Bodies that runners post, and what an administrator's client may ask for, one a line: they meet a hub with a runner,
 * a conversation and open messages. Nothing of it stays: each input is a transaction that is given up. A line begins
 * with a letter: p a body from the runner, r a registration, c a claim, s a conversation to start, m a message to it. */

static Database *database;
static Hub *hub;
static char *token, *uid;

static void must(int r, const RpcError *e) {
        if (r != 0)
                fuzz_fail(r, e->text);
}

static void prepare(void) {
        static const char registration[] = "{\"protocol\":1,\"storeId\":\"s\",\"generation\":1}",
                          start[] = "{\"agent\":\"shell\",\"prompt\":\"x\"}";
        _cleanup_json_ Json *params = NULL, *result = NULL, *started = NULL, *secret = NULL;
        _cleanup_free_ char *error = NULL;
        RpcError e = {};

        if (hub)
                return;
        log_set_max_level(LOG_EMERG);
        CHECK(fuzz_folder() >= 0);
        CHECK(database_open(fuzz_folder_path(), &database, &error) >= 0);
        CHECK(hub_new(database,
                      &(HubConfig){ .dead_after_usec = USEC_INFINITY / 2, .keep_usec = USEC_INFINITY / 2 },
                      &hub) >= 0);
        must(hub_token_create(hub, "t", &secret, &e), &e);
        CHECK(hub_token_check(hub, json_get_string(secret, "token"), &token) == 1);
        must(hub_register(hub, token, NULL, (Slice){ registration, strlen(registration) }, &result, &e), &e);
        CHECK((uid = strdup(json_get_string(result, "runnerUid"))));
        CHECK(json_parse_small(start, strlen(start), &params, NULL) >= 0);
        must(hub_conversation_start(hub, token, "c-1", params, &started, &e), &e);
}

static void check_refusal(int r, const RpcError *e) {
        CHECK(r <= 1);
        /* Its own doing, or the database's: nothing that a body says may be a failure. */
        CHECK(r >= 0);
        if (r == 1)
                CHECK(e->code < 0 && e->text[0] && utf8_is_valid(e->text, strlen(e->text)));
}

static void check_result(Json *o) {
        if (o)
                check_json(json_text(o), strlen(json_text(o)));
}

/* As the API does it. */
static int post(Slice body, RpcError *e) {
        size_t iter = 0;
        RunnerMessage m;
        Slice first;

        if (json_scan_type(body) == SCAN_ARRAY)
                return json_scan_element(body, &iter, &first) ? hub_receive(hub, token, uid, body, e) : 0;
        if (json_scan_type(body) != SCAN_OBJECT)
                return 0;
        int r = runner_message_parse(body, 0, &m, e);
        return r != 0 || m.kind == MESSAGE_REQUEST ? r : hub_receive(hub, token, uid, body, e);
}

static void play(const char *line, size_t size) {
        _cleanup_json_ Json *o = NULL, *result = NULL;
        _cleanup_free_ char *id = NULL;
        RpcError e = {};
        int r = 0;

        Slice body = { line + 1, size - 1 };
        if (size == 0 || !json_scan_valid(body.data, body.size))
                return;
        for (; strchr(" \t\r", body.data[0]); body.size--)
                body.data++;
        if (strchr("sm", line[0]) && json_parse_small(body.data, body.size, &o, NULL) < 0)
                return;
        switch (line[0]) {
        case 'p':
                r = post(body, &e);
                break;
        case 'r':
                r = hub_register(hub, token, NULL, body, &result, &e);
                break;
        case 'c':
                r = hub_claim(hub, token, uid, body, &result, &e);
                break;
        case 's':
                r = hub_conversation_start(hub, token, NULL, o, &result, &e);
                break;
        case 'm': {
                const char *method = json_get_string(o, "method");
                Json *params = json_get(o, "params");
                if (method && json_object_is_type(params, json_type_object))
                        r = hub_conversation_send(hub, "c-1", method, params, false, &id, &e);
                break;
        }
        default:
                break;
        }
        check_refusal(r, &e);
        check_result(result);
}

/* What there is for the runner, and for whoever follows the events. */
static void look(void) {
        const EventFilter all = {};
        int64_t seq = 0, n = 0;

        for (;;) {
                _cleanup_buffer_ Buffer b = {};

                if (hub_next_message(hub, uid, &seq, &b) <= 0)
                        break;
                check_json(b.data, b.size);
                CHECK(!memchr(b.data, '\n', b.size));
        }
        for (;;) {
                _cleanup_buffer_ Buffer b = {};

                if (hub_next_event(hub, &all, &n, &b) <= 0)
                        break;
                check_json(b.data, b.size);
                CHECK(memchr(b.data, '\n', b.size) == b.data + b.size - 1 && !memchr(b.data, '\r', b.size));
        }
        _cleanup_json_ Json *conversations = NULL, *conversation = NULL;
        _cleanup_buffer_ Buffer runners = {};
        _cleanup_free_ char *at = strdup("");
        CHECK(buffer_append_str(&runners, "[") >= 0 && hub_next_runners(hub, &at, &runners) == 1 &&
              buffer_append_str(&runners, "]") >= 0);
        check_json(runners.data, runners.size);
        CHECK(hub_conversation_list(hub, true, 100, &conversations) >= 0 &&
              hub_conversation_get(hub, "c-1", &conversation) == 1);
        check_result(conversations);
        check_result(conversation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FuzzInput in = input_of(data, size);
        const char *line;
        size_t n;

        prepare();
        _cleanup_(transaction_done) Transaction t = {};
        CHECK(transaction_begin(database, &t) >= 0);
        while (input_piece(&in, '\n', &line, &n))
                play(line, n);
        look();
        return 0;
}
