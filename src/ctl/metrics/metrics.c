/* SPDX-License-Identifier: MIT */
#include "ctl/metrics/metrics.h"
#include "ctl/metrics/openmetrics.h"

#define PREFIX "northflare_runner"

#define LABELS(...) ((const MetricLabel[]){ __VA_ARGS__, {} })

static uint64_t number(Json *o, const char *name) {
        uint64_t u = 0;

        (void) json_get_u64(o, name, &u);
        return u;
}

static double real(Json *o, const char *name) {
        Json *v = json_get(o, name);

        return json_object_is_type(v, json_type_double) ? json_object_get_double(v) : 0;
}

static const char *string(Json *o, const char *name) {
        return strempty(json_get_string(o, name));
}

static bool flag(Json *o, const char *name) {
        bool b = false;

        (void) json_get_bool(o, name, &b);
        return b;
}

static size_t length(Json *list) {
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* ---- the runner itself ---- */

static void write_identity(Json *runner, Buffer *out) {
        static const char *const states[] = { "starting", "offline",  "registering", "active",
                                              "standby",  "draining", "refused",     "local" };
        MetricFamily f;

        f = metric_family(out, PREFIX, METRIC_INFO, NULL, "Version and name of this runner.");
        metric_u64(&f,
                   LABELS({ "version", string(runner, "Version") },
                          { "runner_id", string(runner, "RunnerId") },
                          { "runner_uid", string(runner, "RunnerUid") }),
                   1);
        f = metric_family(out, PREFIX "_state", METRIC_STATESET, NULL, "Current state of the runner.");
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                metric_u64(&f,
                           LABELS({ PREFIX "_state", states[i] }),
                           streq(states[i], string(runner, "State")));
}

static void write_gauge(Buffer *out, const char *name, const char *help, uint64_t value) {
        MetricFamily f = metric_family(out, name, METRIC_GAUGE, NULL, help);

        metric_u64(&f, NULL, value);
}

static void write_counter(Buffer *out, const char *name, const char *help, uint64_t value) {
        MetricFamily f = metric_family(out, name, METRIC_COUNTER, NULL, help);

        metric_u64(&f, NULL, value);
}

static void write_seconds(Buffer *out, const char *name, const char *help, uint64_t usec) {
        MetricFamily f = metric_family(out, name, METRIC_GAUGE, "seconds", help);

        metric_usec(&f, NULL, usec);
}

static void write_runner(Json *r, Buffer *out) {
        MetricFamily f;

        write_identity(r, out);
        write_seconds(out,
                      PREFIX "_start_time_seconds",
                      "Start time of the runner; all counters without a conversation begin then.",
                      number(r, "StartedUSec"));
        write_gauge(out,
                    PREFIX "_connected",
                    "Whether the event stream from the orchestrator is connected.",
                    flag(r, "Connected"));
        write_gauge(out, PREFIX "_active", "Whether this runner receives new work.", flag(r, "Active"));
        write_gauge(out,
                    PREFIX "_draining",
                    "Whether new conversations are refused until all have ended.",
                    flag(r, "Draining"));
        write_gauge(out,
                    PREFIX "_conversations_max",
                    "Maximum number of conversations.",
                    number(r, "Capacity"));
        write_gauge(out,
                    PREFIX "_queued_events",
                    "Events that the orchestrator has not acknowledged.",
                    number(r, "QueuedEvents"));
        f = metric_family(out, PREFIX "_queued_bytes", METRIC_GAUGE, "bytes", "The size of these events.");
        metric_u64(&f, NULL, number(r, "QueuedBytes"));
        write_seconds(out,
                      PREFIX "_queue_age_seconds",
                      "Age of the oldest of these events.",
                      number(r, "OldestQueuedUSec"));
        write_gauge(out,
                    PREFIX "_set_aside_events",
                    "Events that the orchestrator refused permanently.",
                    number(r, "SetAside"));
        if (number(r, "LastAckUSec") > 0)
                write_seconds(out,
                              PREFIX "_last_acknowledgement_time_seconds",
                              "Time of the last acknowledgement of the orchestrator.",
                              number(r, "LastAckUSec"));
        write_counter(out,
                      PREFIX "_reconnects",
                      "Number of times that the event stream was reopened.",
                      number(r, "Reconnects"));
        write_counter(out,
                      PREFIX "_duplicate_messages",
                      "Messages that were received again and skipped.",
                      number(r, "Duplicates"));
}

/* ---- sums by agent ---- */

/* The sums that a conversation is counted in: its agent's own, or those of all that have none. */
static const char *row_of(Json *totals, const char *agent) {
        for (size_t i = 0; i < length(totals); i++)
                if (streq(string(json_object_array_get_idx(totals, i), "agent"), agent))
                        return agent;
        return "other";
}

static void write_live(Json *s, Buffer *out) {
        static const char *const states[] = { "starting",           "idle",   "running",
                                              "waiting-permission", "frozen", "stopping" };
        Json *totals = json_get(s, "totals"), *live = json_get(s, "conversations");
        MetricFamily f = metric_family(
                        out, PREFIX "_conversations", METRIC_GAUGE, NULL, "Live conversations.");

        for (size_t a = 0; a < length(totals); a++) {
                const char *agent = string(json_object_array_get_idx(totals, a), "agent");

                for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                        uint64_t n = 0;

                        for (size_t c = 0; c < length(live); c++) {
                                Json *o = json_object_array_get_idx(live, c);
                                n += streq(string(o, "state"), states[i]) &&
                                                streq(row_of(totals, string(o, "agent")), agent);
                        }
                        metric_u64(&f, LABELS({ "agent", agent }, { "state", states[i] }), n);
                }
        }
}

