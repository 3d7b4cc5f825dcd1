/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/bus/polkit.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* A person may have to find a password. */
#define INTERACTIVE_TIMEOUT_USEC (5 * 60 * USEC_PER_SEC)

struct PolkitQuery {
        sd_bus *bus;
        sd_bus_slot *slot; /* NULL once the answer is there */
        char *cancellation_id;
        bool interactive;
        PolkitDone done;
        void *userdata;
};

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        PolkitQuery *q = userdata;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int authorized = false, challenge = false, r = 0;

        q->slot = sd_bus_slot_unref(q->slot);
        if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
            sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                e = SD_BUS_ERROR_MAKE_CONST(
                        SD_BUS_ERROR_ACCESS_DENIED, "polkit is not installed, so only root may do this.");
        else if (
                sd_bus_message_is_method_error(m, NULL) ||
                sd_bus_message_enter_container(m, 'r', "bba{ss}") < 0 ||
                sd_bus_message_read(m, "bb", &authorized, &challenge) < 0)
                e = SD_BUS_ERROR_MAKE_CONST(
                        SD_BUS_ERROR_ACCESS_DENIED, "Failed to ask polkit for authorization.");
        else if (!authorized && challenge && !q->interactive)
                e = SD_BUS_ERROR_MAKE_CONST(
                        SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                        "Interactive authentication is required.");
        else if (!authorized)
                e = SD_BUS_ERROR_MAKE_CONST(
                        SD_BUS_ERROR_ACCESS_DENIED,
                        "Not authorized: this requires root, a member of northflare-admin, or authorization by polkit.");
        if (e.name)
                r = -EACCES;
        /* The last use of q: done may free it. */
        q->done(r, &e, q->userdata);
        return 1;
}

static int append_details(sd_bus_message *call, const char *conversation, const char *method) {
        int r = sd_bus_message_open_container(call, 'a', "{ss}");

        if (r >= 0 && !isempty(conversation))
                r = sd_bus_message_append(call, "{ss}", "conversation", conversation);
        if (r >= 0)
                r = sd_bus_message_append(call, "{ss}", "method", method);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

int polkit_query(
        sd_bus_message *m,
        const char *action,
        const char *conversation,
        PolkitDone done,
        void *userdata,
        PolkitQuery **ret) {
        _cleanup_(polkit_query_freep) PolkitQuery *q = new0(PolkitQuery, 1);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        if (!q)
                return -ENOMEM;
        *q = (PolkitQuery){
                .bus = sd_bus_ref(sd_bus_message_get_bus(m)),
                .interactive = sd_bus_message_get_allow_interactive_authorization(m) > 0,
                .cancellation_id = xasprintf("northflare-%016" PRIx64, random_u64()),
                .done = done,
                .userdata = userdata,
        };
        if (!q->cancellation_id)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(
                q->bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                call, "(sa{sv})s", "system-bus-name", 1, "name", "s", sd_bus_message_get_sender(m), action);
        if (r < 0)
                return r;
        r = append_details(call, conversation, strempty(sd_bus_message_get_member(m)));
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "us", (uint32_t) q->interactive, q->cancellation_id);
        if (r < 0)
                return r;
        r = sd_bus_call_async(
                q->bus, &q->slot, call, on_answer, q, q->interactive ? INTERACTIVE_TIMEOUT_USEC : 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

PolkitQuery *polkit_query_free(PolkitQuery *q) {
        if (!q)
                return NULL;
        if (q->slot) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

                sd_bus_slot_unref(q->slot);
                if (sd_bus_message_new_method_call(
                            q->bus,
                            &call,
                            POLKIT_NAME,
                            POLKIT_PATH,
                            POLKIT_INTERFACE,
                            "CancelCheckAuthorization") >= 0 &&
                    sd_bus_message_append(call, "s", q->cancellation_id) >= 0 &&
                    sd_bus_message_set_auto_start(call, false) >= 0 &&
                    sd_bus_message_set_expect_reply(call, false) >= 0)
                        (void) sd_bus_send(q->bus, call, NULL);
        }
        sd_bus_unref(q->bus);
        free(q->cancellation_id);
        free(q);
        return NULL;
}
