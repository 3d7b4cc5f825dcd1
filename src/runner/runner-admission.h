/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/host/admission.h"
#include "runner/link/link.h"
#include "runner/run/run-context.h"
#include "runner/runner-announce.h"
#include "runner/runner-disk.h"
#include "runner/runner-drain.h"
#include "runner/runner-registry.h"

/* Decides whether a new conversation is accepted. */
typedef struct AdmissionGate AdmissionGate;

/* All are borrowed. */
int admission_gate_new(
        const RunContext *ctx,
        const Registry *conversations,
        Disk *disk,
        const Drain *drain,
        Announcer *announcer,
        AdmissionGate **ret);
AdmissionGate *admission_gate_free(AdmissionGate *g);
/* Checks the machine for the first time, and again at intervals from now on. */
int admission_gate_open(AdmissionGate *g);
/* The link on which a change is reported at once; borrowed. */
void admission_gate_set_link(AdmissionGate *g, Link *link);
/* Decides again on the last statistics of the machine: something else changed that may matter for admission. */
void admission_gate_check(AdmissionGate *g);
/* Checks with fresh statistics of the machine, and returns the result. */
Admission admission_gate_ask(AdmissionGate *g);
/* Returns the result of the last check. */
Admission admission_gate_get(const AdmissionGate *g);
/* Returns why conversations are refused, for people and for the caller to free; NULL: they are not, or out of
 * memory. */
char *admission_gate_text(const AdmissionGate *g);
/* Makes {open, reason, text} for the heartbeat. Its contents count as reported. */
int admission_gate_json(AdmissionGate *g, Json **ret);
/* Reports whether it refuses a conversation of that origin. */
bool admission_is_for_origin(Admission a, const char *origin);
