/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/buffer.h"
#include "ctl/bus/connection.h"
#include "ctl/options.h"
#include "ctl/verb/control.h"
#include "ctl/verb/properties.h"

#define MESSAGE_MAX (16 * 1024 * 1024)

static int read_stdin(Buffer *b) {
        char chunk[65536];
        size_t n;

        while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
                if (b->size + n > MESSAGE_MAX)
                        return -EFBIG;
                else if (buffer_append(b, chunk, n) < 0)
                        return -ENOMEM;
        return ferror(stdin) ? -EIO : 0;
}

int verb_send(char **words) {
        _cleanup_buffer_ Buffer text = {};
        int r = 0;

        if (streq(words[2], "-") && !words[3])
                r = read_stdin(&text);
        else
                STRV_FOREACH(w, words + 2) {
                        if (w != words + 2)
                                (void) buffer_append_str(&text, " ");
                        r = buffer_append_str(&text, *w);
                }
        if (r < 0) {
                (void) fprintf(stderr, "northflarectl: failed to read the message: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        if (text.size == 0 || !utf8_is_valid(text.data, text.size) || memchr(text.data, 0, text.size)) {
                (void) fprintf(
                        stderr,
                        "northflarectl: the message is %s\n",
                        text.size == 0 ? "empty" : "not UTF-8 text");
                return EXIT_FAILED;
        }
        if (!utf8_is_for_bus(text.data)) {
                (void) fputs(
                        "northflarectl: the message holds a Unicode noncharacter, which D-Bus does not carry\n",
                        stderr);
                return EXIT_FAILED;
        }
        return call_conversation(words[1], "SendMessage", NULL, "s", text.data);
}

int verb_interrupt(char **words) {
        return call_conversations(words + 1, "Interrupt");
}

typedef struct Stopping {
        char **ids;
        unsigned waiting;
        int status;
} Stopping;

typedef struct One {
        Stopping *all;
        const char *id;
} One;

static int on_stopped(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        One *one = userdata;

        one->all->waiting--;
        if (sd_bus_message_is_method_error(m, NULL))
                one->all->status = report_error(
                        sd_bus_message_get_error(m), sd_bus_message_get_errno(m), one->id);
        return 1;
}

static int stop_one(One *one) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int r, status = EXIT_OK;

        path = conversation_path(one->id, &status);
        if (!path)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, INTERFACE_CONVERSATION, "Stop");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && arg.reason)
                r = sd_bus_message_append(m, "{sv}", "reason", "s", arg.reason);
        if (r >= 0 && arg.grace_set)
                r = sd_bus_message_append(m, "{sv}", "graceMs", "t", arg.grace_ms);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call_async(bus, NULL, m, on_stopped, one, UINT64_MAX);
        return r;
}

/* All at once: each waits until nothing of its conversation is left. */
int verb_stop(char **words) {
        Stopping s = { .ids = words + 1 };
        _cleanup_free_ One *ones = new0(One, strv_length(words));
        int r = ones ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && s.ids[i]; i++) {
                ones[i] = (One){ &s, s.ids[i] };
                r = stop_one(ones + i);
                if (r >= 0)
                        s.waiting++;
        }
        while (r >= 0 && s.waiting > 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        return r < 0 ? report_error(NULL, r, NULL) : s.status;
}

int verb_freeze(char **words) {
        return call_conversations(words + 1, "Freeze");
}

int verb_thaw(char **words) {
        return call_conversations(words + 1, "Thaw");
}

/* set-property ID NAME=VALUE...: limits of a conversation that runs, in the words of systemctl set-property. */
int verb_set_property(char **words) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int status = EXIT_OK, r;

        path = conversation_path(words[1], &status);
        if (!path)
                return status;
        r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, INTERFACE_CONVERSATION, "SetLimits");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{st}");
        if (r < 0)
                return report_error(NULL, r, words[1]);
        for (char **w = words + 2; *w; w++) {
                const char *limit, *what;
                uint64_t value;

                what = property_parse(*w, &limit, &value);
                if (what) {
                        (void) fprintf(stderr, "northflarectl: %s: %s\n", *w, what);
                        return EXIT_USAGE;
                }
                r = sd_bus_message_append(m, "{st}", limit, value);
                if (r < 0)
                        return report_error(NULL, r, words[1]);
        }
        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call(bus, m, UINT64_MAX, &error, NULL);
        return r < 0 ? report_error(&error, r, words[1]) : EXIT_OK;
}
