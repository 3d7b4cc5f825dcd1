/* SPDX-License-Identifier: MIT */
#include "ctl/metrics/metrics.h"
#include "ctl/metrics/openmetrics.h"

#define PREFIX "northflare_runner"

#define LABELS(...) ((const MetricLabel[]){ __VA_ARGS__, {} })

/* True is 1; what is not there is 0. */
static uint64_t number(Json *o, const char *name) {
        bool b = false;

        return json_get_bool(o, name, &b) > 0 ? b : json_u64(o, name);
}

static const char *string(Json *o, const char *name) {
        return strempty(json_get_string(o, name));
}

typedef struct Metric {
        const char *name, *unit;
        MetricType type;
        const char *member; /* where its value is */
        /* Of one with several samples: one for each part of its value or, without member, for each kind of tokens. */
        const char *label;
        const char *help;
} Metric;

/* "seconds" are microseconds there, and only "usd" is a number with a fraction. */
static void write_sample(const MetricFamily *f, const Metric *m, const MetricLabel *labels, Json *o) {
        if (streq_ptr(m->unit, "seconds"))
                metric_usec(f, labels, number(o, m->member));
        else if (streq_ptr(m->unit, "usd"))
                metric_double(f, labels, json_real(o, m->member));
        else
                metric_u64(f, labels, number(o, m->member));
}

static MetricFamily write_family(Buffer *out, const Metric *m) {
        return metric_family(out, m->name, m->type, m->unit, m->help);
}

/* ---- the runner itself ---- */

static void write_identity(Json *runner, Buffer *out) {
        static const char *const states[] = {
                "starting", "offline", "registering", "active", "standby", "draining", "refused", "local",
        };
        MetricFamily f;

        f = metric_family(out, PREFIX, METRIC_INFO, NULL, "Version and name of this runner.");
        metric_u64(
                &f,
                LABELS({ "version", string(runner, "Version") },
                       { "runner_id", string(runner, "RunnerId") },
                       { "runner_uid", string(runner, "RunnerUid") }),
                1);
        f = metric_family(out, PREFIX "_state", METRIC_STATESET, NULL, "Current state of the runner.");
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                metric_u64(
                        &f,
                        LABELS({ PREFIX "_state", states[i] }),
                        streq(states[i], string(runner, "State")));
}

/* clang-format off */
static const Metric runner_metrics[] = {
        { PREFIX "_start_time_seconds", "seconds", METRIC_GAUGE, "StartedUSec",
          .help = "Start time of the runner; all counters without a conversation begin then." },
        { PREFIX "_connected", NULL, METRIC_GAUGE, "Connected",
          .help = "Whether the event stream from the orchestrator is connected." },
        { PREFIX "_active", NULL, METRIC_GAUGE, "Active", .help = "Whether this runner receives new work." },
        { PREFIX "_draining", NULL, METRIC_GAUGE, "Draining",
          .help = "Whether new conversations are refused until all have ended." },
        { PREFIX "_conversations_max", NULL, METRIC_GAUGE, "Capacity", .help = "Maximum number of conversations." },
        { PREFIX "_queued_events", NULL, METRIC_GAUGE, "QueuedEvents",
          .help = "Events that the orchestrator has not acknowledged." },
        { PREFIX "_queued_bytes", "bytes", METRIC_GAUGE, "QueuedBytes", .help = "The size of these events." },
        { PREFIX "_queue_age_seconds", "seconds", METRIC_GAUGE, "OldestQueuedUSec",
          .help = "Age of the oldest of these events." },
        { PREFIX "_set_aside_events", NULL, METRIC_GAUGE, "SetAside",
          .help = "Events that the orchestrator refused permanently." },
        { PREFIX "_last_acknowledgement_time_seconds", "seconds", METRIC_GAUGE, "LastAckUSec",
          .help = "Time of the last acknowledgement of the orchestrator." },
        { PREFIX "_reconnects", NULL, METRIC_COUNTER, "Reconnects",
          .help = "Number of times that the event stream was reopened." },
        { PREFIX "_duplicate_messages", NULL, METRIC_COUNTER, "Duplicates",
          .help = "Messages that were received again and skipped." },
};
/* clang-format on */

