/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/bus/bus-audit.h"
#include "runner/bus/bus-call.h"
#include "runner/bus/bus-internal.h"
#include "runner/bus/conversation-bus.h"
#include "runner/bus/log-control.h"
#include "runner/bus/manager-bus.h"
#include "runner/bus/workspace-bus.h"
#include "runner/runner-conversations.h"

/* Signals of the same object are sent at most this often: an agent that streams makes hundreds of changes a second,
 * and every signal wakes the bus daemon and all subscribers. The first change after a quiet time is announced at once. */
#define FLUSH_INTERVAL_USEC (100 * USEC_PER_MSEC)

/* The specification's bound of a name. */
#define NAME_MAX_BYTES 255
/* No object here has a longer path. */
#define PATH_MAX_BYTES BUS_PATH_BYTES_MAX

static int on_flush(sd_event_source *s, uint64_t usec, void *userdata) {
        BusObjects *b = userdata;

        b->last_flush_usec = now_usec(CLOCK_MONOTONIC);
        if (b->manager_changed) {
                b->manager_changed = false;
                manager_bus_announce(b);
        }
        for (ConversationObject *o = b->index.first; o; o = o->next)
                if (o->changed || o->events || !o->announced)
                        conversation_bus_announce(o);
        return 0;
}

static void arm_flush(BusObjects *b) {
        if (!oneshot_is_armed(b->flush))
                oneshot_arm_at(b->flush, b->last_flush_usec + FLUSH_INTERVAL_USEC);
}

static int add_object(BusObjects *b, Conversation *c, bool announced) {
        ConversationObject *o = NULL;
        int r;

        r = conversation_object_new(b, c, &o);
        if (r < 0)
                return r;
        o->announced = announced;
        r = object_index_add(&b->index, o);
        if (r < 0)
                conversation_object_free(o);
        return r;
}

static void on_runner_changed(void *userdata) {
        BusObjects *b = userdata;

        b->manager_changed = true;
        arm_flush(b);
}

static void on_conversation_added(Conversation *c, void *userdata) {
        BusObjects *b = userdata;
        int r;
        LOG_ABOUT(.conversation = conversation_id(c), .task = conversation_task(c));

        if (object_index_find_conversation(&b->index, c))
                return;
        r = add_object(b, c, false);
        if (r < 0) {
                log_error_errno(r, "Failed to export conversation %s on D-Bus: %m", conversation_id(c));
                return;
        }
        arm_flush(b);
}

static void on_conversation_changed(Conversation *c, void *userdata) {
        BusObjects *b = userdata;
        ConversationObject *o = object_index_find_conversation(&b->index, c);

        if (!o)
                return on_conversation_added(c, userdata);
        o->changed = true;
        arm_flush(b);
}

static void on_conversation_removed(Conversation *c, void *userdata) {
        BusObjects *b = userdata;
        ConversationObject *o = object_index_find_conversation(&b->index, c);
        int r;
        LOG_ABOUT(.conversation = conversation_id(c), .task = conversation_task(c));

        if (!o)
                return;
        if (o->announced) {
                r = sd_bus_emit_object_removed(b->bus, o->path);
                if (r < 0)
                        log_debug_errno(r, "Failed to announce that %s was removed, ignoring: %m", o->path);
        }
        object_index_remove(&b->index, o);
        conversation_object_free(o);
}

static void on_events_available(Conversation *c, void *userdata) {
        BusObjects *b = userdata;
        ConversationObject *o = object_index_find_conversation(&b->index, c);

        if (!o)
                return;
        o->events = true;
        arm_flush(b);
}

static const RunnerObserver observer = {
        .runner_changed = on_runner_changed,
        .conversation_added = on_conversation_added,
        .conversation_changed = on_conversation_changed,
        .conversation_removed = on_conversation_removed,
        .events_available = on_events_available,
};

/* What is there already needs no signal: who connects later asks for all objects. */
static int adopt_conversations(BusObjects *b) {
        for (Conversation *c = runner_next_conversation(b->runner, NULL); c;
             c = runner_next_conversation(b->runner, c)) {
                int r = add_object(b, c, true);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- before all objects ---- */

static int refuse_message(sd_bus_message *m, const char *name, const char *text) {
        bus_answer_error(m, name, text);
        return 1;
}

/* sd-bus quotes in an error, whole, what it does not know: an object, an interface or a property. A
 * name in a call about properties may be as long as a message, and the error is a little longer. Such a call ends here. */
static int on_any_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;

        if (!sd_bus_message_is_method_call(m, NULL, NULL))
                return 0;
        if (strlen(strempty(sd_bus_message_get_path(m))) > PATH_MAX_BYTES)
                return refuse_message(
                        m, SD_BUS_ERROR_UNKNOWN_OBJECT, "The path is longer than that of any object.");
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", NULL))
                return 0;
        while (sd_bus_message_read_basic(m, 's', &name) > 0)
                if (strlen(name) > NAME_MAX_BYTES)
                        return refuse_message(
                                m,
                                SD_BUS_ERROR_INVALID_ARGS,
                                "The name of an interface or of a property has at most 255 bytes.");
        return MIN(sd_bus_message_rewind(m, true), 0);
}

static int register_all(BusObjects *b) {
        int r = sd_bus_add_object_manager(b->bus, &b->object_manager_slot, BUS_PATH_MANAGER);

        if (r >= 0)
                r = manager_bus_register(b);
        if (r >= 0)
                r = conversation_bus_register(b);
        if (r >= 0)
                r = log_control_register(b);
        if (r >= 0)
                r = sd_bus_add_filter(b->bus, &b->guard_slot, on_any_message, b);
        return r;
}

int bus_objects_new(Runner *runner, Methods *methods, sd_bus *bus, BusObjects **ret) {
        _cleanup_(bus_objects_freep) BusObjects *b = new0(BusObjects, 1);
        sd_event *event = runner_get_event(runner);
        int r;

        if (!b)
                return -ENOMEM;
        b->runner = runner;
        b->methods = methods;
        b->bus = sd_bus_ref(bus);
        r = access_new(event, runner_is_user_mode(runner), &b->access);
        if (r < 0)
                return r;
        r = bus_audit_new(b, &b->audit);
        if (r < 0)
                return r;
        r = oneshot_new(event, "bus-signals", on_flush, b, &b->flush);
        if (r < 0)
                return r;
        r = manager_bus_keep(b);
        if (r < 0)
                return r;
        r = adopt_conversations(b);
        if (r < 0)
                return r;
        r = register_all(b);
        if (r < 0)
                return r;
        runner_set_observer(runner, &observer, b);
        *ret = TAKE_PTR(b);
        return 0;
}

BusObjects *bus_objects_free(BusObjects *b) {
        if (!b)
                return NULL;
        runner_set_observer(b->runner, NULL, NULL);
        bus_calls_cancel(b);
        workspace_bus_cancel(b);
        sd_bus_slot_unref(b->log_control_slot);
        sd_bus_slot_unref(b->guard_slot);
        sd_bus_slot_unref(b->enumerator_slot);
        sd_bus_slot_unref(b->conversation_slot);
        sd_bus_slot_unref(b->manager_slot);
        sd_bus_slot_unref(b->object_manager_slot);
        while (b->index.first) {
                ConversationObject *o = b->index.first;

                object_index_remove(&b->index, o);
                conversation_object_free(o);
        }
        manager_bus_done(b);
        access_free(b->access);
        bus_audit_free(b->audit);
        sd_event_source_disable_unref(b->flush);
        sd_bus_unref(b->bus);
        free(b);
        return NULL;
}
