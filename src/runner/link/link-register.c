/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/link/link-internal.h"

#define PROTOCOL 1
#define HEARTBEAT_MIN (1 * USEC_PER_SEC)
#define HEARTBEAT_MAX (3600 * USEC_PER_SEC)

/* What the answer to runner.register says, borrowed from it. */
typedef struct Registered {
        const char *runner_id, *runner_uid, *cursor, *last_processed_at;
        bool is_active, can_claim;
        uint64_t heartbeat_usec;
        uint64_t max_body_bytes; /* 0: not said */
} Registered;

static int parse_result(Json *result, Registered *ret, const char **ret_why) {
        Registered g = {};
        _cleanup_strv_free_ char **capabilities = NULL;
        uint64_t msec = 0;

        g.runner_id = json_get_string(result, "runnerId");
        g.runner_uid = json_get_string(result, "runnerUid");
        if (!token_text_is_valid(g.runner_id) || !token_text_is_valid(g.runner_uid)) {
                *ret_why = "its answer has no usable runnerId and runnerUid";
                return -EBADMSG;
        }
        if (json_get_bool(result, "isActiveRunner", &g.is_active) <= 0) {
                *ret_why = "its answer does not say whether this is the active runner (isActiveRunner)";
                return -EBADMSG;
        }
        g.cursor = json_get_string(result, "cursor");
        g.last_processed_at = json_get_string(result, "lastProcessedAt");
        if ((g.cursor && strlen(g.cursor) > SSE_ID_MAX) ||
            (g.last_processed_at && !token_text_is_valid(g.last_processed_at))) {
                *ret_why = "its answer has a cursor or a lastProcessedAt that cannot be one";
                return -EBADMSG;
        }
        if (json_get_u64(result, "heartbeatIntervalMs", &msec) > 0 && msec > 0)
                g.heartbeat_usec = MIN(
                                MAX(MIN(msec, HEARTBEAT_MAX) * USEC_PER_MSEC, HEARTBEAT_MIN), HEARTBEAT_MAX);
        (void) json_get_u64(result, "maxBodyBytes", &g.max_body_bytes);
        if (json_get_strv(result, "capabilities", &capabilities) == -ENOMEM)
                return -ENOMEM;
        g.can_claim = strv_contains(capabilities, "claim");
        *ret = g;
        return 0;
}

/* The answer becomes what we are: stored first, known second. */
static int take(Link *l, const Registered *g) {
        /* A floor is taken once: with a cursor of our own we know better. */
        bool floor = isempty(l->cursor) && !isempty(g->cursor);
        bool stamp = !l->last_processed_at && g->last_processed_at;
        const char *active = g->is_active ? g->runner_uid :
                        streq_ptr(l->active_uid, l->runner_uid) || streq_ptr(l->active_uid, g->runner_uid) ?
                                            NULL :
                                            l->active_uid;
        _cleanup_free_ char *active_copy = NULL, *max_body = NULL;
        int r;

        if (g->max_body_bytes > 0) {
                max_body = xasprintf("%llu", (unsigned long long) g->max_body_bytes);
                if (!max_body)
                        return -ENOMEM;
        }
        if (active) {
                active_copy = strdup(active);
                if (!active_copy)
                        return -ENOMEM;
        }
        r = store_begin(l->store);
        if (r < 0)
                return r;
        (void) store_set(l->store, "runnerId", g->runner_id);
        (void) store_set(l->store, "runnerUid", g->runner_uid);
        (void) store_set(l->store, "activeUid", active_copy);
        (void) store_set(l->store, "registered", "1");
        (void) store_set(l->store, STORE_MAX_BODY_BYTES, max_body);
        if (floor)
                (void) store_set(l->store, "cursor", g->cursor);
        if (stamp)
                (void) store_set(l->store, "lastProcessedAt", g->last_processed_at);
        r = store_commit(l->store);
        if (r < 0)
                return r;
        r = free_and_strdup(&l->runner_id, g->runner_id);
        if (r >= 0)
                r = free_and_strdup(&l->runner_uid, g->runner_uid);
        if (r >= 0 && floor)
                r = free_and_strdup(&l->cursor, g->cursor);
        if (r >= 0 && stamp)
                r = free_and_strdup(&l->last_processed_at, g->last_processed_at);
        if (r < 0)
                return r;
        free(l->active_uid);
        l->active_uid = TAKE_PTR(active_copy);
        l->can_claim = g->can_claim;
        if (g->heartbeat_usec > 0)
                l->heartbeat_usec = g->heartbeat_usec;
        return link_build_headers(l);
}

/* With the command that puts the store aside, for somebody to copy. */
static char *stale_text(Link *l, const char *said) {
        const char *d = strempty(l->config.data_dir);

        return xasprintf(
                        "The orchestrator knows this runner's store from elsewhere (%s): it was restored from a backup or "
                        "copied to another machine. Stop the other one and start this one again; or, to have this one "
                        "register as a new runner, put its store aside with `mkdir -p %s/old && mv %s/store.db* %s/old/` and "
                        "start it again.",
                        said,
                        d,
                        d,
                        d);
}