static void write_runner(Json *r, Buffer *out) {
        write_identity(r, out);
        for (size_t i = 0; i < ELEMENTSOF(runner_metrics); i++) {
                const Metric *m = &runner_metrics[i];
                MetricFamily f;

                /* Nothing has been acknowledged yet. */
                if (streq(m->member, "LastAckUSec") && number(r, m->member) == 0)
                        continue;
                f = write_family(out, m);
                write_sample(&f, m, NULL, r);
        }
}

/* ---- the live ones by state ---- */

/* The sums that a conversation is counted in: its agent's own, or those of all that have none. */
static const char *row_of(Json *totals, const char *agent) {
        for (size_t i = 0; i < json_length(totals); i++)
                if (streq(string(json_object_array_get_idx(totals, i), "agent"), agent))
                        return agent;
        return "other";
}

static void write_live(Json *s, Buffer *out) {
        static const char *const states[] = {
                "starting", "idle", "running", "waiting-permission", "frozen", "stopping",
        };
        Json *totals = json_get(s, "totals"), *live = json_get(s, "conversations");
        MetricFamily f = metric_family(
                out, PREFIX "_conversations", METRIC_GAUGE, NULL, "Live conversations.");

        for (size_t a = 0; a < json_length(totals); a++) {
                const char *agent = string(json_object_array_get_idx(totals, a), "agent");

                for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                        uint64_t n = 0;

                        for (size_t c = 0; c < json_length(live); c++) {
                                Json *o = json_object_array_get_idx(live, c);
                                n += streq(string(o, "state"), states[i]) &&
                                        streq(row_of(totals, string(o, "agent")), agent);
                        }
                        metric_u64(&f, LABELS({ "agent", agent }, { "state", states[i] }), n);
                }
        }
}

/* ---- sums by agent, and conversations one by one while they live ---- */

static const struct {
        const char *member, *kind;
} tokens[] = {
        { "inputTokens", "input" },
        { "outputTokens", "output" },
        { "cacheReadTokens", "cache_read" },
        { "cacheWriteTokens", "cache_write" },
};

/* clang-format off */
static const Metric total_metrics[] = {
        { PREFIX "_conversations_started", NULL, METRIC_COUNTER, "started",
          .help = "Conversations that were started or resumed." },
        { PREFIX "_conversations_ended", NULL, METRIC_COUNTER, "ended", "reason", "Conversations that ended." },
        { PREFIX "_turns", NULL, METRIC_COUNTER, "turns", .help = "Turns that agents ended." },
        { PREFIX "_oversize_lines", NULL, METRIC_COUNTER, "oversizeLines",
          .help = "Lines and questions of agents that exceeded the maximum size." },
        { PREFIX "_ambiguous_lines", NULL, METRIC_COUNTER, "ambiguousLines",
          .help = "Lines of agents with a duplicate member." },
        { PREFIX "_tokens", NULL, METRIC_COUNTER, NULL, "kind", "Tokens used, as reported by agents." },
        { PREFIX "_cost_usd", "usd", METRIC_COUNTER, "costUsd", .help = "Cost, as reported by agents." },
        { PREFIX "_conversations_cpu_seconds", "seconds", METRIC_COUNTER, "cpuUsec",
          .help = "Processor time that conversations used." },
        { PREFIX "_limit_hits", NULL, METRIC_COUNTER, "limitHits", "limit",
          "Limit events of conversations: kills for memory, throttling, forks refused." },
};

