/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <time.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/limits/limit-files.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-limits-internal.h"
#include "runner/store/store-audit.h"
#include "runner/store/transaction.h"

/* The files of a busy cgroup change a hundred times a second. */
#define REREAD_USEC (200 * USEC_PER_MSEC)

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

int run_limits_save(RunLimits *l) {
        _cleanup_free_ char *key = store_key(l->run);
        _cleanup_json_ Json *o = json_object_new_object();

        if (!key || !o)
                return -ENOMEM;
        (void) json_set(o, "asked", json_object_get(l->asked));
        if (l->effective)
                (void) json_set(o, "effective", json_object_get(l->effective));
        if (l->missing)
                (void) json_set(o, "missing", json_object_get(l->missing));
        (void) json_set_u64(o, "oomKills", l->reported.events[LIMIT_EVENT_OOM_KILL]);
        (void) json_set_u64(o, "memoryHigh", l->reported.events[LIMIT_EVENT_MEMORY_HIGH]);
        (void) json_set_u64(o, "tasksMax", l->reported.events[LIMIT_EVENT_TASKS]);
        (void) json_set_u64(o, "oom", l->reported.oom);
        if (l->filter)
                (void) json_set(o, "ipFilter", json_object_get(l->filter));
        (void) json_set_bool(o, "addressesHeld", l->addresses_held);
        if (l->workspace)
                (void) json_set_u64(o, "workspaceOom", l->slice_ooms_reported);
        (void) json_set_bool(o, "frozen", l->run->frozen);
        return store_set(l->run->ctx->store, key, json_text(o));
}

int run_limits_forget(Run *r) {
        _cleanup_free_ char *key = store_key(r);

        return key ? store_set(r->ctx->store, key, NULL) : -ENOMEM;
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
                k = run_limits_save(l);
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
        k = store_get(r->ctx->store, key, &text);
        if (k <= 0)
                return k;
        k = json_parse_from(JSON_OF_STORE, text, strlen(text), &o, NULL);
        if (k < 0)
                return k;
        Json *asked = json_get(o, "asked");
        k = new_limits(r, asked ? json_object_get(asked) : json_object_new_object(), &l);
        if (k < 0)
                return k;
        l->effective = json_object_get(json_get(o, "effective"));
        l->missing = json_object_get(json_get(o, "missing"));
        l->filter = json_object_get(json_get(o, "ipFilter"));
        (void) json_get_u64(o, "oomKills", &l->reported.events[LIMIT_EVENT_OOM_KILL]);
        (void) json_get_u64(o, "memoryHigh", &l->reported.events[LIMIT_EVENT_MEMORY_HIGH]);
        (void) json_get_u64(o, "tasksMax", &l->reported.events[LIMIT_EVENT_TASKS]);
        (void) json_get_u64(o, "oom", &l->reported.oom);
        (void) json_get_u64(o, "workspaceOom", &l->slice_ooms_reported);
        (void) json_get_bool(o, "addressesHeld", &l->addresses_held);
        (void) json_get_bool(o, "frozen", &frozen);
        r->frozen = frozen;
        run_limits_free(r->limits);
        r->limits = l;
        return 1;
}

