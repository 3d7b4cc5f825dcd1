/* SPDX-License-Identifier: MIT */
#include "common/fileio.h"
#include "runner/host/admission.h"

#define FILE_MAX 16384

const char *admission_to_string(Admission a) {
        static const char *const names[_ADMISSION_MAX] = {
                [ADMISSION_OPEN] = "",
                [ADMISSION_DRAINING] = "draining",
                [ADMISSION_CAPACITY] = "capacity",
                [ADMISSION_DISK] = "disk",
                [ADMISSION_MEMORY] = "memory",
                [ADMISSION_MEMORY_PRESSURE] = "memory-pressure",
                [ADMISSION_CPU_PRESSURE] = "cpu-pressure",
                [ADMISSION_UNACKNOWLEDGED] = "unacknowledged",
        };

        return names[a];
}

/* The number of decimal digits that text begins with; *ret_end is behind it. */
static bool read_digits(const char *text, uint64_t *ret, const char **ret_end) {
        char word[24];
        size_t n = strspn(text, "0123456789");

        if (n == 0 || n >= sizeof(word))
                return false;
        memcpy(word, text, n);
        word[n] = 0;
        *ret_end = text + n;
        return safe_atou64(word, ret) >= 0;
}

/* "MemAvailable:    1234 kB" */
static bool read_memory(int proc_fd, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        const char *at, *end;
        uint64_t kib;

        if (read_file_at(proc_fd, "meminfo", FILE_MAX, &text, NULL) < 0 ||
            !(at = strstr(text, "\nMemAvailable:")))
                return false;
        at += strlen("\nMemAvailable:");
        if (!read_digits(at + strspn(at, " "), &kib, &end) || !startswith(end, " kB") ||
            kib > UINT64_MAX / 1024)
                return false;
        *ret = kib * 1024;
        return true;
}

/* "some avg10=12.34 avg60=…": the share of time in which some task waited. */
static bool read_pressure(int proc_fd, const char *name, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        const char *at, *end;
        uint64_t whole, hundredths;

        if (read_file_at(proc_fd, name, FILE_MAX, &text, NULL) < 0 ||
            !(at = startswith(text, "some avg10=")) || !read_digits(at, &whole, &end) || *end != '.' ||
            !read_digits(end + 1, &hundredths, &at) || at - end != 3 || whole > 100)
                return false;
        *ret = whole * 100 + hundredths;
        return true;
}

void admission_measure(int proc_fd, AdmissionMeasurements *ret) {
        AdmissionMeasurements f = {};

        f.has_memory = read_memory(proc_fd, &f.memory_available);
        f.has_memory_pressure = read_pressure(proc_fd, "pressure/memory", &f.memory_pressure);
        f.has_cpu_pressure = read_pressure(proc_fd, "pressure/cpu", &f.cpu_pressure);
        *ret = f;
}

Admission admission_judge(const AdmissionMeasurements *f, const AdmissionBounds *b) {
        if (f->has_memory && f->memory_available < b->min_free_memory)
                return ADMISSION_MEMORY;
        if (f->has_memory_pressure && b->max_memory_pressure > 0 &&
            f->memory_pressure > b->max_memory_pressure * 100)
                return ADMISSION_MEMORY_PRESSURE;
        if (f->has_cpu_pressure && b->max_cpu_pressure > 0 && f->cpu_pressure > b->max_cpu_pressure * 100)
                return ADMISSION_CPU_PRESSURE;
        return ADMISSION_OPEN;
}

char *admission_explain(Admission a, const AdmissionMeasurements *f, const AdmissionBounds *b) {
        bool cpu = a == ADMISSION_CPU_PRESSURE;
        uint64_t is = cpu ? f->cpu_pressure : f->memory_pressure;

        if (a == ADMISSION_MEMORY)
                return xasprintf(
                        "%llu MiB of memory are available, less than minFreeMemoryBytes (%llu MiB) requires",
                        (unsigned long long) f->memory_available >> 20,
                        (unsigned long long) b->min_free_memory >> 20);
        if (a != ADMISSION_MEMORY_PRESSURE && !cpu)
                return NULL;
        return xasprintf(
                "processes wait for %s %llu.%02llu %% of the time, more than max%sPressurePercent (%llu)",
                cpu ? "a processor" : "memory",
                (unsigned long long) is / 100,
                (unsigned long long) is % 100,
                cpu ? "Cpu" : "Memory",
                (unsigned long long) (cpu ? b->max_cpu_pressure : b->max_memory_pressure));
}
