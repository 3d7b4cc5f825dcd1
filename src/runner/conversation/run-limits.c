/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <time.h>

#include "common/cgroup.h"
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/limit-files.h"
#include "runner/conversation/limit-filter.h"
#include "runner/conversation/limit-victim.h"
#include "runner/conversation/limit-watch.h"
#include "runner/conversation/run-limits.h"

/* The files of a busy cgroup change a hundred times a second. */
#define REREAD_USEC (200 * USEC_PER_MSEC)
/* The kernel's line is in the journal some moments after the kill. */
#define VICTIM_USEC (100 * USEC_PER_MSEC)
#define VICTIM_TRIES 10
/* From the kill of the agent to the end of all that it leaves. */
#define KILL_NEAR_USEC (10 * USEC_PER_SEC)

struct RunLimits {
        Run *run;
        Json *asked, *effective, *missing; /* effective, missing: as last told */
        Json *filter;                      /* of addresses, as last told; NULL: none */
        LimitFilterQuery *filter_query;
        bool filter_again;   /* something has changed while systemd was asked */
        bool addresses_held; /* it was seen once that filters are */
        LimitCounts told;
        int fd;                   /* the scope's folder */
        char *cgroup, *workspace; /* of the scope, and of the workspace's slice that it is in, or NULL */
        CgroupUsage usage;        /* as last read */
        uint64_t slice_ooms, slice_ooms_told;
        LimitWatch *watch;
        WatchSlot *slot;
        sd_event_source *reread, *victim;

        /* a kill that waits for its name */
        LimitCounts kill_now;
        uint64_t kill_hits, kill_since_usec;
        unsigned kill_tries;
        uint64_t kill_told_usec;      /* CLOCK_REALTIME; 0: none, or before the runner was restarted */
        uint64_t workspace_kill_usec; /* the last one because of the workspace's limit */
};

