/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/limits/limit-files.h"
#include "runner/limits/limit-victim.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-limits-internal.h"

/* The kernel's line is in the journal some moments after the kill. */
#define VICTIM_USEC (100 * USEC_PER_MSEC)
#define VICTIM_TRIES 10
/* From the kill of the agent to the end of all that it leaves. */
#define KILL_NEAR_USEC (10 * USEC_PER_SEC)

static void
log_event(RunLimits *l, LimitEvent what, const char *limit, uint64_t events, const char *victim) {
        static const char *const texts[_LIMIT_EVENT_MAX] = {
                [LIMIT_EVENT_OOM_KILL] = "processes were killed by the OOM killer",
                [LIMIT_EVENT_MEMORY_HIGH] = "times throttled at memoryHigh",
                [LIMIT_EVENT_TASKS] = "forks were refused at tasksMax",
        };
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_LIMIT", limit);
        log_context_push(&log, "NORTHFLARE_VICTIM", victim);
        log_full(
                what == LIMIT_EVENT_OOM_KILL ? LOG_WARNING : LOG_NOTICE,
                0,
                NF_MESSAGE_LIMIT_REACHED,
                "Conversation %s: %llu %s%s%s%s.",
                l->run->row.conversation,
                (unsigned long long) events,
                texts[what],
                startswith(limit, "workspace") ? ", by the limit of the workspace" : "",
                victim ? ", last " : "",
                strempty(victim));
}

/* By the kernel's own line where it was found, else by which counter has moved. */
static const char *killer(RunLimits *l, const LimitCounts *now, const LimitVictim *victim) {
        if (victim && victim->limit)
                return streq(victim->limit, l->cgroup)         ? "memoryMax" :
                        streq_ptr(victim->limit, l->workspace) ? "workspaceMemoryMax" :
                                                                 "memory";
        return now->oom > l->reported.oom              ? "memoryMax" :
                l->slice_ooms > l->slice_ooms_reported ? "workspaceMemoryMax" :
                                                         "memory";
}

static void report_event(
        RunLimits *l,
        LimitEvent what,
        uint64_t events,
        const LimitCounts *now,
        const LimitVictim *whom) {
        const char *victim = whom ? whom->name : NULL;
        bool workspace_tasks = what == LIMIT_EVENT_TASKS && l->workspace && limit_workspace_tasks(l->fd);
        const char *limit = what == LIMIT_EVENT_MEMORY_HIGH ? "memoryHigh" :
                workspace_tasks                             ? "workspaceTasksMax" :
                what == LIMIT_EVENT_TASKS                   ? "tasksMax" :
                                                              killer(l, now, whom);
        LimitCounts before = l->reported;
        uint64_t slice_before = l->slice_ooms_reported;
        _cleanup_json_ Json *params = json_object_new_object();
        bool whole = params && json_set_string(params, "limit", limit) >= 0 &&
                json_set_u64(params, "hits", events) >= 0 && json_set_text(params, "victim", victim) >= 0;

        l->reported.events[what] += events;
        if (what == LIMIT_EVENT_OOM_KILL) {
                l->reported.oom = now->oom;
                l->slice_ooms_reported = l->slice_ooms;
        }
        if (!whole || run_limits_emit(l, "conversation.limit", params) < 0) {
                l->reported = before;
                l->slice_ooms_reported = slice_before;
                return;
        }
        if (what == LIMIT_EVENT_OOM_KILL) {
                l->kill_reported_usec = now_usec(CLOCK_REALTIME);
                if (streq(limit, "workspaceMemoryMax"))
                        l->workspace_kill_usec = l->kill_reported_usec;
        }
        log_event(l, what, limit, events, victim);
}

/* 1: reported; 0: its name may still come. */
static int report_kill(RunLimits *l, bool last) {
        _cleanup_(limit_victim_done) LimitVictim victim = {};
        int found;

        if (l->kill_events == 0)
                return 1;
        found = limit_victim_find(l->cgroup, l->kill_since_usec, &victim);
        if (found == 0 && !last)
                return 0;
        l->kill_since_usec = now_usec(CLOCK_REALTIME);
        uint64_t events = l->kill_events;
        l->kill_events = 0;
        report_event(l, LIMIT_EVENT_OOM_KILL, events, &l->kill_now, found > 0 ? &victim : NULL);
        return 1;
}

static int on_victim(sd_event_source *source, uint64_t usec, void *userdata) {
        RunLimits *l = userdata;
        LOG_ABOUT_RUN(l->run);

        if (l->run->ended || report_kill(l, ++l->kill_tries >= VICTIM_TRIES) > 0)
                return 0;
        oneshot_arm(source, VICTIM_USEC);
        return 0;
}

static void on_event(LimitEvent what, uint64_t events, const LimitCounts *now, void *userdata) {
        RunLimits *l = userdata;
        LOG_ABOUT_RUN(l->run);

        /* The last ones are reported with its end, from the statistics of the end. */
        if (l->run->ended || l->run->ctx->broken)
                return;
        if (what != LIMIT_EVENT_OOM_KILL) {
                report_event(l, what, events, now, NULL);
                return;
        }
        l->kill_events += events;
        l->kill_now = *now;
        l->kill_tries = 0;
        if (oneshot_start(&l->victim, l->run->ctx->event, VICTIM_USEC, on_victim, l) < 0)
                (void) report_kill(l, true);
}

