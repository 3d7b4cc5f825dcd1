/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/log.h"
#include "runner/host/shutdown-watch.h"

#define DBUS "org.freedesktop.DBus"
#define DBUS_PATH "/org/freedesktop/DBus"
#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT_PATH "/org/freedesktop/systemd1/unit/northflare_2drunner_2eservice"
#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"
#define TARGET "shutdown.target"
/* For an answer, out of what we have from SIGTERM on. */
#define ASK_USEC (2 * USEC_PER_SEC)
/* TimeoutStopSec= of the unit as it is shipped. */
#define STOP_USEC (20 * USEC_PER_SEC)

struct ShutdownWatch {
        sd_bus *bus, *login; /* login: where logind is, or NULL */
        sd_bus_slot *filter, *prepare, *inhibit, *delay, *stop;
        uint64_t delay_usec, stop_usec, grace_usec;
        int fd; /* the inhibitor */
        bool user_mode;
        const ShutdownOps *ops;
        void *userdata;
};

typedef enum Word { WORD_PREPARE, WORD_STAYS, WORD_JOB, WORD_JOB_GONE } Word;

/* Something that was said, until it is known by whom. */
typedef struct Said {
        ShutdownWatch *watch;
        Word word;
} Said;

static void take_inhibitor(ShutdownWatch *w);

static void act(ShutdownWatch *w, Word word) {
        switch (word) {
        case WORD_PREPARE:
                log_notice("logind announced a shutdown of the machine.");
                w->ops->begun(w->fd >= 0 ? w->delay_usec : 0, w->userdata);
                break;
        case WORD_JOB:
                log_info("The system is shutting down; conversations end with it.");
                w->ops->begun(0, w->userdata);
                break;
        case WORD_STAYS:
        case WORD_JOB_GONE:
                take_inhibitor(w);
                w->ops->cancelled(w->userdata);
                break;
        }
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Said *s = userdata;
        uint32_t uid;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0)
                return 0;
        if (uid == 0 || (s->watch->user_mode && uid == geteuid()))
                act(s->watch, s->word);
        else
                log_warning(
                        "Ignoring the announcement of a shutdown by uid %u, which is not that of logind.",
                        uid);
        return 0;
}

/* A signal to us alone passes every match, from any sender, so the bus is asked for the sender. */
static void hear(ShutdownWatch *w, sd_bus_message *m, Word word) {
        const char *sender = sd_bus_message_get_sender(m);
        sd_bus_slot *slot = NULL;
        Said *s = new0(Said, 1);

        if (!s || !sender) {
                free(s);
                return;
        }
        *s = (Said){ w, word };
        if (sd_bus_call_method_async(
                    sd_bus_message_get_bus(m),
                    &slot,
                    DBUS,
                    DBUS_PATH,
                    DBUS,
                    "GetConnectionUnixUser",
                    on_uid,
                    s,
                    "s",
                    sender) < 0) {
                free(s);
                return;
        }
        (void) sd_bus_slot_set_destroy_callback(slot, free);
        (void) sd_bus_slot_set_floating(slot, true);
        sd_bus_slot_unref(slot);
}

/* ---- systemd ---- */

/* Every message comes by here: the daemon was asked for those of one unit alone, which sd-bus would not compare, since it
 * compares no argument behind one that is not a string. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ShutdownWatch *w = userdata;
        const char *unit, *result;

        if (sd_bus_message_is_signal(m, SYSTEMD_MANAGER, "JobNew") > 0) {
                if (sd_bus_message_read(m, "uos", NULL, NULL, &unit) >= 0 && streq(unit, TARGET))
                        hear(w, m, WORD_JOB);
        } else if (sd_bus_message_is_signal(m, SYSTEMD_MANAGER, "JobRemoved") > 0) {
                /* A job that is cancelled means that it stays up after all. */
                if (sd_bus_message_read(m, "uoss", NULL, NULL, &unit, &result) >= 0 && streq(unit, TARGET) &&
                    !streq(result, "done"))
                        hear(w, m, WORD_JOB_GONE);
        } else
                return 0;
        (void) sd_bus_message_rewind(m, true);
        return 0;
}

