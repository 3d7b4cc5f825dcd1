/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "launcher/manager.h"

/* The verbs for a scope that there is. systemd is asked first what the unit is, so that a verb never reaches a unit
 * that the launcher did not make, whatever its name. */

typedef enum VerbId {
        VERB_STOP,
        VERB_KILL,
        VERB_FREEZE,
        VERB_THAW,
        VERB_SET_LIMITS,
        VERB_COLLECT,
        _VERB_MAX,
} VerbId;

/* Members of the interface, and what they are for systemd. */
static const struct {
        const char *member, *method;
} verb_names[_VERB_MAX] = {
        [VERB_STOP] = {"Stop",       "StopUnit"         },
        [VERB_KILL] = { "Kill",      "KillUnit"         },
        [VERB_FREEZE] = { "Freeze",    "FreezeUnit"       },
        [VERB_THAW] = { "Thaw",      "ThawUnit"         },
        [VERB_SET_LIMITS] = { "SetLimits", "SetUnitProperties"},
        [VERB_COLLECT] = { "Collect",   "ResetFailedUnit"  },
};

typedef struct Verb {
        Manager *manager;
        sd_bus_message *call;
        sd_bus_slot *slot;
        const char *unit; /* in call */
        VerbId id;
        Limits limits;
} Verb;

typedef struct UnitFacts {
        const char *slice, *load, *active, *freezer; /* in the reply */
        bool transient, delegate;
} UnitFacts;

static Verb *verb_free(Verb *v) {
        if (!v)
                return NULL;
        v->manager->n_verbs--;
        sd_bus_slot_unref(v->slot);
        sd_bus_message_unref(v->call);
        free(v);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Verb *, verb_free);

static void verb_finish(Verb *v, const sd_bus_error *e) {
        Manager *m = v->manager;

        if (e)
                (void) sd_bus_reply_method_error(v->call, e);
        else
                (void) sd_bus_reply_method_return(v->call, NULL);
        verb_free(v);
        manager_touch(m);
}

static void verb_fail(Verb *v, const char *name, const char *text) {
        sd_bus_error e = SD_BUS_ERROR_MAKE_CONST(name, text);

        verb_finish(v, &e);
}

static int on_done(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Verb *v = userdata;

        if (error)
                verb_fail(v,
                          sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit") ?
                                          ERROR_NO_SUCH_UNIT :
                                          ERROR_FAILED,
                          strempty(error->message));
        else
                verb_finish(v, NULL);
        return 0;
}

static void verb_call(Verb *v) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        Manager *m = v->manager;
        int r;

        r = sd_bus_message_new_method_call(
                        m->bus, &c, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, verb_names[v->id].method);
        if (r >= 0)
                r = sd_bus_message_append(c, "s", v->unit);
        if (r >= 0 && v->id == VERB_STOP)
                r = sd_bus_message_append(c, "s", "replace");
        if (r >= 0 && v->id == VERB_KILL)
                r = sd_bus_message_append(c, "si", "all", SIGKILL);
        if (r >= 0 && v->id == VERB_SET_LIMITS) {
                r = sd_bus_message_append(c, "b", 1);
                if (r >= 0)
                        r = sd_bus_message_open_container(c, 'a', "(sv)");
                if (r >= 0)
                        r = limits_append(c, &v->limits);
                if (r >= 0)
                        r = sd_bus_message_close_container(c);
        }
        v->slot = sd_bus_slot_unref(v->slot);
        if (r >= 0)
                r = sd_bus_call_async(m->bus, &v->slot, c, on_done, v, 0);
        if (r < 0)
                verb_fail(v, ERROR_FAILED, "systemd could not be called");
}

/* A scope that is frozen cannot be stopped everywhere (257 refuses), and could not end in order anywhere. */
static int on_thawed(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        verb_call(userdata);
        return 0;
}

