/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* Text of OpenMetrics 1.0: families one after the other, each with its samples. */

#define OPENMETRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

typedef enum MetricType {
        METRIC_GAUGE,
        METRIC_COUNTER,
        METRIC_INFO,
        METRIC_STATESET,
} MetricType;

typedef struct MetricFamily {
        Buffer *out;
        const char *name; /* without _total and _info */
        MetricType type;
} MetricFamily;

typedef struct MetricLabel {
        const char *name, *value;
} MetricLabel;

/* Begins a family. unit: the end of its name ("seconds", "bytes"), or NULL. help: one sentence. */
MetricFamily
metric_family(Buffer *out, const char *name, MetricType type, const char *unit, const char *help);
/* One sample; the list of labels ends with an empty name, NULL: none. A counter's name gets its _total by itself. */
void metric_u64(const MetricFamily *f, const MetricLabel *labels, uint64_t value);
void metric_double(const MetricFamily *f, const MetricLabel *labels, double value);
/* Microseconds as seconds. */
void metric_usec(const MetricFamily *f, const MetricLabel *labels, uint64_t usec);
/* The end of the whole text. Returns 0, or -ENOMEM where any of it failed. */
int metric_end(Buffer *out);