static int on_match(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e)
                log_warning(
                        "Failed to subscribe to the announcement of a shutdown: %s", strempty(e->message));
        return 0;
}

static int ask_for_job(ShutdownWatch *w, const char *member) {
        _cleanup_free_ char *rule = xasprintf(
                "type='signal',sender='" SYSTEMD "',path='" SYSTEMD_PATH "',interface='" SYSTEMD_MANAGER
                "',member='%s',arg2='" TARGET "'",
                member);

        if (!rule)
                return -ENOMEM;
        return sd_bus_call_method_async(
                w->bus, NULL, DBUS, DBUS_PATH, DBUS, "AddMatch", on_match, NULL, "s", rule);
}

/* ---- logind ---- */

static int on_prepare(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        int begins;

        if (sd_bus_message_read(m, "b", &begins) >= 0)
                hear(userdata, m, begins ? WORD_PREPARE : WORD_STAYS);
        return 0;
}

static int on_inhibitor(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        ShutdownWatch *w = userdata;
        int fd;

        w->inhibit = sd_bus_slot_unref(w->inhibit);
        if (e || sd_bus_message_read(m, "h", &fd) < 0) {
                log_notice(
                        "Failed to take an inhibitor lock, logind does not wait for last reports at a shutdown: %s",
                        strempty(e ? e->message : NULL));
                return 0;
        }
        safe_close(w->fd);
        w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return 0;
}

static void take_inhibitor(ShutdownWatch *w) {
        int r;

        if (!w->login || w->fd >= 0 || w->inhibit)
                return;
        r = sd_bus_call_method_async(
                w->login,
                &w->inhibit,
                LOGIND,
                LOGIND_PATH,
                LOGIND_MANAGER,
                "Inhibit",
                on_inhibitor,
                w,
                "ssss",
                "shutdown",
                "Northflare Runner",
                "Conversations end, and their last reports are sent",
                "delay");
        if (r < 0)
                log_notice("Failed to ask logind for an inhibitor lock: %s", strerror(-r));
}

void shutdown_watch_release(ShutdownWatch *w) {
        w->fd = safe_close(w->fd);
}

/* ---- the time that there is ---- */

uint64_t shutdown_watch_stop_usec(const ShutdownWatch *w) {
        return w && w->stop_usec > 0 && w->stop_usec != USEC_INFINITY ? w->stop_usec : STOP_USEC;
}

static void print_budget(ShutdownWatch *w) {
        if (w->delay || w->stop)
                return; /* not answered yet */
        log_info(
                "The time at a shutdown: %llu s from logind (InhibitDelayMaxSec=) for conversations to end (stopGraceMs: "
                "%llu s) and to be reported; 15 s for scopes that are left; %llu s (TimeoutStopSec=) for us, half of it for last reports.",
                (unsigned long long) (w->delay_usec / USEC_PER_SEC),
                (unsigned long long) (w->grace_usec / USEC_PER_SEC),
                (unsigned long long) (w->stop_usec / USEC_PER_SEC));
}

static void read_time(sd_bus_message *m, uint64_t *ret) {
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_enter_container(m, 'v', "t") < 0 ||
            sd_bus_message_read(m, "t", ret) < 0)
                *ret = 0;
}

static int on_delay(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ShutdownWatch *w = userdata;

        w->delay = sd_bus_slot_unref(w->delay);
        read_time(m, &w->delay_usec);
        print_budget(w);
        return 0;
}

static int on_stop(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ShutdownWatch *w = userdata;

        w->stop = sd_bus_slot_unref(w->stop);
        read_time(m, &w->stop_usec);
        print_budget(w);
        return 0;
}

static int
get(ShutdownWatch *w,
    sd_bus *bus,
    sd_bus_slot **slot,
    const char *name,
    const char *path,
    const char *interface,
    const char *property,
    sd_bus_message_handler_t done) {
        return sd_bus_call_method_async(
                bus, slot, name, path, DBUS ".Properties", "Get", done, w, "ss", interface, property);
}