int run_limits_emit(RunLimits *l, const char *method, Json *params) {
        _cleanup_(transaction_done) Transaction t = {};
        Run *r = l->run;
        int k;

        k = transaction_begin(r->ctx->store, &t);
        if (k >= 0)
                k = r->report->event(method, params, r->userdata);
        if (k >= 0)
                k = run_limits_save(l);
        k = transaction_finish(&t, k);
        if (k < 0)
                r->report->store_failed(k, r->userdata);
        else
                r->report->changed(r->userdata);
        return k;
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
        const char *controller = limit_controller(name);
        LOG_CONTEXT(log);

        if (!run_context_report_controller(l->run->ctx, controller))
                return;
        log_context_push(&log, "NORTHFLARE_LIMIT", name);
        log_context_push(&log, "NORTHFLARE_CONTROLLER", controller);
        log_full(
                LOG_WARNING,
                0,
                NF_MESSAGE_LIMIT_MISSING,
                "The kernel does not enforce %s: the controller %s has no effect on conversations here.",
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
        log_full(
                LOG_NOTICE,
                0,
                NF_MESSAGE_LIMITS_CHANGED,
                "Limits of conversation %s are now %s.",
                l->run->row.conversation,
                json_text(l->effective));
}

/* An administrator's `systemctl set-property`: systemd does not say whose. What was asked of us has its row already. */
static void store_change_of_others(RunLimits *l) {
        int r = store_audit_add(
                l->run->ctx->store,
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
                        r, "Failed to store a line of the audit record, it is in the journal only: %m");
}

/* conversation.config with what they are now. */
static int emit_limits(RunLimits *l) {
        _cleanup_json_ Json *params = json_object_new_object();

        if (!params || json_set(params, "limits", run_limits_describe(l->run)) < 0)
                return -ENOMEM;
        return run_limits_emit(l, "conversation.config", params);
}

/* ordered: by us; a limit that is not in force now was not set, and a report follows even if nothing differs. */
static void reread(RunLimits *l, bool ordered) {
        _cleanup_json_ Json *now = NULL;
        bool same;

        if (l->run->ended || l->run->ctx->broken || l->fd < 0 || limit_files_read(l->fd, &now) < 0)
                return;
        same = l->effective && json_object_equal(l->effective, now);
        if (same && !ordered)
                return;
        replace(&l->effective, TAKE_PTR(now));
        if (ordered && find_missing(l) < 0)
                return;
        if (emit_limits(l) < 0)
                return;
        if (!ordered)
                store_change_of_others(l);
        log_change(l);
}

/* ---- addresses ---- */

static void log_filter(RunLimits *l) {
        bool held = filter_is_held(l);
        LOG_CONTEXT(log);

        log_context_push(&log, "NORTHFLARE_LIMIT", "ipAddressDeny");
        log_full(
                LOG_NOTICE,
                0,
                NF_MESSAGE_LIMITS_CHANGED,
                "The address filter of conversation %s is now %s.",
                l->run->row.conversation,
                l->filter ? json_text(l->filter) : "none");
        if (held || !run_context_report_controller(l->run->ctx, "bpf"))
                return;
        log_context_push(&log, "NORTHFLARE_CONTROLLER", "bpf");
        log_full(
                LOG_WARNING,
                0,
                NF_MESSAGE_LIMIT_MISSING,
                "ipAddressDeny is not enforced: systemd cannot use BPF for cgroups here.");
}

static void ask_filter(RunLimits *l);

static void on_filter(int error, Json *filter, bool counted, void *userdata) {
        RunLimits *l = userdata;
        RunContext *ctx = l->run->ctx;
        LOG_ABOUT_RUN(l->run);

        l->filter_query = limit_filter_query_free(l->filter_query);
        if (l->filter_again) {
                l->filter_again = false;
                ask_filter(l);
                return;
        }
        if (error < 0 || l->run->ended || ctx->broken)
                return;
        ctx->addresses_held = ctx->addresses_held || counted || l->addresses_held;
        if (ctx->addresses_held && !l->addresses_held) {
                l->addresses_held = true;
                (void) run_limits_save(l);
        }
        if (ctx->addresses_held && filter)
                (void) json_set_bool(filter, "enforced", true);
        if ((l->filter ? filter && json_object_equal(l->filter, filter) : !filter))
                return;
        replace(&l->filter, filter ? json_object_get(filter) : NULL);
        if (emit_limits(l) >= 0)
                log_filter(l);
}

static void ask_filter(RunLimits *l) {
        Run *r = l->run;
        int k;

        if (l->filter_query) {
                l->filter_again = true;
                return;
        }
        if (r->ended || !l->cgroup || !r->row.unit || !r->ctx->bus)
                return;
        k = limit_filter_query(r->ctx->bus, r->row.unit, l->cgroup, on_filter, l, &l->filter_query);
        if (k < 0)
                log_debug_errno(k, "Failed to query the address filter of %s: %m", r->row.unit);
}

static int on_reread(sd_event_source *source, uint64_t usec, void *userdata) {
        RunLimits *l = userdata;
        LOG_ABOUT_RUN(l->run);

        reread(l, false);
        return 0;
}

static void arm_reread(RunLimits *l) {
        if (!oneshot_is_armed(l->reread))
                (void) oneshot_start(&l->reread, l->run->ctx->event, REREAD_USEC, on_reread, l);
}

static void on_directory(bool all, void *userdata) {
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

void run_limits_check(Run *r) {
        if (!r->limits || r->limits->fd < 0)
                return;
        arm_reread(r->limits);
        ask_filter(r->limits);
}

void run_limits_check_filter(Run *r) {
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
        return run_limits_save(l);
}

void run_limits_set(Run *r) {
        if (r->limits)
                reread(r->limits, true);
}

static int open_cgroup(RunLimits *l) {
        const char *workspace = l->run->workspace;
        _cleanup_free_ char *own = NULL;
        int fd, r;

        /* The supervisor reports it; before that it is where all of them are, or those of its workspace: which of the two
         * is the launcher's to know, and both are there when its settings have changed. */
        l->cgroup = (free(l->cgroup), NULL);
        l->workspace = (free(l->workspace), NULL);
        if (l->run->check.cgroup)
                l->cgroup = strdup(l->run->check.cgroup);
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
        bool first;
        int k;

        if (!l || l->fd >= 0 || r->ended || open_cgroup(l) < 0)
                return;
        first = !l->effective;
        l->kill_since_usec = r->row.started_usec;
        run_limits_sample(r);
        if (first) {
                l->slice_ooms_reported = l->slice_ooms;
                k = limit_files_read(l->fd, &l->effective);
                if (k >= 0)
                        k = find_missing(l);
                if (k < 0)
                        log_debug_errno(
                                k, "Failed to read the limits of conversation %s: %m", r->row.conversation);
                (void) run_limits_save(l);
        }
        k = limit_watch_new(r->ctx->event, l->fd, &l->reported, &run_limits_watch_ops, l, &l->watch);
        if (k >= 0)
                k = watch_add(r->ctx->watch, l->fd, on_directory, l, &l->slot);
        if (k < 0)
                log_debug_errno(k, "Failed to watch the limits of conversation %s: %m", r->row.conversation);
        if (l->watch && limit_watch_is_frozen(l->watch) != r->frozen)
                run_limits_set_frozen(limit_watch_is_frozen(l->watch), l);
        if (!first)
                arm_reread(l);
        ask_filter(l);
}
