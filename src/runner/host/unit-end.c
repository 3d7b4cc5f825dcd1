/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-journal.h>
#include <systemd/sd-messages.h>

#include "runner/host/unit-end.h"

/* Of one run: its end is among the last things that the manager says of it. */
#define LINES_MAX 64

static const char *word(const char *s, const char *otherwise) {
        return s[0] ? s : otherwise;
}

static bool is_order(const char *signal) {
        return streq(signal, "TERM") || streq(signal, "INT") || streq(signal, "HUP");
}

/* What the kernel does to a program that does something wrong, and abort(3). */
static bool is_crash(const char *signal) {
        static const char *const signals[] = { "SEGV", "ABRT", "BUS", "FPE", "ILL", "SYS", "TRAP" };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (streq(signal, signals[i]))
                        return true;
        return false;
}

bool unit_end_is_violent(const UnitEnd *e) {
        if (streq(e->result, "watchdog") || streq(e->result, "oom-kill") || streq(e->code, "dumped"))
                return true;
        return streq(e->code, "killed") && !is_order(e->status);
}

static char *what_was_it(const UnitEnd *e, const char *program) {
        const char *signal = word(e->status, "unknown");

        if (streq(e->result, "watchdog"))
                return xasprintf(
                        "%s stopped responding to systemd's watchdog and was ended by signal %s",
                        program,
                        signal);
        if (streq(e->result, "oom-kill"))
                return xasprintf("%s was killed by signal %s because memory ran out", program, signal);
        if (streq(e->result, "timeout"))
                return xasprintf("%s did not stop in time and was ended by signal %s", program, signal);
        if (is_crash(signal))
                return xasprintf("%s crashed with signal %s", program, signal);
        if (e->code[0])
                return xasprintf("%s was killed by signal %s; the sender is unknown", program, signal);
        return xasprintf("%s ended without a report, and the journal has no reason", program);
}

char *unit_end_text(const UnitEnd *e, const char *program, const char *unit, bool user_mode) {
        _cleanup_free_ char *what = what_was_it(e, program);

        if (!what)
                return NULL;
        return xasprintf(
                "%s. See: %sjournalctl %s %s",
                what,
                is_crash(e->status) ? "coredumpctl info, " : "",
                user_mode ? "--user -u" : "-u",
                unit);
}

/* ---- the journal ---- */

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = xasprintf("%s=%s", field, value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

static int add_id(sd_journal *j, sd_id128_t id) {
        char text[SD_ID128_STRING_MAX];

        return add_match(j, "MESSAGE_ID", sd_id128_to_string(id, text));
}

/* Of pid 1, or of our own user's manager, who calls the fields otherwise. No agent of the system's runner is either. */
static int add_matches(sd_journal *j, const char *unit, const char *invocation, bool user_mode) {
        _cleanup_free_ char *uid = xasprintf("%u", (unsigned) geteuid());
        int r = uid ? 0 : -ENOMEM;

        if (r >= 0)
                r = add_id(j, SD_MESSAGE_UNIT_PROCESS_EXIT);
        if (r >= 0)
                r = add_id(j, SD_MESSAGE_UNIT_FAILURE_RESULT);
        if (r >= 0)
                r = add_id(j, SD_MESSAGE_UNIT_SUCCESS);
        if (r >= 0)
                r = add_match(j, user_mode ? "USER_UNIT" : "UNIT", unit);
        if (r >= 0)
                r = add_match(j, user_mode ? "USER_INVOCATION_ID" : "INVOCATION_ID", invocation);
        if (r >= 0)
                r = user_mode ? add_match(j, "_UID", uid) : add_match(j, "_PID", "1");
        return r;
}

/* The last word of each kind counts, and they are read backwards. */
static void take(sd_journal *j, const char *field, char *ret, size_t size) {
        const void *data;
        size_t n, skip = strlen(field) + 1;

        if (ret[0] || sd_journal_get_data(j, field, &data, &n) < 0 || n < skip)
                return;
        (void) snprintf(ret, size, "%.*s", (int) MIN(n - skip, size - 1), (const char *) data + skip);
}

/* systemd has the number. */
static void name_signal(UnitEnd *e) {
        uint64_t n;
        const char *name = safe_atou64(e->status, &n) >= 0 && n < 65 ? sigabbrev_np((int) n) : NULL;

        if (name && !streq(e->code, "exited"))
                (void) snprintf(e->status, sizeof(e->status), "%s", name);
}

static int read_end(sd_journal *j, UnitEnd *ret) {
        int r = sd_journal_seek_tail(j);
        unsigned n = 0;

        while (r >= 0 && n < LINES_MAX && (r = sd_journal_previous(j)) > 0) {
                const void *data;
                size_t size;

                n++;
                take(j, "EXIT_STATUS", ret->status, sizeof(ret->status));
                take(j, "EXIT_CODE", ret->code, sizeof(ret->code));
                take(j, "UNIT_RESULT", ret->result, sizeof(ret->result));
                if (!ret->result[0] && sd_journal_get_data(j, "EXIT_CODE", &data, &size) < 0 &&
                    sd_journal_get_data(j, "UNIT_RESULT", &data, &size) < 0)
                        (void) snprintf(ret->result, sizeof(ret->result), "success");
        }
        if (r >= 0 && n > 0)
                name_signal(ret);
        return r < 0 ? r : n > 0;
}

int unit_end_find(const char *unit, const char *invocation, bool user_mode, UnitEnd *ret) {
        sd_journal *j = NULL;
        int r;

        *ret = (UnitEnd){};
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return 0;
        r = add_matches(j, unit, invocation, user_mode);
        if (r >= 0)
                r = read_end(j, ret);
        sd_journal_close(j);
        return r > 0;
}