/* ---- whether it is so already ---- */

typedef struct Question {
        ShutdownAnswer answer;
        void *userdata;
} Question;

static int on_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Question *q = userdata;
        const char *state = NULL;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "s", &state) < 0)
                state = NULL;
        q->answer(streq_ptr(state, "stopping"), q->userdata);
        return 0;
}

int shutdown_ask(sd_bus *bus, ShutdownAnswer answer, void *userdata, sd_bus_slot **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Question *q;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, SYSTEMD, SYSTEMD_PATH, DBUS ".Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", SYSTEMD_MANAGER, "SystemState");
        if (r < 0)
                return r;
        q = new0(Question, 1);
        if (!q)
                return -ENOMEM;
        *q = (Question){ answer, userdata };
        r = sd_bus_call_async(bus, ret, m, on_state, q, ASK_USEC);
        if (r < 0) {
                free(q);
                return r;
        }
        (void) sd_bus_slot_set_destroy_callback(*ret, free);
        return 0;
}

/* ---- */

static int open_login(ShutdownWatch *w) {
        sd_event *event = sd_bus_get_event(w->bus);
        int r;

        if (!w->user_mode)
                w->login = sd_bus_ref(w->bus);
        else {
                r = sd_bus_open_system_with_description(&w->login, "logind");
                if (r >= 0 && event)
                        r = sd_bus_attach_event(w->login, event, SD_EVENT_PRIORITY_NORMAL);
                if (r < 0) {
                        log_notice(
                                "Failed to connect to the system bus, logind does not wait for last reports: %s",
                                strerror(-r));
                        w->login = sd_bus_flush_close_unref(w->login);
                        return 0;
                }
        }
        r = sd_bus_match_signal_async(
                w->login,
                &w->prepare,
                LOGIND,
                LOGIND_PATH,
                LOGIND_MANAGER,
                "PrepareForShutdown",
                on_prepare,
                NULL,
                w);
        if (r < 0)
                return r;
        take_inhibitor(w);
        return get(
                w,
                w->login,
                &w->delay,
                LOGIND,
                LOGIND_PATH,
                LOGIND_MANAGER,
                "InhibitDelayMaxUSec",
                on_delay);
}

int shutdown_watch_new(
        sd_bus *bus,
        bool user_mode,
        uint64_t grace_usec,
        const ShutdownOps *ops,
        void *userdata,
        ShutdownWatch **ret) {
        _cleanup_(shutdown_watch_freep) ShutdownWatch *w = new0(ShutdownWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (ShutdownWatch){
                .bus = sd_bus_ref(bus),
                .grace_usec = grace_usec,
                .fd = -EBADF,
                .user_mode = user_mode,
                .ops = ops,
                .userdata = userdata,
        };
        r = sd_bus_add_filter(bus, &w->filter, on_message, w);
        if (r >= 0)
                r = ask_for_job(w, "JobNew");
        if (r >= 0)
                r = ask_for_job(w, "JobRemoved");
        if (r >= 0)
                r = get(w,
                        bus,
                        &w->stop,
                        SYSTEMD,
                        UNIT_PATH,
                        SYSTEMD ".Service",
                        "TimeoutStopUSec",
                        on_stop);
        if (r >= 0)
                r = open_login(w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

ShutdownWatch *shutdown_watch_free(ShutdownWatch *w) {
        if (!w)
                return NULL;
        sd_bus_slot *slots[] = { w->filter, w->prepare, w->inhibit, w->delay, w->stop };
        for (size_t i = 0; i < ELEMENTSOF(slots); i++)
                sd_bus_slot_unref(slots[i]);
        safe_close(w->fd);
        if (w->user_mode)
                sd_bus_flush_close_unref(w->login);
        else
                sd_bus_unref(w->login);
        sd_bus_unref(w->bus);
        free(w);
        return NULL;
}
