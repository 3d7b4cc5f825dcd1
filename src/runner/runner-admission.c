/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/runner-internal.h"

/* What every new conversation must pass: drain, capacity, disk, memory, pressure, what waits for acknowledgement. It is looked at before anybody asks, so
 * that an orchestrator can give its work to another runner instead. */

#define LOOK_USEC (30 * USEC_PER_SEC)
/* While it is refused: nobody is to wait for long when there is room again. */
#define LOOK_AGAIN_USEC (5 * USEC_PER_SEC)
/* A machine at its capacity may change sides with every end and start. */
#define TELL_USEC (1 * USEC_PER_SEC)

static AdmissionBounds bounds(Runner *r) {
        return (AdmissionBounds){
                .min_free_memory = r->config->min_free_memory_bytes,
                .max_memory_pressure = r->config->max_memory_pressure_percent,
                .max_cpu_pressure = r->config->max_cpu_pressure_percent,
        };
}

static void measure(Runner *r) {
        _cleanup_close_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        admission_measure(fd, &r->machine);
}

static Admission judge(Runner *r) {
        AdmissionBounds b = bounds(r);
        Admission a;

        if (r->draining || r->ctx.run.shutting_down)
                return ADMISSION_DRAINING;
        if (registry_count_live(r->conversations) >= r->config->max_conversations)
                return ADMISSION_CAPACITY;
        if (runner_disk_is_low(r))
                return ADMISSION_DISK;
        a = admission_judge(&r->machine, &b);
        /* The last: it is for the orchestrator's alone. */
        return a == ADMISSION_OPEN && registry_count_waiting(r->conversations) >= ENDED_WAITING_MAX ?
                        ADMISSION_UNACKNOWLEDGED :
                        a;
}

char *runner_admission_text(Runner *r) {
        AdmissionBounds b = bounds(r);

        switch (r->admission) {
        case ADMISSION_OPEN:
                return NULL;
        case ADMISSION_DRAINING:
                return strdup(r->draining ? "this runner is draining: no new conversations" :
                                            "this machine goes down: no new conversations");
        case ADMISSION_CAPACITY:
                return xasprintf(
                                "this runner is at its capacity of %llu conversations",
                                (unsigned long long) r->config->max_conversations);
        case ADMISSION_DISK:
                return xasprintf(
                                "less disk is free than minFreeDiskBytes (%llu) demands",
                                (unsigned long long) r->config->min_free_disk_bytes);
        case ADMISSION_UNACKNOWLEDGED:
                return xasprintf(
                                "%u conversations have ended and wait for the orchestrator to acknowledge their events: "
                                "its log says why it does not",
                                registry_count_waiting(r->conversations));
        default:
                return admission_explain(r->admission, &r->machine, &b);
        }
}

static bool is_of_the_machine(Admission a) {
        return a == ADMISSION_MEMORY || a == ADMISSION_MEMORY_PRESSURE || a == ADMISSION_CPU_PRESSURE;
}

/* The others have lines of their own. */
static void log_change(Admission before, Runner *r) {
        _cleanup_free_ char *text = runner_admission_text(r);
        LOG_CONTEXT(log);

        if (r->admission != ADMISSION_OPEN)
                log_context_push(&log, "NORTHFLARE_REASON", admission_to_string(r->admission));
        if (is_of_the_machine(r->admission)) {
                log_full(LOG_WARNING,
                         0,
                         NF_MESSAGE_MACHINE_BUSY,
                         "No new conversations: %s.",
                         strempty(text));
        } else if (r->admission == ADMISSION_UNACKNOWLEDGED)
                log_warning("No new conversations of the orchestrator: %s.", strempty(text));
        else if ((is_of_the_machine(before) || before == ADMISSION_UNACKNOWLEDGED) &&
                 r->admission == ADMISSION_OPEN)
                log_notice("There is room for new conversations again.");
}

static void look_in(Runner *r, uint64_t usec) {
        if (!r->admission_timer)
                return;
        (void) sd_event_source_set_time_relative(r->admission_timer, usec);
        (void) sd_event_source_set_enabled(r->admission_timer, SD_EVENT_ONESHOT);
}

/* At once where it has changed; but not more often than anybody could want to know. */
static void tell(Runner *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (!r->link || r->admission == r->admission_told)
                return;
        if (now < r->admission_told_usec + TELL_USEC) {
                look_in(r, TELL_USEC);
                return;
        }
        r->admission_told_usec = now;
        link_heartbeat(r->link);
}

void runner_admission_look(Runner *r) {
        Admission before = r->admission;

        r->admission = judge(r);
        if (r->admission == before)
                return;
        log_change(before, r);
        announcer_changed(r->announcer);
        look_in(r, r->admission == ADMISSION_OPEN ? LOOK_USEC : LOOK_AGAIN_USEC);
        tell(r);
}

bool runner_admission_is_for(Admission a, const char *origin) {
        /* One that was started here leaves nothing to acknowledge. */
        return a != ADMISSION_OPEN && (a != ADMISSION_UNACKNOWLEDGED || !streq(origin, "local"));
}

Admission runner_admission_ask(Runner *r) {
        measure(r);
        runner_disk_look(r);
        runner_admission_look(r);
        return r->admission;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Runner *r = userdata;
        look_in(r, runner_admission_ask(r) == ADMISSION_OPEN ? LOOK_USEC : LOOK_AGAIN_USEC);
        tell(r);
        return 0;
}

int runner_admission_json(Runner *r, Json **ret) {
        _cleanup_free_ char *text = NULL;
        Json *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        (void) json_set_bool(o, "open", runner_admission_ask(r) == ADMISSION_OPEN);
        if (r->admission != ADMISSION_OPEN) {
                text = runner_admission_text(r);
                (void) json_set_string(o, "reason", admission_to_string(r->admission));
                (void) json_set_string(o, "text", text);
        }
        r->admission_told = r->admission;
        *ret = o;
        return 0;
}

int runner_admission_open(Runner *r) {
        AdmissionBounds b = bounds(r);

        measure(r);
        if ((b.max_memory_pressure > 0 && !r->machine.has_memory_pressure) ||
            (b.max_cpu_pressure > 0 && !r->machine.has_cpu_pressure))
                log_notice("This kernel tells no pressure (/proc/pressure): maxMemoryPressurePercent and "
                           "maxCpuPressurePercent are without effect.");
        r->admission = judge(r);
        log_change(ADMISSION_OPEN, r);
        return sd_event_add_time_relative(
                        r->event,
                        &r->admission_timer,
                        CLOCK_MONOTONIC,
                        LOOK_USEC,
                        USEC_PER_SEC,
                        on_timer,
                        r);
}
