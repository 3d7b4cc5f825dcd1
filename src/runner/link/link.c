/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/link/link-internal.h"

const LinkTiming link_timing_default = {
        .silence = 75 * USEC_PER_SEC,
        .reopen = 250 * USEC_PER_MSEC,
        .retry_min = 1 * USEC_PER_SEC,
        .retry_max = 60 * USEC_PER_SEC,
        .held = 10 * USEC_PER_SEC,
        .poll = 5 * USEC_PER_SEC,
        .stream_again = 300 * USEC_PER_SEC,
        .request = 30 * USEC_PER_SEC,
        .flush = 1 * USEC_PER_SEC,
        .sender = {.retry_min_usec = USEC_PER_SEC / 2,
                   .retry_max_usec = 60 * USEC_PER_SEC,
                   .timeout_usec = 30 * USEC_PER_SEC},
        .jitter = jitter_random,
};

static const char *const state_names[_LINK_STATE_MAX] = {
        [LINK_REGISTERING] = "registering", [LINK_OFFLINE] = "offline", [LINK_ACTIVE] = "active",
        [LINK_STANDBY] = "standby",         [LINK_REFUSED] = "refused",
};

const char *link_state_to_string(LinkState s) {
        return (unsigned) s < _LINK_STATE_MAX ? state_names[s] : NULL;
}

/* ---- state ---- */

bool link_is_active(Link *l) {
        return l->runner_uid && streq_ptr(l->runner_uid, l->active_uid);
}

static LinkState work_out_state(Link *l) {
        SenderStats s;

        if (!l->running)
                return l->registering_state;
        sender_get_stats(l->sender, &s);
        if (s.refused)
                return LINK_REFUSED;
        if (l->failures > 0 && !l->connected)
                return LINK_OFFLINE;
        return link_is_active(l) ? LINK_ACTIVE : LINK_STANDBY;
}

void link_update_state(Link *l) {
        LinkState s = work_out_state(l), before = l->state;

        if (s == before)
                return;
        l->state = s;
        if (s == LINK_OFFLINE)
                log_full(LOG_WARNING,
                         0,
                         NF_MESSAGE_OFFLINE,
                         "The orchestrator cannot be reached; conversations go on, and what they say is kept.");
        else if (s == LINK_REFUSED)
                log_full(LOG_ERR,
                         0,
                         NF_MESSAGE_REFUSED,
                         "The orchestrator refuses this runner, trying again for ever.");
        else
                log_info("Link to the orchestrator: %s (was %s).",
                         link_state_to_string(s),
                         link_state_to_string(before));
        l->ops->state_changed(l->userdata, s);
}

LinkState link_get_state(Link *l) {
        return l->state;
}

bool link_is_connected(Link *l) {
        return l->connected;
}

Sender *link_get_sender(Link *l) {
        return l->sender;
}

const char *link_runner_id(Link *l) {
        return l->runner_id;
}

const char *link_runner_uid(Link *l) {
        return l->runner_uid;
}

void link_get_stats(Link *l, LinkStats *ret) {
        *ret = l->stats;
}

/* ---- what the parts share ---- */

uint64_t link_backoff(Link *l, unsigned failures, uint64_t retry_after) {
        return backoff_delay(
                        failures,
                        l->timing.retry_min,
                        l->timing.retry_max,
                        retry_after,
                        l->timing.jitter,
                        l->timing.jitter_userdata);
}

