/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/link/endpoint.h"
#include "runner/link/heartbeat.h"
#include "runner/link/held-claims.h"
#include "runner/link/inbound-stream.h"
#include "runner/link/inbox.h"
#include "runner/link/link-record.h"
#include "runner/link/link.h"
#include "runner/link/registrar.h"

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
        .sender = { .retry_min_usec = USEC_PER_SEC / 2,
                    .retry_max_usec = 60 * USEC_PER_SEC,
                    .timeout_usec = 30 * USEC_PER_SEC },
        .jitter = jitter_random,
};

struct Link {
        const LinkOps *ops;
        void *userdata;
        LinkState state;
        bool started;
        bool running; /* registered in this process, and not thrown out since */

        LinkRecord *record;
        Endpoint *endpoint;
        Sender *sender;
        Registrar *registrar;
        Inbox *inbox;
        InboundStream *stream;
        HeldClaims *held;
        Heartbeat *heartbeat;
};

/* ---- state ---- */

static LinkState work_out_state(Link *l) {
        SenderStats s;

        if (!l->running)
                return registrar_get_state(l->registrar);
        sender_get_stats(l->sender, &s);
        if (s.refused)
                return LINK_REFUSED;
        if (inbound_stream_is_failing(l->stream))
                return LINK_OFFLINE;
        return link_record_is_active(l->record) ? LINK_ACTIVE : LINK_STANDBY;
}

/* Determines the state again and notifies the owner of a change. */
static void update_state(void *userdata) {
        Link *l = userdata;
        LinkState s = work_out_state(l), before = l->state;

        if (s == before)
                return;
        l->state = s;
        if (s == LINK_OFFLINE)
                log_full(
                        LOG_WARNING,
                        0,
                        NF_MESSAGE_OFFLINE,
                        "Failed to reach the orchestrator; conversations continue, and their events are kept.");
        else if (s == LINK_REFUSED)
                log_full(
                        LOG_ERR,
                        0,
                        NF_MESSAGE_REFUSED,
                        "The orchestrator refuses this runner, trying again indefinitely.");
        else
                log_info(
                        "Link to the orchestrator: %s (was %s).",
                        link_state_to_string(s),
                        link_state_to_string(before));
        l->ops->state_changed(l->userdata, s);
}

LinkState link_get_state(Link *l) {
        return l->state;
}

bool link_is_connected(Link *l) {
        return inbound_stream_is_connected(l->stream);
}

Sender *link_get_sender(Link *l) {
        return l->sender;
}

const char *link_runner_id(Link *l) {
        return link_record_runner_id(l->record);
}

const char *link_runner_uid(Link *l) {
        return link_record_runner_uid(l->record);
}

long link_refused_status(Link *l) {
        SenderStats s;

        if (!l->running)
                return registrar_get_status(l->registrar);
        sender_get_stats(l->sender, &s);
        return s.refused_status;
}

void link_get_stats(Link *l, LinkStats *ret) {
        InboundStreamStats stream;
        InboxStats inbox;

        inbound_stream_get_stats(l->stream, &stream);
        inbox_get_stats(l->inbox, &inbox);
        *ret = (LinkStats){
                .reconnects = stream.reconnects,
                .duplicates = inbox.duplicates,
                .skipped = inbox.skipped,
                .bad_messages = inbox.bad_messages,
                .ignored = stream.ignored,
                .last_event_usec = inbox.last_event_usec,
                .waiting = inbox.waiting,
                .waiting_bytes = inbox.waiting_bytes,
        };
}

/* ---- coming up and going down ---- */

static void stop_all(Link *l) {
        l->running = false;
        inbound_stream_set_enabled(l->stream, false);
        inbox_clear(l->inbox);
        held_claims_stop(l->held);
        heartbeat_stop(l->heartbeat);
        sender_set_enabled(l->sender, false);
}

/* The link stands: after a registration. */
static void run(void *userdata) {
        Link *l = userdata;

        l->running = true;
        inbound_stream_set_enabled(l->stream, true);
        sender_set_enabled(l->sender, true);
        link_confirm(l);
        inbound_stream_open(l->stream);
        update_state(l);
        /* A registration has no admission, and the orchestrator may have forgotten what was reported before. */
        link_heartbeat(l);
}

