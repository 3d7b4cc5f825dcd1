/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/runner-admission.h"

/* What every new conversation must pass: drain, capacity, disk, memory, pressure, what waits for acknowledgement. It
 * is checked before a conversation is requested, so that an orchestrator can give its work to another runner instead. */

#define CHECK_USEC (30 * USEC_PER_SEC)
/* While it is refused: new conversations are accepted again soon after the cause is gone. */
#define CHECK_AGAIN_USEC (5 * USEC_PER_SEC)
/* A machine at its capacity may change sides with every end and start. */
#define REPORT_USEC (1 * USEC_PER_SEC)

struct AdmissionGate {
        const RunContext *ctx;
        const Registry *conversations;
        Disk *disk;
        const Drain *drain;
        Announcer *announcer;
        Link *link;                    /* NULL: there is no orchestrator */
        AdmissionMeasurements machine; /* as last measured */
        Admission now, reported;
        uint64_t reported_usec;
        sd_event_source *timer;
};

static AdmissionBounds bounds(const AdmissionGate *g) {
        return (AdmissionBounds){
                .min_free_memory = g->ctx->config->min_free_memory_bytes,
                .max_memory_pressure = g->ctx->config->max_memory_pressure_percent,
                .max_cpu_pressure = g->ctx->config->max_cpu_pressure_percent,
        };
}

static void measure(AdmissionGate *g) {
        _cleanup_close_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        admission_measure(fd, &g->machine);
}

static Admission judge(const AdmissionGate *g) {
        AdmissionBounds b = bounds(g);
        Admission a;

        if (drain_is_on(g->drain) || g->ctx->shutting_down)
                return ADMISSION_DRAINING;
        if (registry_count_live(g->conversations) >= g->ctx->config->max_conversations)
                return ADMISSION_CAPACITY;
        if (disk_is_low(g->disk))
                return ADMISSION_DISK;
        a = admission_judge(&g->machine, &b);
        /* The last: it is for the orchestrator's alone. */
        return a == ADMISSION_OPEN && registry_count_waiting(g->conversations) >= ENDED_WAITING_MAX ?
                ADMISSION_UNACKNOWLEDGED :
                a;
}

char *admission_gate_text(const AdmissionGate *g) {
        AdmissionBounds b = bounds(g);

        switch (g->now) {
        case ADMISSION_OPEN:
                return NULL;
        case ADMISSION_DRAINING:
                return strdup(
                        drain_is_on(g->drain) ? "this runner is draining: no new conversations" :
                                                "this machine is shutting down: no new conversations");
        case ADMISSION_CAPACITY:
                return xasprintf(
                        "this runner is at its capacity of %llu conversations",
                        (unsigned long long) g->ctx->config->max_conversations);
        case ADMISSION_DISK:
                return xasprintf(
                        "less disk space is free than minFreeDiskBytes (%llu) requires",
                        (unsigned long long) g->ctx->config->min_free_disk_bytes);
        case ADMISSION_UNACKNOWLEDGED:
                return xasprintf(
                        "%u conversations have ended and wait for the orchestrator to acknowledge their events: "
                        "see the orchestrator's log",
                        registry_count_waiting(g->conversations));
        default:
                return admission_explain(g->now, &g->machine, &b);
        }
}

static bool is_of_the_machine(Admission a) {
        return a == ADMISSION_MEMORY || a == ADMISSION_MEMORY_PRESSURE || a == ADMISSION_CPU_PRESSURE;
}

/* The others have lines of their own. */
static void log_change(Admission before, const AdmissionGate *g) {
        _cleanup_free_ char *text = admission_gate_text(g);
        LOG_CONTEXT(log);

        if (g->now != ADMISSION_OPEN)
                log_context_push(&log, "NORTHFLARE_REASON", admission_to_string(g->now));
        if (is_of_the_machine(g->now)) {
                log_full(
                        LOG_WARNING,
                        0,
                        NF_MESSAGE_MACHINE_BUSY,
                        "No new conversations: %s.",
                        strempty(text));
        } else if (g->now == ADMISSION_UNACKNOWLEDGED)
                log_warning("No new conversations from the orchestrator: %s.", strempty(text));
        else if (
                (is_of_the_machine(before) || before == ADMISSION_UNACKNOWLEDGED) &&
                g->now == ADMISSION_OPEN)
                log_notice("New conversations are accepted again.");
}