static int read_facts(sd_bus_message *m, UnitFacts *f) {
        const struct {
                const char *name;
                const char **text;
                bool *flag;
        } wanted[] = {
                {"Slice",         &f->slice,   NULL         },
                { "LoadState",    &f->load,    NULL         },
                { "ActiveState",  &f->active,  NULL         },
                { "FreezerState", &f->freezer, NULL         },
                { "Transient",    NULL,        &f->transient},
                { "Delegate",     NULL,        &f->delegate },
        };
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *name;
                bool known = false;

                r = sd_bus_message_read(m, "s", &name);
                for (size_t i = 0; i < ELEMENTSOF(wanted) && r >= 0 && !known; i++) {
                        int flag;

                        if (!streq(wanted[i].name, name))
                                continue;
                        known = true;
                        if (wanted[i].text) {
                                r = sd_bus_message_read(m, "v", "s", wanted[i].text);
                                continue;
                        }
                        r = sd_bus_message_read(m, "v", "b", &flag);
                        *wanted[i].flag = r >= 0 && flag;
                }
                if (r >= 0 && !known)
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int on_facts(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        UnitFacts f = {};
        Verb *v = userdata;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL) || read_facts(reply, &f) < 0) {
                verb_fail(v, ERROR_FAILED, "systemd does not say what this unit is");
                return 0;
        }
        if (streq(strempty(f.load), "not-found")) {
                verb_fail(v, ERROR_NO_SUCH_UNIT, "unit: there is none of this name.");
                return 0;
        }
        if (!f.transient || !f.delegate || !streq(strempty(f.slice), SLICE_NAME)) {
                verb_fail(v, ERROR_NOT_OURS, "unit: not one of the launcher's.");
                return 0;
        }
        if (v->id == VERB_COLLECT && !streq(strempty(f.active), "failed")) {
                verb_finish(v, NULL);
                return 0;
        }
        if (v->id != VERB_STOP || streq(strempty(f.freezer), "running")) {
                verb_call(v);
                return 0;
        }
        v->slot = sd_bus_slot_unref(v->slot);
        r = sd_bus_call_method_async(
                        v->manager->bus,
                        &v->slot,
                        SYSTEMD_NAME,
                        SYSTEMD_PATH,
                        SYSTEMD_MANAGER,
                        "ThawUnit",
                        on_thawed,
                        v,
                        "s",
                        v->unit);
        if (r < 0)
                verb_fail(v, ERROR_FAILED, "systemd could not be called");
        return 0;
}

static int read_limits(Verb *v, sd_bus_error *e) {
        Limits capped;
        int r;

        r = manager_check_usable(v->manager, e);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(v->call, 'a', "{st}");
        while (r >= 0 && (r = sd_bus_message_enter_container(v->call, 'e', "st")) > 0) {
                const char *name;
                uint64_t value;

                r = sd_bus_message_read(v->call, "st", &name, &value);
                if (r >= 0)
                        r = limits_add(&v->limits, name, value, e);
                if (r >= 0)
                        r = sd_bus_message_exit_container(v->call);
        }
        if (r < 0)
                return r;
        if (v->limits.set[LIMIT_RUNTIME_MAX])
                return sd_bus_error_setf(
                                e,
                                ERROR_INVALID_ARGUMENT,
                                "limits: RuntimeMaxUSec can be set at the start only.");
        /* On a copy: limits that are not named stay what they are. */
        capped = v->limits;
        r = limits_cap(&capped, v->manager->settings.ceilings, e);
        return r < 0 ? r : manager_check_sum(v->manager, v->unit, &v->limits, false, e);
}

int method_verb(sd_bus_message *call, void *userdata, sd_bus_error *e) {
        _cleanup_(verb_freep) Verb *v = NULL;
        _cleanup_free_ char *path = NULL;
        Manager *m = userdata;
        VerbId id = 0;
        int r;

        r = manager_check_caller(m, call, e);
        if (r < 0)
                return r;
        while (id < _VERB_MAX && !streq(verb_names[id].member, sd_bus_message_get_member(call)))
                id++;
        if (id >= _VERB_MAX)
                return -EOPNOTSUPP;
        if (m->n_verbs >= VERBS_MAX)
                return sd_bus_error_setf(e, ERROR_TOO_MANY, "%u calls wait already.", m->n_verbs);
        v = new0(Verb, 1);
        if (!v)
                return -ENOMEM;
        *v = (Verb){ .manager = m, .call = sd_bus_message_ref(call), .id = id };
        m->n_verbs++;
        r = sd_bus_message_read(call, "s", &v->unit);
        if (r < 0)
                return r;
        if (!unit_name_is_ours(v->unit))
                return sd_bus_error_setf(e, ERROR_NOT_OURS, "unit: not the name of one of the launcher's.");
        if (id == VERB_SET_LIMITS) {
                r = read_limits(v, e);
                if (r < 0)
                        return r;
        }
        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", v->unit, &path);
        if (r >= 0)
                r = sd_bus_call_method_async(
                                m->bus,
                                &v->slot,
                                SYSTEMD_NAME,
                                path,
                                "org.freedesktop.DBus.Properties",
                                "GetAll",
                                on_facts,
                                v,
                                "s",
                                "");
        if (r < 0)
                return r;
        (void) TAKE_PTR(v);
        manager_touch(m);
        return 1;
}