int link_timer_new(Link *l, sd_event_time_handler_t callback, const char *name, sd_event_source **ret) {
        int r;

        r = sd_event_add_time(l->event, ret, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC, callback, l);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(*ret, name);
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

void link_timer_arm(sd_event_source *timer, uint64_t delay_usec) {
        (void) sd_event_source_set_time_relative(timer, delay_usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void link_timer_disarm(sd_event_source *timer) {
        (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

int link_build_headers(Link *l) {
        _cleanup_strv_free_ char **common = NULL, **post = NULL, **get = NULL;

        if (strv_consume(&common, xasprintf("Authorization: Bearer %s", l->token)) < 0 ||
            (l->runner_id &&
             strv_consume(&common, xasprintf("X-Northflare-Runner-Id: %s", l->runner_id)) < 0))
                return -ENOMEM;
        post = strv_copy(common);
        get = strv_copy(common);
        if (!post || !get || strv_extend(&post, "Content-Type: application/json") < 0 ||
            strv_extend(&post, "Accept: application/json") < 0)
                return -ENOMEM;
        int r = sender_set_target(l->sender, l->messages_url, post);
        if (r < 0)
                return r;
        strv_free(l->post_headers);
        strv_free(l->get_headers);
        l->post_headers = TAKE_PTR(post);
        l->get_headers = TAKE_PTR(get);
        return 0;
}

int link_post(Link *l, char *body_consume, size_t size, HttpDone done, HttpRequest **ret) {
        if (!body_consume)
                return -ENOMEM;
        return http_request_start(
                        l->http,
                        &(HttpParams){
                                        .method = "POST",
                                        .url = l->messages_url,
                                        .headers = (const char *const *) l->post_headers,
                                        .body_consume = body_consume,
                                        .body_size = size,
                                        .max_body = LINK_ANSWER_MAX,
                                        .timeout_usec = l->timing.request,
                                        .done = done,
                                        .userdata = l,
                        },
                        ret);
}

/* ---- how far we are ---- */

int link_flush(Link *l) {
        int r;

        if (!l->cursor_dirty && !l->last_processed_dirty)
                return 0;
        r = store_begin(l->store);
        if (r < 0)
                return r;
        if (l->cursor_dirty)
                (void) store_set(l->store, "cursor", l->cursor);
        if (l->last_processed_dirty)
                (void) store_set(l->store, "lastProcessedAt", l->last_processed_at);
        r = store_commit(l->store);
        if (r < 0)
                return r;
        l->cursor_dirty = l->last_processed_dirty = false;
        return 0;
}

static int on_flush(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *l = userdata;
        int r = link_flush(l);

        /* Nothing is lost by that: what was skipped comes again and is skipped again. */
        if (r < 0)
                log_debug_errno(r, "The cursor cannot be stored, ignoring: %m");
        return 0;
}

int link_advance(Link *l, const char *cursor, const char *created_at, bool stored) {
        int r;

        if (created_at && !streq_ptr(created_at, l->last_processed_at)) {
                r = free_and_strdup(&l->last_processed_at, created_at);
                if (r < 0)
                        return r;
                l->last_processed_dirty = true; /* stored with the next heartbeat */
        }
        if (isempty(cursor) || streq_ptr(cursor, l->cursor))
                return 0;
        r = free_and_strdup(&l->cursor, cursor);
        if (r < 0)
                return r;
        if (stored) {
                l->cursor_dirty = false;
                l->drops = 0;
        }
        if (!stored && !l->cursor_dirty) {
                l->cursor_dirty = true;
                link_timer_arm(l->flush_timer, l->timing.flush);
        }
        return 0;
}

/* ---- coming up and going down ---- */

static void stop_all(Link *l) {
        l->running = false;
        link_stream_close(l);
        link_claim_stop(l);
        link_confirm_stop(l);
        link_inbound_clear(l);
        link_heartbeat_stop(l);
        sender_set_enabled(l->sender, false);
}

void link_run(Link *l) {
        l->running = true;
        l->failures = l->unheld = l->drops = 0;
        l->no_stream = false;
        sender_set_enabled(l->sender, true);
        link_confirm(l);
        link_stream_open(l);
        link_update_state(l);
        /* A registration says nothing of admission, and what the orchestrator was told before may be forgotten with it. */
        link_heartbeat(l);
}

void link_lost_registration(Link *l, long status) {
        RegistrationFailure f = { .status = status };

        if (!l->running)
                return;
        stop_all(l);
        if (status == 401 || status == 403) {
                link_register_failed(l, &f, "the credentials are not accepted any more");
                return;
        }
        log_info("The orchestrator does not know this runner's registration any more (HTTP %ld), registering again.",
                 status);
        f.status = 503; /* no verdict about us: back off as for any outage */
        link_register_failed(l, &f, NULL);
}

void link_describe_again(Link *l) {
        if (!l->started)
                return;
        if (l->running)
                stop_all(l);
        l->registering_state = l->state;
        link_register_now(l);
}

long link_refused_status(Link *l) {
        SenderStats s;

        if (!l->running)
                return l->registration_status;
        sender_get_stats(l->sender, &s);
        return s.refused_status;
}

static void on_trouble(SenderTrouble t, long status, void *userdata) {
        Link *l = userdata;

        if (t == SENDER_STOPPED)
                link_lost_registration(l, status);
        else
                link_update_state(l);
}

int link_set_token(Link *l, const char *token) {
        char *old = l->token, *copy;
        int r;

        for (const char *c = token; *c; c++)
                if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f)
                        return -EINVAL;
        copy = strdup(token);
        if (!copy)
                return -ENOMEM;
        l->token = copy;
        r = link_build_headers(l);
        if (r < 0) {
                l->token = old;
                explicit_bzero(copy, strlen(copy));
                free(copy);
                return r;
        }
        if (old) {
                explicit_bzero(old, strlen(old));
                free(old);
        }
        if (!l->started)
                return 0;
        if (l->running) {
                link_stream_close(l);
                link_stream_open(l);
        } else
                link_register_now(l);
        return 0;
}

static int load(Link *l) {
        static const struct {
                const char *key;
                size_t offset;
        } values[] = {
                {"runnerId",         offsetof(Link, runner_id)        },
                { "runnerUid",       offsetof(Link, runner_uid)       },
                { "activeUid",       offsetof(Link, active_uid)       },
                { "storeId",         offsetof(Link, store_id)         },
                { "cursor",          offsetof(Link, cursor)           },
                { "lastProcessedAt", offsetof(Link, last_processed_at)},
        };
        _cleanup_free_ char *registered = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                r = store_get(l->store, values[i].key, (char **) ((char *) l + values[i].offset));
                if (r < 0)
                        return r;
        }
        r = store_get(l->store, "registered", &registered);
        if (r < 0)
                return r;
        l->registration.registered = r > 0;
        return 0;
}

int link_start(Link *l) {
        int r;

        r = link_build_headers(l);
        if (r < 0)
                return r;
        l->started = true;
        registration_begin(&l->registration, now_usec(CLOCK_MONOTONIC));
        link_register_now(l);
        return 0;
}

int link_new_with_timing(
                sd_event *event,
                Store *store,
                const LinkConfig *config,
                const LinkTiming *timing,
                const LinkOps *ops,
                void *userdata,
                Link **ret) {

        _cleanup_(link_freep) Link *l = new0(Link, 1);
        int r;

        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->store = store;
        l->config = *config;
        l->timing = *timing;
        l->ops = ops;
        l->userdata = userdata;
        l->queue_tail = &l->queue;
        l->page_limit = LINK_PAGE;
        l->heartbeat_usec = config->heartbeat_usec;
        l->token = strdup(strempty(config->token));
        l->messages_url = xasprintf("%s%s", config->url, config->messages_path);
        if (!l->token || !l->messages_url)
                return -ENOMEM;
        l->registration = (Registration){
                .strategy = config->retry_strategy,
                .interval_usec = config->retry_interval_usec,
                .duration_usec = config->retry_duration_usec,
                .retry_min_usec = timing->retry_min,
                .retry_max_usec = timing->retry_max,
                .jitter = timing->jitter,
                .userdata = timing->jitter_userdata,
        };
        r = load(l);
        if (r < 0)
                return r;
        l->state = l->registering_state = l->registration.registered ? LINK_OFFLINE : LINK_REGISTERING;
        r = http_client_new(event, config->ca_file, &l->http);
        if (r < 0)
                return r;
        r = sender_new(event, l->http, &l->timing.sender, on_trouble, l, &l->sender);
        if (r < 0)
                return r;
        r = link_timer_new(l, on_flush, "link-flush", &l->flush_timer);
        if (r < 0)
                return r;
        r = link_register_init(l);
        if (r < 0)
                return r;
        r = link_stream_init(l);
        if (r < 0)
                return r;
        r = link_claim_init(l);
        if (r < 0)
                return r;
        r = link_heartbeat_init(l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

int link_new(sd_event *event,
             Store *store,
             const LinkConfig *config,
             const LinkOps *ops,
             void *userdata,
             Link **ret) {
        return link_new_with_timing(event, store, config, &link_timing_default, ops, userdata, ret);
}

Link *link_free(Link *l) {
        if (!l)
                return NULL;
        if (l->store)
                (void) link_flush(l);
        l->running = false;
        link_register_done(l);
        link_stream_done(l);
        link_claim_done(l);
        link_heartbeat_done(l);
        link_inbound_clear(l);
        sd_event_source_disable_unref(l->flush_timer);
        sender_free(l->sender);
        http_client_free(l->http);
        if (l->token)
                explicit_bzero(l->token, strlen(l->token));
        free(l->token);
        free(l->messages_url);
        strv_free(l->post_headers);
        strv_free(l->get_headers);
        free(l->runner_id);
        free(l->runner_uid);
        free(l->active_uid);
        free(l->store_id);
        free(l->cursor);
        free(l->last_processed_at);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}
