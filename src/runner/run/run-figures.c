/* SPDX-License-Identifier: MIT */
#include "common/cgroup.h"
#include "runner/run/run-figures.h"
#include "runner/run/run-hits.h"
#include "runner/run/run-internal.h"

/* The kernel adds such figures up over a whole tree when it is asked, so it is not asked more often than a person can read,
 * however many ask us. */
#define SAMPLE_USEC USEC_PER_SEC

void figures_add(Figures *f, const char *name, uint64_t value) {
        if (f->n >= ELEMENTSOF(f->list))
                return;
        f->list[f->n].name = name;
        f->list[f->n++].value = value;
}

static void sample(Run *run) {
        static const struct {
                const char *name, *file, *key;
        } sources[] = {
                {"cpuUsec",        "cpu.stat",            "usage_usec "},
                { "memoryCurrent", "memory.current",      ""           },
                { "memoryPeak",    "memory.peak",         ""           },
                { "swapCurrent",   "memory.swap.current", ""           },
                { "tasksCurrent",  "pids.current",        ""           },
                { "ioReadBytes",   NULL,                  "rbytes="    },
                { "ioWriteBytes",  NULL,                  "wbytes="    },
        };
        int fd = run_limits_folder(run);
        uint64_t value;

        run->figures = (Figures){};
        if (fd < 0)
                return;
        figures_add(&run->figures, "sampledUsec", now_usec(CLOCK_MONOTONIC));
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                if (sources[i].file ? cgroup_read_value(fd, sources[i].file, sources[i].key, &value) :
                                      cgroup_read_io(fd, sources[i].key, &value))
                        figures_add(&run->figures, sources[i].name, value);
}

void run_figures(Run *r, Figures *ret) {
        *ret = (Figures){};
        if (r->over)
                return;
        if (r->figures.n == 0 || now_usec(CLOCK_MONOTONIC) - r->figures.list[0].value >= SAMPLE_USEC)
                sample(r);
        *ret = r->figures;
}
