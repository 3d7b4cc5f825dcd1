/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/top-view.h"

#define CELL AMOUNT_MAX

/* ---- rates ---- */

static Json *find(Json *conversations, const char *id) {
        for (size_t i = 0; i < json_length(conversations); i++) {
                Json *o = json_object_array_get_idx(conversations, i);
                if (streq_ptr(json_get_string(o, "id"), id))
                        return o;
        }
        return NULL;
}

static int
set_rate(Json *o, Json *before, uint64_t elapsed, const char *name, const char *counter, double factor) {
        uint64_t now, then;

        if (json_get_u64(o, counter, &now) <= 0 || json_get_u64(before, counter, &then) <= 0 || now < then)
                return 0;
        return json_set(o, name, json_object_new_double(factor * (double) (now - then) / (double) elapsed));
}

/* The runner reads the statistics once a second at most: between two such moments nothing new is known. */
static int keep_rates(Json *o, Json *before) {
        static const char *const names[] = { "cpuPercent", "ioReadRate", "ioWriteRate" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Json *v = json_get(before, names[i]);
                if (v && json_set(o, names[i], json_object_get(v)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int top_add_rates(Json *snapshot, Json *before) {
        Json *list = json_get(snapshot, "conversations"), *old = json_get(before, "conversations");
        int r = 0;

        for (size_t i = 0; r >= 0 && i < json_length(list); i++) {
                Json *o = json_object_array_get_idx(list, i), *b = find(old, json_get_string(o, "id"));
                uint64_t now = json_u64(o, "sampledUsec"), then = json_u64(b, "sampledUsec");

                /* Another scope begins at 0. */
                if (!b || !streq_ptr(json_get_string(o, "scope"), json_get_string(b, "scope")) || then == 0)
                        continue;
                if (now <= then) {
                        r = keep_rates(o, b);
                        continue;
                }
                r = set_rate(o, b, now - then, "cpuPercent", "cpuUsec", 100);
                if (r >= 0)
                        r = set_rate(o, b, now - then, "ioReadRate", "ioReadBytes", USEC_PER_SEC);
                if (r >= 0)
                        r = set_rate(o, b, now - then, "ioWriteRate", "ioWriteBytes", USEC_PER_SEC);
        }
        return r;
}

/* ---- order ---- */

static TopSort sort_by;

static double weight(Json *o) {
        switch (sort_by) {
        case TOP_MEMORY:
                return (double) json_u64(o, "memoryCurrent");
        case TOP_IO:
                return json_real(o, "ioReadRate") + json_real(o, "ioWriteRate");
        case TOP_TOKENS:
                return (double) (json_u64(o, "inputTokens") + json_u64(o, "outputTokens"));
        case TOP_COST:
                return json_real(o, "costUsd");
        default:
                return json_real(o, "cpuPercent");
        }
}

static int compare(const void *a, const void *b) {
        Json *x = *(Json *const *) a, *y = *(Json *const *) b;
        double v = weight(x), w = weight(y);

        return v > w  ? -1 :
                v < w ? 1 :
                        strcmp(strempty(json_get_string(x, "id")), strempty(json_get_string(y, "id")));
}

void top_sort(Json *snapshot, TopSort by) {
        Json *list = json_get(snapshot, "conversations");

        sort_by = by;
        if (json_object_is_type(list, json_type_array))
                json_object_array_sort(list, compare);
}

/* ---- text ---- */

static void format_usage(Json *o, const char *name, double base, char buf[static CELL]) {
        Json *v = json_get(o, name);

        buf[0] = 0;
        if (v)
                format_amount(json_object_get_double(v), base, buf);
}

static void format_percent(Json *o, char buf[static CELL]) {
        buf[0] = 0;
        if (json_get(o, "cpuPercent"))
                (void) snprintf(buf, CELL, "%.1f", json_real(o, "cpuPercent"));
}

static void format_time(Json *o, char buf[static CELL]) {
        uint64_t usec, s;

        buf[0] = 0;
        if (json_get_u64(o, "cpuUsec", &usec) <= 0)
                return;
        s = usec / USEC_PER_SEC;
        if (s < 60)
                (void) snprintf(buf, CELL, "%.2fs", (double) usec / USEC_PER_SEC);
        else
                (void) snprintf(buf, CELL, "%" PRIu64 ":%02" PRIu64 "min", s / 60, s % 60);
}

static void format_cost(double usd, char buf[static CELL]) {
        (void) snprintf(buf, CELL, "$%.2f", usd);
}

static int add_row(Table *t, Json *o) {
        char cpu[CELL], used[CELL], memory[CELL], tasks[CELL], in[CELL], out[CELL], got[CELL], said[CELL],
                cost[CELL], queue[CELL];

        format_percent(o, cpu);
        format_time(o, used);
        format_usage(o, "memoryCurrent", 1024, memory);
        format_usage(o, "tasksCurrent", 1000, tasks);
        format_usage(o, "ioReadRate", 1024, in);
        format_usage(o, "ioWriteRate", 1024, out);
        format_usage(o, "inputTokens", 1000, got);
        format_usage(o, "outputTokens", 1000, said);
        format_usage(o, "queuedMessages", 1000, queue);
        format_cost(json_real(o, "costUsd"), cost);
        return table_add(
                t,
                (const char *[]){ json_get_string(o, "id"),
                                  json_get_string(o, "state"),
                                  json_get_string(o, "agent"),
                                  cpu,
                                  used,
                                  memory,
                                  tasks,
                                  in,
                                  out,
                                  got,
                                  said,
                                  cost,
                                  queue });
}

static void print_head(Json *s) {
        Json *runner = json_get(s, "runner"), *live = json_get(s, "conversations"),
             *totals = json_get(s, "totals");
        _cleanup_free_ char *version = sanitize_line(json_get_string(runner, "Version"), 32),
                            *state = sanitize_line(json_get_string(runner, "State"), 32);
        char memory[CELL], in[CELL], out[CELL], cost[CELL], queue[CELL];
        double cpu = 0, used = 0, got = 0, said = 0, usd = 0;

        for (size_t i = 0; i < json_length(live); i++) {
                Json *o = json_object_array_get_idx(live, i);
                cpu += json_real(o, "cpuPercent");
                used += (double) json_u64(o, "memoryCurrent");
        }
        for (size_t i = 0; i < json_length(totals); i++) {
                Json *o = json_object_array_get_idx(totals, i);
                got += (double) json_u64(o, "inputTokens");
                said += (double) json_u64(o, "outputTokens");
                usd += json_real(o, "costUsd");
        }
        format_amount(used, 1024, memory);
        format_amount(got, 1000, in);
        format_amount(said, 1000, out);
        format_cost(usd, cost);
        format_amount((double) json_u64(runner, "QueuedBytes"), 1024, queue);
        (void) printf(
                "northflare-runner %s, %s, %zu of %" PRIu64 " conversations\n",
                strempty(version),
                strempty(state),
                json_length(live),
                json_u64(runner, "Capacity"));
        (void) printf(
                "CPU %.1f%%, memory %s; since its start %s tokens in, %s out, %s\n",
                cpu,
                memory,
                in,
                out,
                cost);
        (void) printf(
                "Queue: %" PRIu64 " events, %s, oldest %" PRIu64 " s\n\n",
                json_u64(runner, "QueuedEvents"),
                queue,
                json_u64(runner, "OldestQueuedUSec") / USEC_PER_SEC);
}

int top_print(Json *snapshot, size_t rows) {
        static const char *const titles[] = {
                "ID",     "STATE",   "AGENT", "CPU%", "TIME", "MEMORY", "TASKS",
                "READ/S", "WRITE/S", "IN",    "OUT",  "COST", "QUEUE",
        };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(titles), titles);
        Json *list = json_get(snapshot, "conversations");

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(list) && (rows == 0 || i < rows); i++)
                if (add_row(table, json_object_array_get_idx(list, i)) < 0)
                        return -ENOMEM;
        if (!arg.no_legend)
                print_head(snapshot);
        table_print(table, NULL);
        return 0;
}
