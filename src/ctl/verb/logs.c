/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <systemd/sd-journal.h>

#include "common/scope-name.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/logs.h"

/* The journal of a conversation: what the processes in its scopes wrote, what systemd says about these scopes, and what the
 * runner says about the conversation. An agent can write any field it likes except those that begin with _, so each rule rests
 * on one of these. */

#define LINES_DEFAULT 1000
/* A conversation that is followed may get a new run: scopes that are not there yet. */
#define RUNS_AHEAD 3

static const char *unit_field(void) {
        return arg.user ? "_SYSTEMD_USER_UNIT" : "_SYSTEMD_UNIT";
}

static int match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *m = xasprintf("%s=%s", field, value);

        return m ? sd_journal_add_match(j, m, 0) : -ENOMEM;
}

/* A unit's own lines, and systemd's about it. */
static int match_unit(sd_journal *j, const char *unit) {
        int r;

        r = match(j, unit_field(), unit);
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        if (r >= 0)
                r = match(j, arg.user ? "USER_UNIT" : "UNIT", unit);
        if (r >= 0)
                r = arg.user ? match(j, "_COMM", "systemd") : match(j, "_PID", "1");
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        return r;
}

static int match_conversation(sd_journal *j, const char *id) {
        uint32_t last = 0;
        const void *data;
        size_t size;
        int r;

        r = sd_journal_query_unique(j, unit_field());
        if (r < 0)
                return r;
        SD_JOURNAL_FOREACH_UNIQUE(j, data, size) {
                _cleanup_free_ char *text = strndup(data, size);
                const char *unit = text ? strchr(text, '=') : NULL;
                ScopeName name;

                if (unit && scope_name_parse(unit + 1, &name) && name.kind == SCOPE_AGENT &&
                    streq(name.id, id))
                        last = MAX(last, name.run);
        }
        for (uint32_t run = 1; run <= last + RUNS_AHEAD; run++) {
                _cleanup_free_ char *unit = scope_name(SCOPE_AGENT, id, run);

                r = unit ? match_unit(j, unit) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        r = match(j, "NORTHFLARE_CONVERSATION_ID", id);
        return r < 0 ? r : match(j, unit_field(), "northflare-runner.service");
}

static char *field(sd_journal *j, const char *name) {
        const void *data;
        size_t size, l = strlen(name) + 1;

        if (sd_journal_get_data(j, name, &data, &size) < 0 || size < l)
                return NULL;
        return strndup((const char *) data + l, size - l);
}

static void print_entry(sd_journal *j) {
        static const char *const names[] = {
                "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_PID", "_UID", "_SYSTEMD_UNIT", "MESSAGE_ID",
        };
        _cleanup_free_ char *message = field(j, "MESSAGE"), *identifier = field(j, "SYSLOG_IDENTIFIER"),
                            *pid = field(j, "_PID"), *priority = field(j, "PRIORITY"), *name = NULL;
        uint64_t usec = 0, level = 6;
        char stamp[32] = "";
        struct tm tm;
        time_t t;
        Style s;

        (void) sd_journal_get_realtime_usec(j, &usec);
        if (arg.json != JSON_OFF) {
                _cleanup_json_ Json *o = json_object_new_object();

                (void) json_set_u64(o, "__REALTIME_TIMESTAMP", usec);
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        _cleanup_free_ char *v = field(j, names[i]);

                        (void) json_set_string(o, names[i], v);
                }
                print_json(o);
                return;
        }
        t = (time_t) (usec / USEC_PER_SEC);
        if (localtime_r(&t, &tm))
                (void) strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
        if (priority)
                (void) safe_atou64(priority, &level);
        s = level <= 3 ? STYLE_RED : level == 4 ? STYLE_YELLOW : level == 7 ? STYLE_DIM : STYLE_NORMAL;
        name = sanitize_line(identifier ? identifier : "?", 64);
        (void) printf("%s %s[%s]: %s", stamp, strempty(name), pid ? pid : "?", style(stdout, s));
        put_str(stdout, message);
        (void) printf("%s\n", style(stdout, STYLE_NORMAL));
}

static int seek(sd_journal *j) {
        uint64_t lines = arg.lines_set ? arg.lines : arg.follow ? 10 : LINES_DEFAULT;
        int r;

        r = sd_journal_seek_tail(j);
        if (r < 0 || lines == 0)
                return r < 0 ? r : sd_journal_previous(j);
        r = sd_journal_previous_skip(j, lines);
        return r;
}

static int show(sd_journal *j) {
        /* seek() stands on the first entry to show, except for none. */
        int r = seek(j);
        bool any = r > 0;

        if (r > 0 && !(arg.lines_set && arg.lines == 0))
                print_entry(j);
        for (;;) {
                while ((r = sd_journal_next(j)) > 0) {
                        any = true;
                        print_entry(j);
                        if (ferror(stdout))
                                return 0;
                }
                if (r < 0 || !arg.follow)
                        break;
                (void) fflush(stdout);
                r = sd_journal_wait(j, UINT64_MAX);
                if (r < 0)
                        break;
        }
        if (r >= 0 && !any)
                (void) fputs(
                        geteuid() == 0 || arg.user ?
                                "No entries.\n" :
                                "No entries that you are allowed to read; members of the group systemd-journal see all of them.\n",
                        stderr);
        return r;
}

int verb_logs(char **words) {
        sd_journal *j = NULL;
        int r;

        if (arg.host || arg.machine) {
                (void) fprintf(
                        stderr,
                        "northflarectl: the journal of another machine has to be read there; use: %s %s northflarectl logs%s%s\n",
                        arg.host ? "ssh" : "systemd-run -qtM",
                        arg.host ? arg.host : arg.machine,
                        words[1] ? " " : "",
                        strempty(words[1]));
                return EXIT_FAILED;
        }
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0) {
                (void) fprintf(stderr, "Failed to open the journal: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        if (words[1])
                r = match_conversation(j, words[1]);
        else {
                r = match_unit(j, "northflare-runner.service");
                if (r >= 0)
                        r = match_unit(j, "northflare-launcher.service");
        }
        if (r >= 0) {
                if (!arg.follow)
                        pager_open();
                r = show(j);
        }
        sd_journal_close(j);
        if (r < 0)
                (void) fprintf(stderr, "Failed to read the journal: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILED : EXIT_OK;
}
