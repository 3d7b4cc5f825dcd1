/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/runner.h"

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal) {
        interrupts++;
}

static int live_conversations(uint32_t *ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_get_property_trivial(
                bus, BUS_NAME, PATH_MANAGER, INTERFACE_MANAGER, "Conversations", &error, 'u', ret);

        return r < 0 ? report_error(&error, r, NULL) : EXIT_OK;
}

static int on_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        *(bool *) userdata = true;
        return 0;
}

/* Until a signal of the runner's comes, or one of the terminal's. */
static int wait_for_change(bool *changed, int seen) {
        int r;

        while (!*changed && interrupts == seen) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        /* A signal may come between the check and the wait. */
                        r = sd_bus_wait(bus, USEC_PER_SEC);
                if (r < 0 && r != -EINTR)
                        return report_error(NULL, r, NULL);
        }
        return EXIT_OK;
}

/* The first Ctrl-C is a question, the second an answer. */
static int on_terminal(void) {
        if (interrupts > 1) {
                (void) fprintf(stderr, "Stopping remaining conversations.\n");
                return call_manager("DrainWithin", NULL, "u", (uint32_t) 0);
        }
        (void) fprintf(
                stderr,
                "The runner continues to drain. Press Ctrl-C again to stop remaining conversations now; "
                "northflarectl undrain accepts new ones again.\n");
        return EXIT_OK;
}

static int wait_until_empty(void) {
        struct sigaction interrupt = { .sa_handler = on_interrupt };
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        uint32_t n = 0, total = 0, reported = UINT32_MAX;
        bool changed = false;
        int r, seen = 0;

        (void) sigaction(SIGINT, &interrupt, NULL);
        r = sd_bus_match_signal(
                bus,
                &slot,
                BUS_NAME,
                PATH_MANAGER,
                INTERFACE_PROPERTIES,
                "PropertiesChanged",
                on_change,
                &changed);
        if (r < 0)
                return report_error(NULL, r, NULL);
        for (;;) {
                changed = false;
                r = live_conversations(&n);
                if (r != EXIT_OK)
                        return r;
                total = MAX(total, n);
                if (n != reported && !arg.no_legend)
                        (void) fprintf(stderr, "%u of %u conversations remaining\n", n, total);
                reported = n;
                if (n == 0)
                        return EXIT_OK;
                r = wait_for_change(&changed, seen);
                if (r == EXIT_OK && interrupts != seen) {
                        seen = interrupts;
                        r = on_terminal();
                }
                if (r != EXIT_OK)
                        return r;
        }
}

int verb_drain(char **words) {
        int status;

        if (arg.deadline_set && arg.deadline > UINT32_MAX) {
                (void) fprintf(
                        stderr, "northflarectl: --deadline: cannot be more than %u seconds\n", UINT32_MAX);
                return EXIT_USAGE;
        }
        status = arg.deadline_set ? call_manager("DrainWithin", NULL, "u", (uint32_t) arg.deadline) :
                                    call_manager("Drain", NULL, NULL);
        return status == EXIT_OK && arg.wait ? wait_until_empty() : status;
}

int verb_undrain(char **words) {
        return call_manager("Undrain", NULL, NULL);
}

int verb_reload(char **words) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ignored = NULL;
        _cleanup_json_ Json *list = NULL;
        int status, r;

        status = call_manager("Reload", &reply, NULL);
        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_read_strv(reply, &ignored);
        if (r < 0)
                return report_error(NULL, r, NULL);
        list = json_object_new_array();
        STRV_FOREACH(name, ignored)
                if (arg.json != JSON_OFF)
                        (void) json_object_array_add(list, json_object_new_string(*name));
                else {
                        put_str(stderr, *name);
                        (void) fputs(
                                ": the new value takes effect after a restart of the service\n", stderr);
                }
        if (arg.json != JSON_OFF)
                print_json(list);
        return EXIT_OK;
}