/* 401, 403, 409, 410 to anything: stops all and registers again. */
static void lost_registration(void *userdata, long status) {
        RegistrationFailure f = { .status = status };
        Link *l = userdata;

        if (!l->running)
                return;
        stop_all(l);
        if (status == 401 || status == 403) {
                registrar_fail(l->registrar, &f, "the credentials are no longer accepted");
                return;
        }
        log_info(
                "The orchestrator no longer knows this runner's registration (HTTP %ld), registering again.",
                status);
        f.status = 503; /* no verdict about us: back off as for any outage */
        registrar_fail(l->registrar, &f, NULL);
}

void link_describe_again(Link *l) {
        if (!l->started)
                return;
        if (l->running)
                stop_all(l);
        registrar_try_again(l->registrar, l->state);
}

int link_set_token(Link *l, const char *token) {
        int r = endpoint_set_token(l->endpoint, token, link_record_runner_id(l->record));

        if (r < 0)
                return r;
        if (!l->started)
                return 0;
        if (l->running) {
                inbound_stream_close(l->stream);
                inbound_stream_open(l->stream);
        } else
                registrar_try(l->registrar);
        return 0;
}

void link_confirm(Link *l) {
        if (l->running && l->ops->list_held)
                held_claims_ask(l->held);
}

void link_heartbeat(Link *l) {
        if (l->running)
                heartbeat_send(l->heartbeat);
}

int link_start(Link *l) {
        int r;

        if (l->started)
                return 0;
        r = endpoint_set_runner_id(l->endpoint, link_record_runner_id(l->record));
        if (r < 0)
                return r;
        l->started = true;
        registrar_begin(l->registrar);
        registrar_try(l->registrar);
        return 0;
}

/* ---- what the parts report ---- */

static void on_trouble(SenderTrouble t, long status, void *userdata) {
        if (t == SENDER_STOPPED)
                lost_registration(userdata, status);
        else
                update_state(userdata);
}

static int describe(void *userdata, Json *params) {
        Link *l = userdata;

        return l->ops->describe(l->userdata, params);
}

static bool has_work(void *userdata) {
        Link *l = userdata;

        return l->ops->has_work(l->userdata);
}

static int take_registration(void *userdata, const Registered *g) {
        Link *l = userdata;
        int r;

        r = link_record_take(l->record, g);
        if (r < 0)
                return r;
        endpoint_set_can_claim(l->endpoint, g->can_claim);
        if (g->heartbeat_usec > 0)
                heartbeat_set_interval(l->heartbeat, g->heartbeat_usec);
        return endpoint_set_runner_id(l->endpoint, link_record_runner_id(l->record));
}

static void registration_has_failed(void *userdata, bool status_changed) {
        Link *l = userdata;

        /* The text about a refusal depends on it as well. */
        if (status_changed && l->state == registrar_get_state(l->registrar))
                l->ops->state_changed(l->userdata, l->state);
        update_state(l);
}

static void give_up(void *userdata, int exit_code, const char *text) {
        Link *l = userdata;

        l->ops->give_up(l->userdata, exit_code, text);
}

static const RegistrarOps registrar_ops = {
        .describe = describe,
        .has_work = has_work,
        .take = take_registration,
        .done = run,
        .failed = registration_has_failed,
        .give_up = give_up,
};

static int knows(void *userdata, const char *conversation) {
        Link *l = userdata;

        return l->ops->knows(l->userdata, conversation);
}

static int process(void *userdata, const Envelope *e) {
        Link *l = userdata;

        return l->ops->process(l->userdata, e);
}

static void responded(void *userdata) {
        Link *l = userdata;

        if (l->ops->responded)
                l->ops->responded(l->userdata);
}

static void inbox_has_advanced(void *userdata) {
        Link *l = userdata;

        inbound_stream_advanced(l->stream);
}

static void inbox_is_emptied(void *userdata) {
        Link *l = userdata;

        inbound_stream_emptied(l->stream);
}

static void inbox_has_failed(void *userdata, int error) {
        Link *l = userdata;

        inbound_stream_drop(l->stream, error);
}

static const InboxOps inbox_ops = {
        .knows = knows,
        .process = process,
        .responded = responded,
        .advanced = inbox_has_advanced,
        .active_changed = update_state,
        .emptied = inbox_is_emptied,
        .failed = inbox_has_failed,
};

static void stream_has_reached(void *userdata) {
        Link *l = userdata;

        sender_retry_now(l->sender);
}

static const InboundStreamOps stream_ops = {
        .reached = stream_has_reached,
        .changed = update_state,
};

static int list_held(void *userdata, Json *ids) {
        Link *l = userdata;

        return l->ops->list_held(l->userdata, ids);
}

static void held_decided(void *userdata, const char *id, bool granted, const char *owner) {
        Link *l = userdata;

        l->ops->held_decided(l->userdata, id, granted, owner);
}