/* One counter of each agent; member NULL: the members of the object `map`, whose names are the label's values. */
static void
write_sums(Json *totals, const MetricFamily *f, const char *member, const char *map, const char *label) {
        for (size_t i = 0; i < length(totals); i++) {
                Json *o = json_object_array_get_idx(totals, i), *counts = map ? json_get(o, map) : NULL;
                const char *agent = string(o, "agent");

                if (member)
                        metric_u64(f, LABELS({ "agent", agent }), number(o, member));
                if (!json_object_is_type(counts, json_type_object))
                        continue;
                json_object_object_foreach(counts, name, value) {
                        (void) value;
                        metric_u64(f, LABELS({ "agent", agent }, { label, name }), number(counts, name));
                }
        }
}

static const struct {
        const char *member, *kind;
} tokens[] = {
        {"inputTokens",       "input"      },
        { "outputTokens",     "output"     },
        { "cacheReadTokens",  "cache_read" },
        { "cacheWriteTokens", "cache_write"},
};

static void write_totals(Json *totals, Buffer *out) {
        MetricFamily f;

        f =
                        metric_family(out,
                                      PREFIX "_conversations_started",
                                      METRIC_COUNTER,
                                      NULL,
                                      "Conversations that were started or resumed.");
        write_sums(totals, &f, "started", NULL, NULL);
        f =
                        metric_family(out,
                                      PREFIX "_conversations_ended",
                                      METRIC_COUNTER,
                                      NULL,
                                      "Conversations that ended.");
        write_sums(totals, &f, NULL, "ended", "reason");
        f = metric_family(out, PREFIX "_turns", METRIC_COUNTER, NULL, "Turns that agents ended.");
        write_sums(totals, &f, "turns", NULL, NULL);
        f =
                        metric_family(out,
                                      PREFIX "_oversize_lines",
                                      METRIC_COUNTER,
                                      NULL,
                                      "Lines and questions of agents that exceeded the maximum size.");
        write_sums(totals, &f, "oversizeLines", NULL, NULL);
        f =
                        metric_family(out,
                                      PREFIX "_ambiguous_lines",
                                      METRIC_COUNTER,
                                      NULL,
                                      "Lines of agents with a duplicate member.");
        write_sums(totals, &f, "ambiguousLines", NULL, NULL);
        f = metric_family(
                        out, PREFIX "_tokens", METRIC_COUNTER, NULL, "Tokens used, as reported by agents.");
        for (size_t i = 0; i < length(totals); i++)
                for (size_t k = 0; k < ELEMENTSOF(tokens); k++) {
                        Json *o = json_object_array_get_idx(totals, i);
                        metric_u64(&f,
                                   LABELS({ "agent", string(o, "agent") }, { "kind", tokens[k].kind }),
                                   number(o, tokens[k].member));
                }
        f = metric_family(out, PREFIX "_cost_usd", METRIC_COUNTER, "usd", "Cost, as reported by agents.");
        for (size_t i = 0; i < length(totals); i++) {
                Json *o = json_object_array_get_idx(totals, i);
                metric_double(&f, LABELS({ "agent", string(o, "agent") }), real(o, "costUsd"));
        }
        f =
                        metric_family(out,
                                      PREFIX "_conversations_cpu_seconds",
                                      METRIC_COUNTER,
                                      "seconds",
                                      "Processor time that conversations used.");
        for (size_t i = 0; i < length(totals); i++) {
                Json *o = json_object_array_get_idx(totals, i);
                metric_usec(&f, LABELS({ "agent", string(o, "agent") }), number(o, "cpuUsec"));
        }
        f = metric_family(
                        out,
                        PREFIX "_limit_hits",
                        METRIC_COUNTER,
                        NULL,
                        "Limit events of conversations: kills for memory, throttling, forks refused.");
        write_sums(totals, &f, NULL, "limitHits", "limit");
}

/* ---- one by one, while they live ---- */

