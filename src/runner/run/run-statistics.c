/* SPDX-License-Identifier: MIT */
#include "common/cgroup.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-statistics.h"

/* The kernel adds such statistics up over a whole tree when it is asked, so it is not asked more often than a person
 * can read, however many ask us. */
#define SAMPLE_USEC USEC_PER_SEC

void statistics_add(Statistics *f, const char *name, uint64_t value) {
        if (f->n >= ELEMENTSOF(f->list))
                return;
        f->list[f->n].name = name;
        f->list[f->n++].value = value;
}

static void sample(Run *run) {
        static const struct {
                const char *name, *file, *key;
        } sources[] = {
                { "cpuUsec", "cpu.stat", "usage_usec " }, { "memoryCurrent", "memory.current", "" },
                { "memoryPeak", "memory.peak", "" },      { "swapCurrent", "memory.swap.current", "" },
                { "tasksCurrent", "pids.current", "" },   { "ioReadBytes", NULL, "rbytes=" },
                { "ioWriteBytes", NULL, "wbytes=" },
        };
        int fd = run_limits_directory(run);
        uint64_t value;

        run->statistics = (Statistics){};
        if (fd < 0)
                return;
        statistics_add(&run->statistics, "sampledUsec", now_usec(CLOCK_MONOTONIC));
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                if (sources[i].file ? cgroup_read_value(fd, sources[i].file, sources[i].key, &value) :
                                      cgroup_read_io(fd, sources[i].key, &value))
                        statistics_add(&run->statistics, sources[i].name, value);
}

void run_statistics(Run *r, Statistics *ret) {
        *ret = (Statistics){};
        if (r->ended)
                return;
        if (r->statistics.n == 0 || now_usec(CLOCK_MONOTONIC) - r->statistics.list[0].value >= SAMPLE_USEC)
                sample(r);
        *ret = r->statistics;
}