static const HeldClaimsOps held_ops = {
        .list = list_held,
        .decided = held_decided,
};

static int describe_heartbeat(void *userdata, Json *params) {
        Link *l = userdata;
        int r;

        r = link_record_flush(l->record);
        if (r < 0)
                log_debug_errno(r, "Failed to store the cursor, ignoring: %m");
        r = json_set_string(params, "cursor", link_record_cursor(l->record));
        if (r >= 0)
                r = json_set_string(params, "lastProcessedAt", link_record_last_processed_at(l->record));
        return r < 0 ? r : l->ops->heartbeat(l->userdata, params);
}

/* ---- made and freed ---- */

static int make_endpoint(Link *l, sd_event *event, const LinkConfig *config, const LinkTiming *timing) {
        EndpointConfig c = {
                .url = config->url,
                .messages_path = config->messages_path,
                .events_path = config->events_path,
                .token = config->token,
                .ca_file = config->ca_file,
                .timeout_usec = timing->request,
                .refused = lost_registration,
                .userdata = l,
        };
        int r;

        r = endpoint_new(event, &c, &l->endpoint);
        if (r < 0)
                return r;
        r = sender_new(event, endpoint_get_http(l->endpoint), &timing->sender, on_trouble, l, &l->sender);
        if (r < 0)
                return r;
        endpoint_set_sender(l->endpoint, l->sender);
        return 0;
}

static int make_registrar(Link *l, sd_event *event, const LinkConfig *config, const Backoff *backoff) {
        RegistrarConfig c = {
                .url = config->url,
                .version = config->version,
                .data_dir = config->data_dir,
                .strategy = config->retry_strategy,
                .interval_usec = config->retry_interval_usec,
                .duration_usec = config->retry_duration_usec,
                .backoff = *backoff,
        };

        return registrar_new(event, l->endpoint, l->record, &c, &registrar_ops, l, &l->registrar);
}

static int make_stream(
        Link *l,
        sd_event *event,
        const LinkConfig *config,
        const LinkTiming *timing,
        const Backoff *backoff) {
        InboundStreamConfig c = {
                .max_message_bytes = config->max_message_bytes,
                .silence_usec = timing->silence,
                .reopen_usec = timing->reopen,
                .held_usec = timing->held,
                .poll_usec = timing->poll,
                .stream_again_usec = timing->stream_again,
                .backoff = *backoff,
        };

        return inbound_stream_new(event, l->endpoint, l->record, l->inbox, &c, &stream_ops, l, &l->stream);
}

int link_new_with_timing(
        sd_event *event,
        Store *store,
        const LinkConfig *config,
        const LinkTiming *timing,
        const LinkOps *ops,
        void *userdata,
        Link **ret) {
        const Backoff backoff = {
                timing->retry_min, timing->retry_max, timing->jitter, timing->jitter_userdata
        };
        _cleanup_(link_freep) Link *l = new0(Link, 1);
        int r;

        if (!l)
                return -ENOMEM;
        l->ops = ops;
        l->userdata = userdata;
        r = link_record_new(event, store, timing->flush, &l->record);
        if (r < 0)
                return r;
        r = make_endpoint(l, event, config, timing);
        if (r < 0)
                return r;
        r = make_registrar(l, event, config, &backoff);
        if (r < 0)
                return r;
        r = inbox_new(event, store, l->endpoint, l->record, &backoff, &inbox_ops, l, &l->inbox);
        if (r < 0)
                return r;
        r = make_stream(l, event, config, timing, &backoff);
        if (r < 0)
                return r;
        r = held_claims_new(event, l->endpoint, &backoff, &held_ops, l, &l->held);
        if (r < 0)
                return r;
        r = heartbeat_new(event, l->endpoint, config->heartbeat_usec, describe_heartbeat, l, &l->heartbeat);
        if (r < 0)
                return r;
        l->state = registrar_get_state(l->registrar);
        *ret = TAKE_PTR(l);
        return 0;
}

int link_new(
        sd_event *event,
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
        if (l->record)
                (void) link_record_flush(l->record);
        l->running = false;
        /* First, since its sources are notified, and their owners may ask the link for its state. */
        sender_free(l->sender);
        registrar_free(l->registrar);
        inbound_stream_free(l->stream);
        inbox_free(l->inbox);
        held_claims_free(l->held);
        heartbeat_free(l->heartbeat);
        endpoint_free(l->endpoint);
        link_record_free(l->record);
        free(l);
        return NULL;
}