void run_limits_set_frozen(bool frozen, void *userdata) {
        RunLimits *l = userdata;
        LOG_ABOUT_RUN(l->run);

        if (l->run->ended || l->run->ctx->broken)
                return;
        l->run->report->frozen(frozen, l->run->userdata);
        if (run_limits_save(l) < 0)
                log_debug(
                        "Conversation %s: failed to store that it is %s.",
                        l->run->row.conversation,
                        frozen ? "frozen" : "thawed");
}

static void on_changed(void *userdata) {
        RunLimits *l = userdata;

        run_limits_sample(l->run);
}

const LimitWatchOps run_limits_watch_ops = {
        .changed = on_changed,
        .event = on_event,
        .frozen = run_limits_set_frozen,
};

void run_limits_finish(Run *r, Json *resources) {
        static const char *const counters[_LIMIT_EVENT_MAX] = {
                [LIMIT_EVENT_OOM_KILL] = "oomKills",
                [LIMIT_EVENT_MEMORY_HIGH] = "memoryHighEvents",
                [LIMIT_EVENT_TASKS] = "pidsMaxEvents",
        };
        RunLimits *l = r->limits;

        if (!l)
                return;
        l->watch = limit_watch_free(l->watch);
        for (LimitEvent i = 0; i < _LIMIT_EVENT_MAX; i++) {
                _cleanup_(limit_victim_done) LimitVictim victim = {};
                /* Whose limit it was is not among the statistics; the scope's own is by far the likeliest, unless its
                 * workspace's was seen to be reached. */
                LimitCounts now = { .oom = l->reported.oom + (l->slice_ooms <= l->slice_ooms_reported) };
                uint64_t count = 0;
                int found = 0;

                if (json_get_u64(resources, counters[i], &count) <= 0 || count <= l->reported.events[i])
                        continue;
                if (i == LIMIT_EVENT_OOM_KILL && l->cgroup)
                        found = limit_victim_find(l->cgroup, l->kill_since_usec, &victim);
                report_event(l, i, count - l->reported.events[i], &now, found > 0 ? &victim : NULL);
        }
        l->kill_events = 0;
}

bool run_limits_oom(Run *r, Json *outcome) {
        Json *resources = outcome ? json_get(outcome, "resources") : r->end.usage;
        uint64_t count = 0, ended = now_usec(CLOCK_REALTIME);
        RunLimits *l = r->limits;

        if (run_limits_oomd(r))
                return true;
        (void) json_get_u64(resources, "oomKills", &count);
        if (count == 0 && l)
                count = l->reported.events[LIMIT_EVENT_OOM_KILL];
        if (count == 0)
                return false;
        (void) json_get_u64(outcome, "endedUsec", &ended);
        return !l || l->kill_reported_usec == 0 || l->kill_reported_usec + KILL_NEAR_USEC > ended;
}

bool run_limits_oom_by_workspace(Run *r, Json *outcome) {
        uint64_t ended = now_usec(CLOCK_REALTIME);

        (void) json_get_u64(outcome, "endedUsec", &ended);
        return r->limits && r->limits->workspace_kill_usec > 0 &&
                r->limits->workspace_kill_usec + KILL_NEAR_USEC > ended;
}

int run_limits_directory(Run *r) {
        return r->limits ? r->limits->fd : -EBADF;
}

uint64_t run_limits_events(Run *r, LimitEvent what) {
        return r->limits ? r->limits->reported.events[what] : 0;
}

bool run_limits_oomd(Run *r) {
        bool killed = false;

        /* The supervisor reports the agent's cgroup. On the scope's own the mark is where that has no memory controller
         * to hand down, or where an administrator removed the agent's. */
        if (json_get_bool(r->end.outcome, "oomd", &killed) > 0 && killed)
                return true;
        return r->limits && cgroup_is_oomd_victim(r->limits->fd);
}

void run_limits_sample(Run *r) {
        RunLimits *l = r->limits;
        CgroupUsage now;

        if (!l || l->fd < 0)
                return;
        cgroup_usage(l->fd, &now);
        if (l->workspace)
                (void) limit_workspace_ooms(l->fd, &l->slice_ooms);
        for (size_t i = 0; i < ELEMENTSOF(now.values); i++)
                /* They only grow; one that is not there now was read before, or never. */
                if (now.values[i].known)
                        l->usage.values[i] = now.values[i];
}

/* The cgroup may be gone before its last counter was read; the kernel's line stays. */
static void count_kill(RunLimits *l) {
        _cleanup_(limit_victim_done) LimitVictim victim = {};
        struct CgroupValue *f = l->usage.values;

        while (!streq(f->name, "oomKills"))
                f++;
        if ((f->known && f->value > 0) || !l->cgroup ||
            limit_victim_find(l->cgroup, now_usec(CLOCK_REALTIME) - KILL_NEAR_USEC, &victim) == 0)
                return;
        f->known = true;
        f->value = 1;
}

Json *run_limits_usage(Run *r) {
        _cleanup_json_ Json *o = json_object_new_object();

        if (!o || !r->limits)
                return NULL;
        run_limits_sample(r);
        count_kill(r->limits);
        for (size_t i = 0; i < ELEMENTSOF(r->limits->usage.values); i++) {
                const struct CgroupValue *f = &r->limits->usage.values[i];

                if (f->known ? json_set_u64(o, f->name, f->value) < 0 :
                               json_object_object_add(o, f->name, NULL) < 0)
                        return NULL;
        }
        return TAKE_PTR(o);
}