RunLimits *run_limits_free(RunLimits *l) {
        if (!l)
                return NULL;
        limit_watch_free(l->watch);
        limit_filter_query_free(l->filter_query);
        watch_slot_free(l->slot);
        sd_event_source_disable_unref(l->reread);
        sd_event_source_disable_unref(l->victim);
        safe_close(l->fd);
        Json *objects[] = { l->asked, l->effective, l->missing, l->filter };
        for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                if (objects[i])
                        json_object_put(objects[i]);
        free(l->cgroup);
        free(l->workspace);
        free(l);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(RunLimits *, run_limits_free);

static void replace(Json **p, Json *value_consume) {
        if (*p)
                json_object_put(*p);
        *p = value_consume;
}

/* ---- the store ---- */

static char *store_key(Run *r) {
        return xasprintf("limits:%s:%u", r->row.conversation, r->row.run);
}

static int save(RunLimits *l) {
        Conversation *c = l->run->conversation;
        _cleanup_free_ char *key = store_key(l->run);
        _cleanup_json_ Json *o = json_object_new_object();

        if (!key || !o)
                return -ENOMEM;
        (void) json_set(o, "asked", json_object_get(l->asked));
        if (l->effective)
                (void) json_set(o, "effective", json_object_get(l->effective));
        if (l->missing)
                (void) json_set(o, "missing", json_object_get(l->missing));
        (void) json_set_u64(o, "oomKills", l->told.hits[LIMIT_HIT_OOM_KILL]);
        (void) json_set_u64(o, "memoryHigh", l->told.hits[LIMIT_HIT_MEMORY_HIGH]);
        (void) json_set_u64(o, "tasksMax", l->told.hits[LIMIT_HIT_TASKS]);
        (void) json_set_u64(o, "oom", l->told.oom);
        if (l->filter)
                (void) json_set(o, "ipFilter", json_object_get(l->filter));
        (void) json_set_bool(o, "addressesHeld", l->addresses_held);
        if (l->workspace)
                (void) json_set_u64(o, "workspaceOom", l->slice_ooms_told);
        (void) json_set_bool(o, "frozen", c->frozen);
        return store_set(c->ctx->store, key, json_text(o));
}

int run_limits_forget(Run *r) {
        _cleanup_free_ char *key = store_key(r);

        return key ? store_set(r->conversation->ctx->store, key, NULL) : -ENOMEM;
}

static int new_limits(Run *r, Json *asked_consume, RunLimits **ret) {
        RunLimits *l = new0(RunLimits, 1);

        if (!l || !asked_consume) {
                free(l);
                if (asked_consume)
                        json_object_put(asked_consume);
                return -ENOMEM;
        }
        *l = (RunLimits){ .run = r, .asked = asked_consume, .fd = -EBADF };
        cgroup_usage(-EBADF, &l->usage);
        *ret = l;
        return 0;
}

int run_limits_begin(Run *r, const Limits *asked) {
        _cleanup_(run_limits_freep) RunLimits *l = NULL;
        int k;

        k = new_limits(r, limits_to_json(asked), &l);
        if (k >= 0)
                k = save(l);
        if (k < 0)
                return k;
        run_limits_free(r->limits);
        r->limits = TAKE_PTR(l);
        return 0;
}

int run_limits_restore(Run *r) {
        _cleanup_free_ char *key = store_key(r), *text = NULL;
        _cleanup_json_ Json *o = NULL;
        bool frozen = false;
        RunLimits *l;
        int k;

        if (!key)
                return -ENOMEM;
        k = store_get(r->conversation->ctx->store, key, &text);
        if (k <= 0)
                return k;
        k = json_parse(text, strlen(text), &o, NULL);
        if (k < 0)
                return k;
        Json *asked = json_get(o, "asked");
        k = new_limits(r, asked ? json_object_get(asked) : json_object_new_object(), &l);
        if (k < 0)
                return k;
        l->effective = json_object_get(json_get(o, "effective"));
        l->missing = json_object_get(json_get(o, "missing"));
        l->filter = json_object_get(json_get(o, "ipFilter"));
        (void) json_get_u64(o, "oomKills", &l->told.hits[LIMIT_HIT_OOM_KILL]);
        (void) json_get_u64(o, "memoryHigh", &l->told.hits[LIMIT_HIT_MEMORY_HIGH]);
        (void) json_get_u64(o, "tasksMax", &l->told.hits[LIMIT_HIT_TASKS]);
        (void) json_get_u64(o, "oom", &l->told.oom);
        (void) json_get_u64(o, "workspaceOom", &l->slice_ooms_told);
        (void) json_get_bool(o, "addressesHeld", &l->addresses_held);
        (void) json_get_bool(o, "frozen", &frozen);
        r->conversation->frozen = frozen;
        run_limits_free(r->limits);
        r->limits = l;
        return 1;
}

/* An event and what it leaves in the store, at once or not at all. */
static int emit(RunLimits *l, const char *method, const char *members) {
        Conversation *c = l->run->conversation;
        int k;

        k = store_begin(c->ctx->store);
        if (k >= 0) {
                k = conversation_emit(c, NULL, method, members);
                if (k >= 0)
                        k = save(l);
                if (k < 0)
                        store_rollback(c->ctx->store);
                else
                        k = store_commit(c->ctx->store);
        }
        if (k < 0)
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
        else
                conversation_changed(c);
        return k;
}

/* ---- what is hit ---- */

static void log_hit(RunLimits *l, LimitHit what, const char *limit, uint64_t hits, const char *victim) {
        static const char *const texts[_LIMIT_HIT_MAX] = {
                [LIMIT_HIT_OOM_KILL] = "processes were killed for memory",
                [LIMIT_HIT_MEMORY_HIGH] = "times slowed down at memoryHigh",
                [LIMIT_HIT_TASKS] = "forks were refused at tasksMax",
        };
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", l->run->row.conversation);
        log_context_push(&log, "NORTHFLARE_TASK_ID", l->run->conversation->row.task);
        log_context_push(&log, "NORTHFLARE_UNIT", l->run->row.unit);
        log_context_push(&log, "NORTHFLARE_LIMIT", limit);
        log_context_push(&log, "NORTHFLARE_VICTIM", victim);
        log_full(what == LIMIT_HIT_OOM_KILL ? LOG_WARNING : LOG_NOTICE,
                 0,
                 NF_MESSAGE_LIMIT_HIT,
                 "Conversation %s: %llu %s%s%s%s.",
                 l->run->row.conversation,
                 (unsigned long long) hits,
                 texts[what],
                 startswith(limit, "workspace") ? ", by the limit of the workspace" : "",
                 victim ? ", last " : "",
                 strempty(victim));
}

/* By the kernel's own line where it was found, else by which counter has moved. */
static const char *killer(RunLimits *l, const LimitCounts *now, const LimitVictim *victim) {
        if (victim && victim->limit)
                return streq(victim->limit, l->cgroup)                 ? "memoryMax" :
                                streq_ptr(victim->limit, l->workspace) ? "workspaceMemoryMax" :
                                                                         "memory";
        return now->oom > l->told.oom                      ? "memoryMax" :
                        l->slice_ooms > l->slice_ooms_told ? "workspaceMemoryMax" :
                                                             "memory";
}

static void
tell_hit(RunLimits *l, LimitHit what, uint64_t hits, const LimitCounts *now, const LimitVictim *whom) {
        const char *victim = whom ? whom->name : NULL;
        bool workspace_tasks = what == LIMIT_HIT_TASKS && l->workspace && limit_workspace_tasks(l->fd);
        const char *limit = what == LIMIT_HIT_MEMORY_HIGH ? "memoryHigh" :
                        workspace_tasks                   ? "workspaceTasksMax" :
                        what == LIMIT_HIT_TASKS           ? "tasksMax" :
                                                            killer(l, now, whom);
        LimitCounts before = l->told;
        uint64_t slice_before = l->slice_ooms_told;
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_printf(&b, "\"limit\":\"%s\",\"hits\":%llu", limit, (unsigned long long) hits);
        if (victim) {
                (void) buffer_append_str(&b, ",\"victim\":");
                (void) buffer_append_json_str(&b, victim);
        }
        l->told.hits[what] += hits;
        if (what == LIMIT_HIT_OOM_KILL) {
                l->told.oom = now->oom;
                l->slice_ooms_told = l->slice_ooms;
        }
        if (b.failed || emit(l, "conversation.limit", b.data) < 0) {
                l->told = before;
                l->slice_ooms_told = slice_before;
                return;
        }
        if (what == LIMIT_HIT_OOM_KILL) {
                l->kill_told_usec = now_usec(CLOCK_REALTIME);
                if (streq(limit, "workspaceMemoryMax"))
                        l->workspace_kill_usec = l->kill_told_usec;
        }
        log_hit(l, what, limit, hits, victim);
}

/* 1: told; 0: its name may still come. */
static int tell_kill(RunLimits *l, bool last) {
        _cleanup_(limit_victim_done) LimitVictim victim = {};
        int found;

        if (l->kill_hits == 0)
                return 1;
        found = limit_victim_find(l->cgroup, l->kill_since_usec, &victim);
        if (found == 0 && !last)
                return 0;
        l->kill_since_usec = now_usec(CLOCK_REALTIME);
        uint64_t hits = l->kill_hits;
        l->kill_hits = 0;
        tell_hit(l, LIMIT_HIT_OOM_KILL, hits, &l->kill_now, found > 0 ? &victim : NULL);
        return 1;
}

static int on_victim(sd_event_source *source, uint64_t usec, void *userdata) {
        RunLimits *l = userdata;

        if (l->run->over || tell_kill(l, ++l->kill_tries >= VICTIM_TRIES) > 0)
                return 0;
        (void) sd_event_source_set_time_relative(source, VICTIM_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_hit(LimitHit what, uint64_t hits, const LimitCounts *now, void *userdata) {
        RunLimits *l = userdata;
        int k;

        /* Its last ones are told with its end, from the figures of the end. */
        if (l->run->over || l->run->conversation->ctx->broken)
                return;
        if (what != LIMIT_HIT_OOM_KILL) {
                tell_hit(l, what, hits, now, NULL);
                return;
        }
        l->kill_hits += hits;
        l->kill_now = *now;
        l->kill_tries = 0;
        if (l->victim) {
                k = sd_event_source_set_time_relative(l->victim, VICTIM_USEC);
                if (k >= 0)
                        k = sd_event_source_set_enabled(l->victim, SD_EVENT_ONESHOT);
        } else
                k = sd_event_add_time_relative(
                                l->run->conversation->ctx->event,
                                &l->victim,
                                CLOCK_MONOTONIC,
                                VICTIM_USEC,
                                USEC_PER_MSEC,
                                on_victim,
                                l);
        if (k < 0)
                (void) tell_kill(l, true);
}

static void on_frozen(bool frozen, void *userdata) {
        RunLimits *l = userdata;
        Conversation *c = l->run->conversation;

        if (l->run->over || c->ctx->broken)
                return;
        conversation_set_frozen(c, frozen);
        if (save(l) < 0)
                log_debug("Conversation %s: %s is not stored.", c->row.id, frozen ? "frozen" : "thawed");
}

static void on_looked(void *userdata) {
        RunLimits *l = userdata;

        run_limits_sample(l->run);
}

static const LimitWatchOps watch_ops = { .looked = on_looked, .hit = on_hit, .frozen = on_frozen };

void run_limits_finish(Run *r, Json *resources) {
        static const char *const figures[_LIMIT_HIT_MAX] = {
                [LIMIT_HIT_OOM_KILL] = "oomKills",
                [LIMIT_HIT_MEMORY_HIGH] = "memoryHighEvents",
                [LIMIT_HIT_TASKS] = "pidsMaxEvents",
        };
        RunLimits *l = r->limits;

        if (!l)
                return;
        l->watch = limit_watch_free(l->watch);
        for (LimitHit i = 0; i < _LIMIT_HIT_MAX; i++) {
                _cleanup_(limit_victim_done) LimitVictim victim = {};
                /* Whose limit it was is not among the figures; the scope's own is by far the likeliest, unless its
                 * workspace's was seen to be hit. */
                LimitCounts now = { .oom = l->told.oom + (l->slice_ooms <= l->slice_ooms_told) };
                uint64_t count = 0;
                int found = 0;

                if (json_get_u64(resources, figures[i], &count) <= 0 || count <= l->told.hits[i])
                        continue;
                if (i == LIMIT_HIT_OOM_KILL && l->cgroup)
                        found = limit_victim_find(l->cgroup, l->kill_since_usec, &victim);
                tell_hit(l, i, count - l->told.hits[i], &now, found > 0 ? &victim : NULL);
        }
        l->kill_hits = 0;
}

bool run_limits_oom(Run *r, Json *outcome) {
        Json *resources = outcome ? json_get(outcome, "resources") : r->usage;
        uint64_t count = 0, ended = now_usec(CLOCK_REALTIME);
        RunLimits *l = r->limits;

        if (run_limits_oomd(r))
                return true;
        (void) json_get_u64(resources, "oomKills", &count);
        if (count == 0 && l)
                count = l->told.hits[LIMIT_HIT_OOM_KILL];
        if (count == 0)
                return false;
        (void) json_get_u64(outcome, "endedUsec", &ended);
        return !l || l->kill_told_usec == 0 || l->kill_told_usec + KILL_NEAR_USEC > ended;
}

bool run_limits_oom_by_workspace(Run *r, Json *outcome) {
        uint64_t ended = now_usec(CLOCK_REALTIME);

        (void) json_get_u64(outcome, "endedUsec", &ended);
        return r->limits && r->limits->workspace_kill_usec > 0 &&
                        r->limits->workspace_kill_usec + KILL_NEAR_USEC > ended;
}

int run_limits_folder(Run *r) {
        return r->limits ? r->limits->fd : -EBADF;
}

uint64_t run_limits_hits(Run *r, LimitHit what) {
        return r->limits ? r->limits->told.hits[what] : 0;
}

bool run_limits_oomd(Run *r) {
        bool killed = false;

        /* Of the agent's cgroup the supervisor tells. On the scope's own the mark is where that has no memory controller
         * to hand down, or where somebody took the agent's away. */
        if (json_get_bool(r->outcome, "oomd", &killed) > 0 && killed)
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
        for (size_t i = 0; i < ELEMENTSOF(now.figures); i++)
                /* They only grow; one that is not there now was read before, or never. */
                if (now.figures[i].known)
                        l->usage.figures[i] = now.figures[i];
}

/* The cgroup may be gone before its last counter was read; the kernel's line stays. */
static void count_kill(RunLimits *l) {
        _cleanup_(limit_victim_done) LimitVictim victim = {};
        struct CgroupFigure *f = l->usage.figures;

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
        for (size_t i = 0; i < ELEMENTSOF(r->limits->usage.figures); i++) {
                const struct CgroupFigure *f = &r->limits->usage.figures[i];

                if (f->known ? json_set_u64(o, f->name, f->value) < 0 :
                               json_object_object_add(o, f->name, NULL) < 0)
                        return NULL;
        }
        return TAKE_PTR(o);
}

/* ---- what is in force ---- */

/* Limits of the slice that it shares with its workspace's other conversations; those that are none are left out. */
static void describe_workspace(RunLimits *l, Json *o) {
        _cleanup_close_ int fd = l->workspace && l->fd >= 0 ?
                        openat(l->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) :
                        -EBADF;
        _cleanup_json_ Json *all = NULL, *some = json_object_new_object();

        if (fd < 0 || !some || limit_files_read(fd, &all) < 0)
                return;
        json_object_object_foreach(all, name, value)
                if (value)
                        (void) json_set(some, name, json_object_get(value));
        (void) json_set(o, "workspace", TAKE_PTR(some));
}

static bool filter_is_held(RunLimits *l) {
        bool held = true;

        (void) json_get_bool(l->filter, "enforced", &held);
        return held;
}

static void describe_missing(RunLimits *l, Json *o) {
        _cleanup_json_ Json *all = json_object_new_array();

        for (size_t i = 0; all && l->missing && i < json_object_array_length(l->missing); i++)
                (void) json_object_array_add(all, json_object_get(json_object_array_get_idx(l->missing, i)));
        if (all && !filter_is_held(l))
                (void) json_object_array_add(all, json_object_new_string("ipAddressDeny"));
        if (all && json_object_array_length(all) > 0)
                (void) json_set(o, "missing", TAKE_PTR(all));
}

Json *run_limits_describe(Run *r) {
        RunLimits *l = r->limits;
        Json *o;

        if (!l)
                return NULL;
        o = json_object_new_object();
        if (!o)
                return NULL;
        (void) json_set(o, "asked", json_object_get(l->asked));
        if (l->effective)
                (void) json_set(o, "effective", json_object_get(l->effective));
        describe_missing(l, o);
        describe_workspace(l, o);
        if (l->filter)
                (void) json_set(o, "ipFilter", json_object_get(l->filter));
        return o;
}

static void log_missing(RunLimits *l, const char *name) {
        ConversationContext *ctx = l->run->conversation->ctx;
        const char *controller = limit_controller(name);
        LOG_CONTEXT(log);

        if (strv_contains(ctx->controllers_told, controller))
                return;
        if (strv_extend(&ctx->controllers_told, controller) < 0)
                return;
        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", l->run->row.conversation);
        log_context_push(&log, "NORTHFLARE_UNIT", l->run->row.unit);
        log_context_push(&log, "NORTHFLARE_LIMIT", name);
        log_context_push(&log, "NORTHFLARE_CONTROLLER", controller);
        log_full(LOG_WARNING,
                 0,
                 NF_MESSAGE_LIMIT_MISSING,
                 "The kernel does not hold %s: the controller %s has no effect on conversations here.",
                 name,
                 controller);
}

/* What was asked for and does not show. */
static int find_missing(RunLimits *l) {
        _cleanup_json_ Json *missing = json_object_new_array();

        if (!missing)
                return -ENOMEM;
        json_object_object_foreach(l->asked, name, value) {
                (void) value;
                if (limit_is_given(name, l->asked, l->effective))
                        continue;
                if (json_object_array_add(missing, json_object_new_string(name)) < 0)
                        return -ENOMEM;
                log_missing(l, name);
        }
        replace(&l->missing, TAKE_PTR(missing));
        return 0;
}

static void log_change(RunLimits *l) {
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", l->run->row.conversation);
        log_context_push(&log, "NORTHFLARE_UNIT", l->run->row.unit);
        log_full(LOG_NOTICE,
                 0,
                 NF_MESSAGE_LIMITS_CHANGED,
                 "Limits of conversation %s are now %s.",
                 l->run->row.conversation,
                 json_text(l->effective));
}

/* An administrator's `systemctl set-property`: systemd does not say whose. What was asked of us has its row already. */
static void store_change_of_others(RunLimits *l) {
        int r =
                        store_audit_add(l->run->conversation->ctx->store,
                                        &(AuditRow){
                                                        .when_usec = now_usec(CLOCK_REALTIME),
                                                        .kind = "limits",
                                                        .verdict = "changed",
                                                        .origin = "systemd",
                                                        .uid = -1,
                                                        .conversation = l->run->row.conversation,
                                                        .detail = json_text(l->effective),
                                                        .count = 1,
                                        });

        if (r < 0)
                log_warning_errno(
                                r,
                                "A line of the audit record cannot be stored, it is in the journal only: %m");
}

/* ordered: by us; what does not show now is not given, and it is told even where nothing differs. */
static void reread(RunLimits *l, bool ordered) {
        _cleanup_json_ Json *now = NULL, *limits = NULL;
        _cleanup_free_ char *members = NULL;
        bool same;

        if (l->run->over || l->run->conversation->ctx->broken || l->fd < 0 ||
            limit_files_read(l->fd, &now) < 0)
                return;
        same = l->effective && json_object_equal(l->effective, now);
        if (same && !ordered)
                return;
        replace(&l->effective, TAKE_PTR(now));
        if (ordered && find_missing(l) < 0)
                return;
        limits = run_limits_describe(l->run);
        members = limits ? xasprintf("\"limits\":%s", json_text(limits)) : NULL;
        if (!members || emit(l, "conversation.config", members) < 0)
                return;
        if (!ordered)
                store_change_of_others(l);
        log_change(l);
}

/* ---- addresses ---- */

static void log_filter(RunLimits *l) {
        ConversationContext *ctx = l->run->conversation->ctx;
        bool held = filter_is_held(l);
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", l->run->row.conversation);
        log_context_push(&log, "NORTHFLARE_UNIT", l->run->row.unit);
        log_context_push(&log, "NORTHFLARE_LIMIT", "ipAddressDeny");
        log_full(LOG_NOTICE,
                 0,
                 NF_MESSAGE_LIMITS_CHANGED,
                 "The filter of addresses of conversation %s is now %s.",
                 l->run->row.conversation,
                 l->filter ? json_text(l->filter) : "none");
        if (held || strv_contains(ctx->controllers_told, "bpf") ||
            strv_extend(&ctx->controllers_told, "bpf") < 0)
                return;
        log_context_push(&log, "NORTHFLARE_CONTROLLER", "bpf");
        log_full(LOG_WARNING,
                 0,
                 NF_MESSAGE_LIMIT_MISSING,
                 "Nothing holds ipAddressDeny: there is no BPF for cgroups that systemd could use here.");
}

static void ask_filter(RunLimits *l);

static void on_filter(int error, Json *filter, bool counted, void *userdata) {
        RunLimits *l = userdata;
        ConversationContext *ctx = l->run->conversation->ctx;
        _cleanup_json_ Json *limits = NULL;
        _cleanup_free_ char *members = NULL;

        l->filter_query = limit_filter_query_free(l->filter_query);
        if (l->filter_again) {
                l->filter_again = false;
                ask_filter(l);
                return;
        }
        if (error < 0 || l->run->over || ctx->broken)
                return;
        ctx->addresses_held = ctx->addresses_held || counted || l->addresses_held;
        if (ctx->addresses_held && !l->addresses_held) {
                l->addresses_held = true;
                (void) save(l);
        }
        if (ctx->addresses_held && filter)
                (void) json_set_bool(filter, "enforced", true);
        if ((l->filter ? filter && json_object_equal(l->filter, filter) : !filter))
                return;
        replace(&l->filter, filter ? json_object_get(filter) : NULL);
        limits = run_limits_describe(l->run);
        members = limits ? xasprintf("\"limits\":%s", json_text(limits)) : NULL;
        if (members && emit(l, "conversation.config", members) >= 0)
                log_filter(l);
}

static void ask_filter(RunLimits *l) {
        Run *r = l->run;
        int k;

        if (l->filter_query) {
                l->filter_again = true;
                return;
        }
        if (r->over || !l->cgroup || !r->row.unit || !r->conversation->ctx->bus)
                return;
        k = limit_filter_query(
                        r->conversation->ctx->bus, r->row.unit, l->cgroup, on_filter, l, &l->filter_query);
        if (k < 0)
                log_debug_errno(k, "systemd cannot be asked for the addresses of %s: %m", r->row.unit);
}

static int on_reread(sd_event_source *source, uint64_t usec, void *userdata) {
        reread(userdata, false);
        return 0;
}

static void arm_reread(RunLimits *l) {
        int enabled = SD_EVENT_OFF;

        if (!l->reread) {
                (void) sd_event_add_time_relative(
                                l->run->conversation->ctx->event,
                                &l->reread,
                                CLOCK_MONOTONIC,
                                REREAD_USEC,
                                USEC_PER_MSEC,
                                on_reread,
                                l);
                return;
        }
        (void) sd_event_source_get_enabled(l->reread, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(l->reread, REREAD_USEC);
        (void) sd_event_source_set_enabled(l->reread, SD_EVENT_ONESHOT);
}

static void on_folder(bool all, void *userdata) {
        arm_reread(userdata);
}

void run_limits_close(Run *r) {
        RunLimits *l = r->limits;

        if (!l)
                return;
        l->watch = limit_watch_free(l->watch);
        l->slot = watch_slot_free(l->slot);
        l->filter_query = limit_filter_query_free(l->filter_query);
        l->reread = sd_event_source_disable_unref(l->reread);
        l->fd = safe_close(l->fd);
}

void run_limits_look(Run *r) {
        if (!r->limits || r->limits->fd < 0)
                return;
        arm_reread(r->limits);
        ask_filter(r->limits);
}

void run_limits_look_at_filter(Run *r) {
        if (r->limits && r->limits->fd >= 0)
                ask_filter(r->limits);
}

int run_limits_ask(Run *r, Json *asked) {
        RunLimits *l = r->limits;

        if (!l)
                return 0;
        json_object_object_foreach(asked, name, value) {
                int k = json_set(l->asked, name, json_object_get(value));
                if (k < 0)
                        return k;
        }
        return save(l);
}

void run_limits_set(Run *r) {
        if (r->limits)
                reread(r->limits, true);
}

static int open_cgroup(RunLimits *l) {
        const char *workspace = l->run->conversation->row.workspace;
        _cleanup_free_ char *own = NULL;
        int fd, r;

        /* The supervisor tells it; before that it is where all of them are, or those of its workspace: which of the two
         * is the launcher's to know, and both are there when its settings have changed. */
        l->cgroup = (free(l->cgroup), NULL);
        l->workspace = (free(l->workspace), NULL);
        if (l->run->cgroup)
                l->cgroup = strdup(l->run->cgroup);
        else if (l->run->row.unit && cgroup_own(&own) >= 0)
                l->cgroup = limit_scope_cgroup(own, NULL, l->run->row.unit);
        if (!l->cgroup)
                return -ENOMEM;
        fd = cgroup_open(l->cgroup);
        if (fd == -ENOENT && own && workspace) {
                free(l->cgroup);
                l->cgroup = limit_scope_cgroup(own, workspace, l->run->row.unit);
                fd = l->cgroup ? cgroup_open(l->cgroup) : -ENOMEM;
        }
        if (fd < 0)
                return fd;
        l->fd = fd;
        r = limit_workspace_cgroup(l->cgroup, &l->workspace);
        return r < 0 ? r : 0;
}

void run_limits_open(Run *r) {
        RunLimits *l = r->limits;
        Conversation *c = r->conversation;
        bool first;
        int k;

        if (!l || l->fd >= 0 || r->over || open_cgroup(l) < 0)
                return;
        first = !l->effective;
        l->kill_since_usec = r->row.started_usec;
        run_limits_sample(r);
        if (first) {
                l->slice_ooms_told = l->slice_ooms;
                k = limit_files_read(l->fd, &l->effective);
                if (k >= 0)
                        k = find_missing(l);
                if (k < 0)
                        log_debug_errno(k, "The limits of conversation %s cannot be read: %m", c->row.id);
                (void) save(l);
        }
        k = limit_watch_new(c->ctx->event, l->fd, &l->told, &watch_ops, l, &l->watch);
        if (k >= 0)
                k = watch_add(c->ctx->watch, l->fd, on_folder, l, &l->slot);
        if (k < 0)
                log_debug_errno(k, "The limits of conversation %s are not watched: %m", c->row.id);
        if (l->watch && limit_watch_is_frozen(l->watch) != c->frozen)
                on_frozen(limit_watch_is_frozen(l->watch), l);
        if (!first)
                arm_reread(l);
        ask_filter(l);
}
