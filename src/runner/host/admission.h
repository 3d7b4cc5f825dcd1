/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Decides by the kernel's statistics whether this machine can run one more conversation. */

typedef struct AdmissionMeasurements {
        uint64_t memory_available;              /* bytes */
        uint64_t memory_pressure, cpu_pressure; /* of the last ten seconds, in hundredths of a percent */
        bool has_memory, has_memory_pressure, has_cpu_pressure;
} AdmissionMeasurements;

/* 0: no bound */
typedef struct AdmissionBounds {
        uint64_t min_free_memory;
        uint64_t max_memory_pressure, max_cpu_pressure; /* percent */
} AdmissionBounds;

typedef enum Admission {
        ADMISSION_OPEN,
        ADMISSION_DRAINING,
        ADMISSION_CAPACITY,
        ADMISSION_DISK,
        ADMISSION_MEMORY,
        ADMISSION_MEMORY_PRESSURE,
        ADMISSION_CPU_PRESSURE,
        ADMISSION_UNACKNOWLEDGED,
        _ADMISSION_MAX,
} Admission;

/* "", draining, capacity, disk, memory, memory-pressure, cpu-pressure, unacknowledged */
const char *admission_to_string(Admission a);

/* Reads meminfo, pressure/memory and pressure/cpu below a directory (/proc). What is missing there is unknown. */
void admission_measure(int proc_fd, AdmissionMeasurements *ret);
/* ADMISSION_OPEN, or one of the three that are of the machine. What is not known refuses nothing. */
Admission admission_judge(const AdmissionMeasurements *f, const AdmissionBounds *b);
/* What the judgement was about, for people: "maxCpuPressurePercent (60) …"; NULL: out of memory, or none of the three. */
char *admission_explain(Admission a, const AdmissionMeasurements *f, const AdmissionBounds *b);