void link_register_failed(Link *l, const RegistrationFailure *f, const char *text) {
        bool stale = f->rpc_code == RPC_STALE_STORE;
        RegistrationVerdict v;
        long was;

        v = registration_failed(
                        &l->registration, f, l->ops->has_work(l->userdata), now_usec(CLOCK_MONOTONIC));
        if (v.give_up) {
                _cleanup_free_ char *all = stale ?
                                stale_text(l, strempty(text)) :
                                xasprintf("Registration with the orchestrator %s failed: %s",
                                          l->config.url,
                                          strempty(text));

                l->ops->give_up(l->userdata, v.exit_code, strempty(all));
                return;
        }
        if (text)
                log_warning("Registration with the orchestrator %s failed: %s; next attempt in %.1f s.",
                            l->config.url,
                            text,
                            (double) v.delay_usec / USEC_PER_SEC);
        link_timer_arm(l->register_timer, v.delay_usec);
        l->registering_state = v.state;
        was = l->registration_status;
        l->registration_status = f->status;
        /* What a person is told of a refusal depends on it too. */
        if (was != f->status && l->state == l->registering_state)
                l->ops->state_changed(l->userdata, l->state);
        link_update_state(l);
}

static void on_registered(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;
        RegistrationFailure f = {
                .error = result->error,
                .status = result->status,
                .retry_after_usec = result->retry_after_usec,
        };
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        _cleanup_free_ char *text = NULL;
        const char *why = NULL;
        Registered g = {};
        int r;

        l->register_request = http_request_free(l->register_request);
        if (result->error < 0) {
                link_register_failed(l, &f, result->error_text);
                return;
        }
        r = rpc_answer_parse(result->body, result->body_size, l->register_id, &a);
        if (r == 0 && (result->status / 100 == 2 || a.code == RPC_STALE_STORE)) {
                f.rpc_code = a.code;
                link_register_failed(l, &f, a.message);
                return;
        }
        if (result->status / 100 != 2) {
                text = xasprintf(
                                "HTTP %ld%s%s", result->status, r == 0 ? ": " : "", r == 0 ? a.message : "");
                link_register_failed(l, &f, strempty(text));
                return;
        }
        r = r < 0 ? r : parse_result(a.result, &g, &why);
        if (r < 0) {
                f.error = r;
                link_register_failed(
                                l, &f, why ? why : "its answer is no JSON-RPC response to runner.register");
                return;
        }
        r = take(l, &g);
        if (r < 0) {
                f.error = r;
                link_register_failed(l, &f, strerror(-r));
                return;
        }
        registration_succeeded(&l->registration);
        log_full(LOG_NOTICE,
                 0,
                 NF_MESSAGE_REGISTERED,
                 "Registered with %s as runner %s (%s).",
                 l->config.url,
                 l->runner_uid,
                 g.is_active ? "active" : "standby");
        link_run(l);
}

static int add_params(Link *l, Json *params) {
        uint64_t generation = 0;
        int r;

        /* A new one for each attempt: an answer that was lost on its way must not make the next attempt look like a
         * copy of this machine. */
        r = store_next_generation(l->store, &generation);
        if (r < 0)
                return r;
        r = json_set_u64(params, "protocol", PROTOCOL);
        if (r >= 0)
                r = json_set_string(params, "version", l->config.version);
        if (r >= 0)
                r = json_set_string(params, "storeId", l->store_id);
        if (r >= 0)
                r = json_set_u64(params, "generation", generation);
        if (r >= 0)
                r = json_set_string(params, "previousRunnerUid", l->runner_uid);
        return r < 0 ? r : l->ops->describe(l->userdata, params);
}

void link_register_now(Link *l) {
        _cleanup_json_ Json *params = json_object_new_object();
        size_t size = 0;
        int r;

        link_timer_disarm(l->register_timer);
        l->register_request = http_request_free(l->register_request);
        r = params ? add_params(l, params) : -ENOMEM;
        if (r >= 0) {
                l->register_id = ++l->last_request_id;
                char *body = rpc_request(l->register_id, "runner.register", params, &size);
                r = link_post(l, body, size, on_registered, &l->register_request);
        }
        if (r < 0)
                link_register_failed(l, &(RegistrationFailure){ .error = r }, strerror(-r));
}

static int on_register_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        link_register_now(userdata);
        return 0;
}

int link_register_init(Link *l) {
        return link_timer_new(l, on_register_timer, "link-register", &l->register_timer);
}

void link_register_done(Link *l) {
        l->register_request = http_request_free(l->register_request);
        l->register_timer = sd_event_source_disable_unref(l->register_timer);
}
