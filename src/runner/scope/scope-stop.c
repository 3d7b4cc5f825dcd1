/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <unistd.h>

#include <systemd/sd-journal.h>
#include <systemd/sd-messages.h>

#include "runner/scope/scope-stop.h"

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = xasprintf("%s=%s", field, value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

/* Of pid 1, or of our own user's manager, who calls the field otherwise. Agents have another uid than a runner of the
 * system; those of a user's own runner could as well stop the scope as forge the line. */
static int add_matches(sd_journal *j, const char *unit) {
        _cleanup_free_ char *message = xasprintf(
                                    SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(SD_MESSAGE_UNIT_STOPPING)),
                            *uid = xasprintf("%u", (unsigned) geteuid());
        int r = message && uid ? 0 : -ENOMEM;

        if (r >= 0)
                r = add_match(j, "MESSAGE_ID", message);
        if (r >= 0)
                r = add_match(j, "UNIT", unit);
        if (r >= 0)
                r = add_match(j, "_PID", "1");
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        if (r >= 0)
                r = add_match(j, "MESSAGE_ID", message);
        if (r >= 0)
                r = add_match(j, "USER_UNIT", unit);
        if (r >= 0)
                r = add_match(j, "_UID", uid);
        return r;
}

int scope_stop_find(const char *unit, uint64_t since_usec, uint64_t *ret_usec) {
        sd_journal *j = NULL;
        uint64_t at = 0;
        int r;

        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return 0;
        r = add_matches(j, unit);
        if (r >= 0)
                r = sd_journal_seek_tail(j);
        if (r >= 0)
                r = sd_journal_previous(j);
        if (r > 0)
                r = sd_journal_get_realtime_usec(j, &at);
        sd_journal_close(j);
        if (r < 0 || at == 0 || at < since_usec)
                return 0;
        *ret_usec = at;
        return 1;
}