static const struct {
        const char *name, *unit;
        MetricType type;
        const char *member, *help;
} metrics[] = {
        {PREFIX "_conversation_start_time_seconds",
         "seconds",                                                METRIC_GAUGE,
         "startedAt",                                                                               "Start time of the conversation."                       },
        { PREFIX "_conversation_last_event_time_seconds",
         "seconds",                                                METRIC_GAUGE,
         "lastEventAt",                                                                             "Time of its last event."                               },
        { PREFIX "_conversation_cpu_seconds",
         "seconds",                                                METRIC_COUNTER,
         "cpuUsec",                                                                                 "Processor time that its processes used."               },
        { PREFIX "_conversation_memory_bytes",            "bytes", METRIC_GAUGE,   "memoryCurrent", "Memory in use."                                        },
        { PREFIX "_conversation_memory_peak_bytes",
         "bytes",                                                  METRIC_GAUGE,
         "memoryPeak",                                                                              "Peak memory usage."                                    },
        { PREFIX "_conversation_swap_bytes",              "bytes", METRIC_GAUGE,   "swapCurrent",   "Swap in use."                                          },
        { PREFIX "_conversation_tasks",                   NULL,    METRIC_GAUGE,   "tasksCurrent",  "Processes and threads."                                },
        { PREFIX "_conversation_io_read_bytes",           "bytes", METRIC_COUNTER, "ioReadBytes",   "Read from disks."                                      },
        { PREFIX "_conversation_io_written_bytes",
         "bytes",                                                  METRIC_COUNTER,
         "ioWriteBytes",                                                                            "Written to disks."                                     },
        { PREFIX "_conversation_turns",                   NULL,    METRIC_COUNTER, "turns",         "Turns that its agent ended."                           },
        { PREFIX "_conversation_queued_messages",
         NULL,                                                     METRIC_GAUGE,
         "queuedMessages",                                                                          "Messages that wait for the agent."                     },
        { PREFIX "_conversation_queued_events",
         NULL,                                                     METRIC_GAUGE,
         "queuedEvents",                                                                            "Its events that the orchestrator has not acknowledged."},
        { PREFIX "_conversation_queued_bytes",
         "bytes",                                                  METRIC_GAUGE,
         "queuedBytes",                                                                             "The size of these events."                             },
};

static void write_metric(Json *live, size_t n, size_t i, Buffer *out) {
        MetricFamily f = metric_family(
                        out, metrics[i].name, metrics[i].type, metrics[i].unit, metrics[i].help);

        for (size_t k = 0; k < n; k++) {
                Json *o = json_object_array_get_idx(live, k);
                const MetricLabel *labels =
                                LABELS({ "conversation", string(o, "id") }, { "agent", string(o, "agent") });
                uint64_t value;

                /* What the kernel does not have is left out: it is not 0. So is a moment that has not come yet. */
                if (json_get_u64(o, metrics[i].member, &value) <= 0 ||
                    (value == 0 && endswith(metrics[i].name, "_time_seconds")))
                        continue;
                if (streq_ptr(metrics[i].unit, "seconds"))
                        metric_usec(&f, labels, value);
                else
                        metric_u64(&f, labels, value);
        }
}

static void write_conversations(Json *live, Buffer *out) {
        size_t n = MIN(length(live), (size_t) METRICS_CONVERSATIONS_MAX);
        MetricFamily f;

        for (size_t i = 0; i < ELEMENTSOF(metrics); i++)
                write_metric(live, n, i, out);
        f =
                        metric_family(out,
                                      PREFIX "_conversation_tokens",
                                      METRIC_COUNTER,
                                      NULL,
                                      "Tokens used, as reported by its agent.");
        for (size_t k = 0; k < n; k++)
                for (size_t t = 0; t < ELEMENTSOF(tokens); t++) {
                        Json *o = json_object_array_get_idx(live, k);
                        metric_u64(&f,
                                   LABELS({ "conversation", string(o, "id") },
                                          { "agent", string(o, "agent") },
                                          { "kind", tokens[t].kind }),
                                   number(o, tokens[t].member));
                }
        f =
                        metric_family(out,
                                      PREFIX "_conversation_cost_usd",
                                      METRIC_COUNTER,
                                      "usd",
                                      "Cost, as reported by its agent.");
        for (size_t k = 0; k < n; k++) {
                Json *o = json_object_array_get_idx(live, k);
                metric_double(&f,
                              LABELS({ "conversation", string(o, "id") }, { "agent", string(o, "agent") }),
                              real(o, "costUsd"));
        }
        write_gauge(out,
                    PREFIX "_conversations_left_out",
                    "Live conversations that have no series of their own here.",
                    length(live) - n);
}

int metrics_write(Json *snapshot, Buffer *out) {
        write_runner(json_get(snapshot, "runner"), out);
        write_live(snapshot, out);
        write_totals(json_get(snapshot, "totals"), out);
        write_conversations(json_get(snapshot, "conversations"), out);
        return metric_end(out);
}
