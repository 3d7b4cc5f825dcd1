/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>

#include "ctl/metrics/openmetrics.h"

/* Backslash, quote and newline are escaped; a backslash and a newline in a help text are the same. */
static void append_escaped(Buffer *out, const char *s) {
        for (; *s; s++)
                switch (*s) {
                case '\\':
                        (void) buffer_append_str(out, "\\\\");
                        break;
                case '"':
                        (void) buffer_append_str(out, "\\\"");
                        break;
                case '\n':
                        (void) buffer_append_str(out, "\\n");
                        break;
                default:
                        (void) buffer_append(out, s, 1);
                }
}

MetricFamily
metric_family(Buffer *out, const char *name, MetricType type, const char *unit, const char *help) {
        static const char *const types[] = {
                [METRIC_GAUGE] = "gauge",
                [METRIC_COUNTER] = "counter",
                [METRIC_INFO] = "info",
                [METRIC_STATESET] = "stateset",
        };

        (void) buffer_printf(out, "# TYPE %s %s\n", name, types[type]);
        if (unit)
                (void) buffer_printf(out, "# UNIT %s %s\n", name, unit);
        (void) buffer_printf(out, "# HELP %s ", name);
        append_escaped(out, help);
        (void) buffer_append_str(out, "\n");
        return (MetricFamily){ .out = out, .name = name, .type = type };
}

static void begin(const MetricFamily *f, const MetricLabel *labels) {
        const char *suffix = f->type == METRIC_COUNTER ? "_total" : f->type == METRIC_INFO ? "_info" : "";

        (void) buffer_printf(f->out, "%s%s", f->name, suffix);
        for (const MetricLabel *l = labels; l && l->name; l++) {
                (void) buffer_printf(f->out, "%c%s=\"", l == labels ? '{' : ',', l->name);
                append_escaped(f->out, strempty(l->value));
                (void) buffer_append_str(f->out, "\"");
        }
        if (labels && labels->name)
                (void) buffer_append_str(f->out, "}");
}

void metric_u64(const MetricFamily *f, const MetricLabel *labels, uint64_t value) {
        begin(f, labels);
        (void) buffer_printf(f->out, " %" PRIu64 "\n", value);
}

void metric_double(const MetricFamily *f, const MetricLabel *labels, double value) {
        /* A counter is never not a number. */
        if (!isfinite(value))
                return;
        begin(f, labels);
        (void) buffer_printf(f->out, " %.15g\n", value);
}

void metric_usec(const MetricFamily *f, const MetricLabel *labels, uint64_t usec) {
        begin(f, labels);
        (void) buffer_printf(
                f->out, " %" PRIu64 ".%06" PRIu64 "\n", usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

int metric_end(Buffer *out) {
        return buffer_append_str(out, "# EOF\n");
}