static const Metric conversation_metrics[] = {
        { PREFIX "_conversation_start_time_seconds", "seconds", METRIC_GAUGE, "startedAt",
          .help = "Start time of the conversation." },
        { PREFIX "_conversation_last_event_time_seconds", "seconds", METRIC_GAUGE, "lastEventAt",
          .help = "Time of its last event." },
        { PREFIX "_conversation_cpu_seconds", "seconds", METRIC_COUNTER, "cpuUsec",
          .help = "Processor time that its processes used." },
        { PREFIX "_conversation_memory_bytes", "bytes", METRIC_GAUGE, "memoryCurrent", .help = "Memory in use." },
        { PREFIX "_conversation_memory_peak_bytes", "bytes", METRIC_GAUGE, "memoryPeak", .help = "Peak memory usage." },
        { PREFIX "_conversation_swap_bytes", "bytes", METRIC_GAUGE, "swapCurrent", .help = "Swap in use." },
        { PREFIX "_conversation_tasks", NULL, METRIC_GAUGE, "tasksCurrent", .help = "Processes and threads." },
        { PREFIX "_conversation_io_read_bytes", "bytes", METRIC_COUNTER, "ioReadBytes", .help = "Read from disks." },
        { PREFIX "_conversation_io_written_bytes", "bytes", METRIC_COUNTER, "ioWriteBytes", .help = "Written to disks." },
        { PREFIX "_conversation_turns", NULL, METRIC_COUNTER, "turns", .help = "Turns that its agent ended." },
        { PREFIX "_conversation_queued_messages", NULL, METRIC_GAUGE, "queuedMessages",
          .help = "Messages that wait for the agent." },
        { PREFIX "_conversation_queued_events", NULL, METRIC_GAUGE, "queuedEvents",
          .help = "Its events that the orchestrator has not acknowledged." },
        { PREFIX "_conversation_queued_bytes", "bytes", METRIC_GAUGE, "queuedBytes", .help = "The size of these events." },
        { PREFIX "_conversation_tokens", NULL, METRIC_COUNTER, NULL, "kind", "Tokens used, as reported by its agent." },
        { PREFIX "_conversation_cost_usd", "usd", METRIC_COUNTER, "costUsd", .help = "Cost, as reported by its agent." },
};
/* clang-format on */

/* What the kernel does not have is left out: it is not 0. So is a moment that has not come yet. */
static bool is_known(const Metric *m, Json *conversation) {
        uint64_t value;

        return streq_ptr(m->unit, "usd") ||
                (json_get_u64(conversation, m->member, &value) > 0 &&
                 (value > 0 || !endswith(m->name, "_time_seconds")));
}

/* Of the first n of a list of conversations, or of agents. */
static void write_metric(Buffer *out, const Metric *m, Json *list, size_t n, bool conversations) {
        MetricFamily f = write_family(out, m);

        for (size_t i = 0; i < n; i++) {
                Json *o = json_object_array_get_idx(list, i),
                     *parts = m->member ? json_get(o, m->member) : NULL;
                MetricLabel labels[] = {
                        { "conversation", string(o, "id") },
                        { "agent", string(o, "agent") },
                        { m->label, NULL },
                        {},
                };
                const MetricLabel *first = conversations ? labels : labels + 1;

                if (!m->label) {
                        if (!conversations || is_known(m, o))
                                write_sample(&f, m, first, o);
                } else if (!m->member) {
                        for (size_t k = 0; k < ELEMENTSOF(tokens); k++) {
                                labels[2].value = tokens[k].kind;
                                metric_u64(&f, first, number(o, tokens[k].member));
                        }
                } else if (json_object_is_type(parts, json_type_object)) {
                        json_object_object_foreach(parts, name, value) {
                                (void) value;
                                labels[2].value = name;
                                metric_u64(&f, first, number(parts, name));
                        }
                }
        }
}

static void write_totals(Json *totals, Buffer *out) {
        for (size_t i = 0; i < ELEMENTSOF(total_metrics); i++)
                write_metric(out, &total_metrics[i], totals, json_length(totals), false);
}

static void write_conversations(Json *live, Buffer *out) {
        size_t n = MIN(json_length(live), (size_t) METRICS_CONVERSATIONS_MAX);
        MetricFamily f;

        for (size_t i = 0; i < ELEMENTSOF(conversation_metrics); i++)
                write_metric(out, &conversation_metrics[i], live, n, true);
        f = metric_family(
                out,
                PREFIX "_conversations_left_out",
                METRIC_GAUGE,
                NULL,
                "Live conversations that have no series of their own here.");
        metric_u64(&f, NULL, json_length(live) - n);
}

int metrics_write(Json *snapshot, Buffer *out) {
        write_runner(json_get(snapshot, "runner"), out);
        write_live(snapshot, out);
        write_totals(json_get(snapshot, "totals"), out);
        write_conversations(json_get(snapshot, "conversations"), out);
        return metric_end(out);
}
