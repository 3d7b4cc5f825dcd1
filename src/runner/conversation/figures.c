/* SPDX-License-Identifier: MIT */
#include "common/cgroup.h"
#include "runner/conversation/conversation-internal.h"

/* What a conversation uses, for those who watch. The kernel adds such figures up over a whole tree when it is asked, so it
 * is not asked more often than a person can read, however many ask us. */
#define SAMPLE_USEC USEC_PER_SEC

static void add(ConversationFigures *f, const char *name, uint64_t value) {
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

        run->figures = (ConversationFigures){};
        if (fd < 0)
                return;
        add(&run->figures, "sampledUsec", now_usec(CLOCK_MONOTONIC));
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                if (sources[i].file ? cgroup_read_figure(fd, sources[i].file, sources[i].key, &value) :
                                      cgroup_read_io(fd, sources[i].key, &value))
                        add(&run->figures, sources[i].name, value);
}

void conversation_figures(Conversation *c, ConversationFigures *ret) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        DriverUsage usage;

        *ret = (ConversationFigures){};
        if (c->run && !c->run->over) {
                if (c->run->figures.n == 0 || now - c->run->figures.list[0].value >= SAMPLE_USEC)
                        sample(c->run);
                *ret = c->run->figures;
        }
        conversation_usage(c, &usage);
        add(ret, "cacheReadTokens", usage.cache_read_tokens);
        add(ret, "cacheWriteTokens", usage.cache_write_tokens);
        add(ret, "queuedMessages", c->n_pending);
        add(ret, "queuedEvents", conversation_queued_events(c));
        add(ret, "queuedBytes", conversation_queued_bytes(c));
}