static void check_in(AdmissionGate *g, uint64_t usec) {
        if (g->timer)
                oneshot_arm(g->timer, usec);
}

/* Reports a change at once, but not more often than is useful. */
static void report(AdmissionGate *g) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (!g->link || g->now == g->reported)
                return;
        if (now < g->reported_usec + REPORT_USEC) {
                check_in(g, REPORT_USEC);
                return;
        }
        g->reported_usec = now;
        link_heartbeat(g->link);
}

/* Whether it is another one. */
static bool check(AdmissionGate *g) {
        Admission before = g->now;

        g->now = judge(g);
        if (g->now == before)
                return false;
        log_change(before, g);
        announcer_changed(g->announcer);
        check_in(g, g->now == ADMISSION_OPEN ? CHECK_USEC : CHECK_AGAIN_USEC);
        return true;
}

void admission_gate_check(AdmissionGate *g) {
        if (check(g))
                report(g);
}

bool admission_is_for_origin(Admission a, const char *origin) {
        /* One that was started here leaves nothing to acknowledge. */
        return a != ADMISSION_OPEN && (a != ADMISSION_UNACKNOWLEDGED || !streq(origin, "local"));
}

Admission admission_gate_ask(AdmissionGate *g) {
        measure(g);
        disk_check(g->disk);
        admission_gate_check(g);
        return g->now;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        AdmissionGate *g = userdata;
        check_in(g, admission_gate_ask(g) == ADMISSION_OPEN ? CHECK_USEC : CHECK_AGAIN_USEC);
        report(g);
        return 0;
}

int admission_gate_json(AdmissionGate *g, Json **ret) {
        _cleanup_free_ char *text = NULL;
        Json *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        /* This is the report of it: a heartbeat of its own would be made while this one is. */
        measure(g);
        disk_check(g->disk);
        (void) check(g);
        (void) json_set_bool(o, "open", g->now == ADMISSION_OPEN);
        if (g->now != ADMISSION_OPEN) {
                text = admission_gate_text(g);
                (void) json_set_string(o, "reason", admission_to_string(g->now));
                (void) json_set_string(o, "text", text);
        }
        g->reported = g->now;
        *ret = o;
        return 0;
}

Admission admission_gate_get(const AdmissionGate *g) {
        return g->now;
}

void admission_gate_set_link(AdmissionGate *g, Link *link) {
        g->link = link;
}

int admission_gate_open(AdmissionGate *g) {
        AdmissionBounds b = bounds(g);
        int r;

        measure(g);
        if ((b.max_memory_pressure > 0 && !g->machine.has_memory_pressure) ||
            (b.max_cpu_pressure > 0 && !g->machine.has_cpu_pressure))
                log_notice(
                        "This kernel does not report pressure (/proc/pressure): maxMemoryPressurePercent and "
                        "maxCpuPressurePercent have no effect.");
        g->now = judge(g);
        log_change(ADMISSION_OPEN, g);
        r = oneshot_start(&g->timer, g->ctx->event, CHECK_USEC, on_timer, g);
        return r < 0 ? r : sd_event_source_set_time_accuracy(g->timer, USEC_PER_SEC);
}

int admission_gate_new(
        const RunContext *ctx,
        const Registry *conversations,
        Disk *disk,
        const Drain *drain,
        Announcer *announcer,
        AdmissionGate **ret) {
        AdmissionGate *g = new0(AdmissionGate, 1);

        if (!g)
                return -ENOMEM;
        *g = (AdmissionGate){
                .ctx = ctx,
                .conversations = conversations,
                .disk = disk,
                .drain = drain,
                .announcer = announcer,
        };
        *ret = g;
        return 0;
}

AdmissionGate *admission_gate_free(AdmissionGate *g) {
        if (!g)
                return NULL;
        sd_event_source_disable_unref(g->timer);
        free(g);
        return NULL;
}
