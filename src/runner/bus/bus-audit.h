/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The record of who called what. b must outlive it. */
int bus_audit_new(BusObjects *b, BusAudit **ret);
/* Writes what it still holds. */
BusAudit *bus_audit_free(BusAudit *a);
/* Writes a call down. refusal: why it is not allowed, or NULL where it is. */
void bus_audit(BusAudit *a, const BusMethod *row, const BusRequest *q, const char *refusal);
