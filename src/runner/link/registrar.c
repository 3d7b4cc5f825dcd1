/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/registrar.h"
#include "runner/link/rpc.h"
#include "runner/link/sse.h"

#define PROTOCOL 1
#define HEARTBEAT_MIN (1 * USEC_PER_SEC)
#define HEARTBEAT_MAX (3600 * USEC_PER_SEC)

struct Registrar {
        Endpoint *endpoint;
        LinkRecord *record;
        RegistrarConfig config;
        const RegistrarOps *ops;
        void *userdata;
        Registration registration;
        long status; /* of the last attempt that failed */
        LinkState state;
        HttpRequest *request;
        uint64_t request_id;
        sd_event_source *timer;
};

static int parse_result(Json *result, Registered *ret, const char **ret_why) {
        Registered g = {};
        _cleanup_strv_free_ char **capabilities = NULL;
        uint64_t msec = 0;

        g.runner_id = json_get_string(result, "runnerId");
        g.runner_uid = json_get_string(result, "runnerUid");
        if (!token_text_is_valid(g.runner_id) || !token_text_is_valid(g.runner_uid)) {
                *ret_why = "its response has no valid runnerId and runnerUid";
                return -EBADMSG;
        }
        if (json_get_bool(result, "isActiveRunner", &g.is_active) <= 0) {
                *ret_why =
                        "its response has no isActiveRunner, which says whether this is the active runner";
                return -EBADMSG;
        }
        g.cursor = json_get_string(result, "cursor");
        g.last_processed_at = json_get_string(result, "lastProcessedAt");
        if ((g.cursor && strlen(g.cursor) > SSE_ID_MAX) ||
            (g.last_processed_at && !token_text_is_valid(g.last_processed_at))) {
                *ret_why = "its response has an invalid cursor or lastProcessedAt";
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

/* With the command that moves the store away, for the administrator to copy. */
static char *stale_text(Registrar *r, const char *said) {
        const char *d = strempty(r->config.data_dir);

        return xasprintf(
                "The orchestrator knows this runner's store from elsewhere (%s): it was restored from a backup or "
                "copied to another machine. Stop the other one and start this one again; or, to have this one "
                "register as a new runner, move its store away with `mkdir -p %s/old && mv %s/store.db* %s/old/` and "
                "start it again.",
                said,
                d,
                d,
                d);
}

void registrar_fail(Registrar *r, const RegistrationFailure *f, const char *text) {
        bool stale = f->rpc_code == RPC_STALE_STORE, status_changed;
        RegistrationVerdict v;

        v = registration_failed(
                &r->registration, f, r->ops->has_work(r->userdata), now_usec(CLOCK_MONOTONIC));
        if (v.give_up) {
                _cleanup_free_ char *all = stale ?
                        stale_text(r, strempty(text)) :
                        xasprintf(
                                "Registration with the orchestrator %s failed: %s",
                                r->config.url,
                                strempty(text));

                r->ops->give_up(r->userdata, v.exit_code, strempty(all));
                return;
        }
        if (text)
                log_warning(
                        "Registration with the orchestrator %s failed: %s; next attempt in %.1f s.",
                        r->config.url,
                        text,
                        (double) v.delay_usec / USEC_PER_SEC);
        oneshot_arm(r->timer, v.delay_usec);
        r->state = v.state;
        status_changed = r->status != f->status;
        r->status = f->status;
        r->ops->failed(r->userdata, status_changed);
}

static void on_registered(HttpRequest *request, const HttpResult *result, void *userdata) {
        Registrar *r = userdata;
        RegistrationFailure f = {
                .error = result->error,
                .status = result->status,
                .retry_after_usec = result->retry_after_usec,
        };
        _cleanup_(rpc_answer_done) RpcAnswer a = {};
        _cleanup_free_ char *text = NULL;
        const char *why = NULL;
        Registered g = {};
        int k;

        r->request = http_request_free(r->request);
        if (result->error < 0) {
                registrar_fail(r, &f, result->error_text);
                return;
        }
        k = rpc_answer_parse(result->body, result->body_size, r->request_id, &a);
        if (k == 0 && (result->status / 100 == 2 || a.code == RPC_STALE_STORE)) {
                f.rpc_code = a.code;
                registrar_fail(r, &f, a.message);
                return;
        }
        if (result->status / 100 != 2) {
                text = xasprintf(
                        "HTTP %ld%s%s", result->status, k == 0 ? ": " : "", k == 0 ? a.message : "");
                registrar_fail(r, &f, strempty(text));
                return;
        }
        k = k < 0 ? k : parse_result(a.result, &g, &why);
        if (k < 0) {
                f.error = k;
                registrar_fail(
                        r, &f, why ? why : "its response is not a JSON-RPC response to runner.register");
                return;
        }
        k = r->ops->take(r->userdata, &g);
        if (k < 0) {
                f.error = k;
                registrar_fail(r, &f, strerror(-k));
                return;
        }
        registration_succeeded(&r->registration);
        log_full(
                LOG_NOTICE,
                0,
                NF_MESSAGE_REGISTERED,
                "Registered with %s as runner %s (%s).",
                r->config.url,
                g.runner_uid,
                g.is_active ? "active" : "standby");
        r->ops->done(r->userdata);
}

static int add_params(Registrar *r, Json *params) {
        int k;

        k = json_set_u64(params, "protocol", PROTOCOL);
        if (k >= 0)
                k = json_set_string(params, "version", r->config.version);
        if (k >= 0)
                k = link_record_describe(r->record, params);
        return k < 0 ? k : r->ops->describe(r->userdata, params);
}

void registrar_begin(Registrar *r) {
        registration_begin(&r->registration, now_usec(CLOCK_MONOTONIC));
}

void registrar_try(Registrar *r) {
        _cleanup_json_ Json *params = json_object_new_object();
        int k;

        oneshot_disarm(r->timer);
        r->request = http_request_free(r->request);
        k = params ? add_params(r, params) : -ENOMEM;
        if (k >= 0)
                k = endpoint_post(
                        r->endpoint,
                        "runner.register",
                        params,
                        &r->request_id,
                        on_registered,
                        r,
                        &r->request);
        if (k < 0)
                registrar_fail(r, &(RegistrationFailure){ .error = k }, strerror(-k));
}

void registrar_try_again(Registrar *r, LinkState state) {
        r->state = state;
        registrar_try(r);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        registrar_try(userdata);
        return 0;
}

LinkState registrar_get_state(Registrar *r) {
        return r->state;
}

long registrar_get_status(Registrar *r) {
        return r->status;
}

int registrar_new(
        sd_event *event,
        Endpoint *endpoint,
        LinkRecord *record,
        const RegistrarConfig *config,
        const RegistrarOps *ops,
        void *userdata,
        Registrar **ret) {
        _cleanup_(registrar_freep) Registrar *r = new0(Registrar, 1);
        int k;

        if (!r)
                return -ENOMEM;
        *r = (Registrar){
                .endpoint = endpoint,
                .record = record,
                .config = *config,
                .ops = ops,
                .userdata = userdata,
                .registration = {
                        .strategy = config->strategy,
                        .interval_usec = config->interval_usec,
                        .duration_usec = config->duration_usec,
                        .retry_min_usec = config->backoff.min_usec,
                        .retry_max_usec = config->backoff.max_usec,
                        .registered = link_record_is_registered(record),
                        .jitter = config->backoff.jitter,
                        .userdata = config->backoff.userdata,
                },
                .state = link_record_is_registered(record) ? LINK_OFFLINE : LINK_REGISTERING,
        };
        k = oneshot_new(event, "link-register", on_timer, r, &r->timer);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

Registrar *registrar_free(Registrar *r) {
        if (!r)
                return NULL;
        http_request_free(r->request);
        sd_event_source_disable_unref(r->timer);
        free(r);
        return NULL;
}
