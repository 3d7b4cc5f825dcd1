/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "runner/runner-internal.h"
#include "runner/runner-status.h"

/* What the runner says of itself: properties, STATUS=, the heartbeat's statistics. All of it is read from its source at the
 * moment of the question. */

const char *runner_state_name(Runner *r) {
        if (!r->ctx->run.ready)
                return "starting";
        if (drain_is_on(r->drain))
                return "draining";
        return r->link ? link_state_to_string(link_get_state(r->link)) : "local";
}

int runner_queue_json(Runner *r, Json **ret) {
        Json *o = json_object_new_object();
        QueueStatistics q;

        if (!o)
                return -ENOMEM;
        queue_counter_get(r->queue, &q);
        (void) json_set_u64(o, "events", q.events);
        (void) json_set_u64(o, "conversations", q.conversations);
        (void) json_set_u64(o, "bytes", q.bytes);
        (void) json_set_u64(o, "oldestMs", q.oldest_usec / USEC_PER_MSEC);
        *ret = o;
        return 0;
}

int runner_delivery_json(Runner *r, Json **ret) {
        Json *o = json_object_new_object();
        char stamp[TIMESTAMP_MAX];
        RunnerStatus s;

        if (!o)
                return -ENOMEM;
        runner_get_status(r, &s);
        if (s.last_ack_usec > 0)
                (void) json_set_string(o, "lastAckAt", format_timestamp(s.last_ack_usec, stamp));
        (void) json_set_u64(o, "reconnects", s.reconnects);
        (void) json_set_u64(o, "duplicates", s.duplicates);
        (void) json_set_u64(o, "setAside", s.set_aside);
        *ret = o;
        return 0;
}

void runner_get_status(Runner *r, RunnerStatus *ret) {
        SenderStats sender = {};
        LinkStats link = {};
        QueueStatistics q;

        queue_counter_get(r->queue, &q);
        if (r->link) {
                sender_get_stats(link_get_sender(r->link), &sender);
                link_get_stats(r->link, &link);
        }
        *ret = (RunnerStatus){
                .version = PROJECT_VERSION,
                .runner_id = r->link ? strempty(link_runner_id(r->link)) : "",
                .runner_uid = r->link ? strempty(link_runner_uid(r->link)) : "",
                .state = runner_state_name(r),
                .orchestrator_url = strempty(r->config->orchestrator_url),
                .connected = r->link && link_is_connected(r->link),
                .active = r->link && link_get_state(r->link) == LINK_ACTIVE,
                .draining = drain_is_on(r->drain),
                .refusing = admission_to_string(admission_gate_get(r->gate)),
                .conversations = registry_count_live(r->conversations),
                .capacity = (uint32_t) MIN(r->config->max_conversations, (uint64_t) UINT32_MAX),
                .queued_events = q.events,
                .queued_bytes = q.bytes,
                .oldest_queued_usec = q.oldest_usec,
                .last_ack_usec = sender.last_ack_usec,
                .reconnects = link.reconnects,
                .duplicates = link.duplicates,
                .set_aside = q.set_aside,
                .started_usec = r->started_usec,
        };
}

static char *refused_text(Runner *r) {
        long status = r->link ? link_refused_status(r->link) : 0;
        char said[64];

        if (status == 401 || status == 403)
                (void) snprintf(said, sizeof(said), "HTTP %ld: is the token right?", status);
        else if (status != 0)
                (void) snprintf(
                        said, sizeof(said), "HTTP %ld for every request: is it an orchestrator?", status);
        else
                (void) snprintf(said, sizeof(said), "see the journal");
        return xasprintf(
                "Refused by %s (%s), retrying every 60 s; %u conversations continue",
                r->config->orchestrator_url,
                said,
                registry_count_live(r->conversations));
}

/* One line for a person at `systemctl status`: what is, and where it is bad, what happens next. */
static char *status_text(Runner *r) {
        const char *state = runner_state_name(r);
        unsigned long long most = (unsigned long long) r->config->max_conversations;
        QueueStatistics q;

        if (r->ctx->run.broken)
                return strdup(
                        "The store cannot be written: conversations wait until it can (see the journal)");
        if (disk_get_state(r->disk) == DISK_FULL)
                return xasprintf(
                        "Disk full: %u conversations wait for free space (see the journal)",
                        registry_count_live(r->conversations));
        if (disk_get_state(r->disk) == DISK_LOW)
                return xasprintf(
                        "%c%s, too little disk space for new conversations, %u of %llu conversations",
                        (char) (state[0] - 'a' + 'A'),
                        state + 1,
                        registry_count_live(r->conversations),
                        most);
        if (streq(state, "local"))
                return xasprintf(
                        "Local (no orchestrator configured), %u of %llu conversations",
                        registry_count_live(r->conversations),
                        most);
        if (streq(state, "registering"))
                return xasprintf("Waiting to be registered at %s", r->config->orchestrator_url);
        queue_counter_get(r->queue, &q);
        if (streq(state, "offline"))
                return xasprintf(
                        "Offline: %s is not reachable, retrying; %u conversations continue, %llu events wait",
                        r->config->orchestrator_url,
                        registry_count_live(r->conversations),
                        (unsigned long long) q.events);
        if (streq(state, "refused"))
                return refused_text(r);
        if (streq(state, "draining"))
                return xasprintf(
                        "Draining, %u of %u conversations left",
                        registry_count_live(r->conversations),
                        drain_get_total(r->drain));
        return xasprintf(
                "%s, %s, %u of %llu conversations",
                streq(state, "standby") ? "Standby" : "Active",
                r->link && link_is_connected(r->link) ? "connected" : "connecting",
                registry_count_live(r->conversations),
                most);
}

/* Drain, disk and capacity are in the line already. */
static char *status_with_admission(Runner *r) {
        _cleanup_free_ char *text = status_text(r), *why = NULL;

        switch (admission_gate_get(r->gate)) {
        case ADMISSION_MEMORY:
        case ADMISSION_MEMORY_PRESSURE:
        case ADMISSION_CPU_PRESSURE:
        case ADMISSION_UNACKNOWLEDGED:
                break;
        default:
                return TAKE_PTR(text);
        }
        if (!text)
                return NULL;
        why = admission_gate_text(r->gate);
        return xasprintf("%s; no new conversations: %s", text, strempty(why));
}

void runner_update_status(void *userdata) {
        _cleanup_free_ char *text = NULL;
        Runner *r = userdata;

        admission_gate_check(r->gate);
        text = status_with_admission(r);
        announcer_set_status(r->announcer, text);
}

const RunnerTotals *runner_get_totals(Runner *r, size_t i) {
        if (i == 0)
                for (Conversation *c = registry_next(r->conversations, NULL); c;
                     c = registry_next(r->conversations, c))
                        if (conversation_is_live(c))
                                totals_count(r->totals, c);
        return totals_get(r->totals, i);
}
