/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <git2.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "git/output.h"

#define TEXT_MAX 600
#define PROGRESS_INTERVAL_USEC (250 * USEC_PER_MSEC)

static const char *output_secret;
static char *failure_code, *failure_text;

void output_set_secret(const char *secret) {
        output_secret = isempty(secret) ? NULL : secret;
}

/* Takes secrets, control characters and length out of text that a server may have written. */
static char *text_sanitise(char *text) {
        size_t n;

        for (char *p; output_secret && (p = strstr(text, output_secret));)
                memset(p, '*', strlen(output_secret));
        n = strlen(text);
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ' || text[n - 1] == '.'))
                text[--n] = 0;
        if (n > TEXT_MAX)
                text[TEXT_MAX] = 0;
        /* A server may write in any encoding, and the end may be in the middle of a character. */
        for (char *p = text; *p;) {
                size_t k = utf8_sequence(p, strnlen(p, 4));

                if (k == 0)
                        *p = '?';
                else if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = ' ';
                p += MAX(k, (size_t) 1);
        }
        return text;
}

int output_fail(const char *code, const char *format, ...) {
        va_list ap;
        char *text = NULL;

        if (failure_code)
                return -EIO;
        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        failure_code = strdup(code);
        failure_text = text ? text_sanitise(text) : NULL;
        return -EIO;
}

int output_fail_git(int git_code, const char *what) {
        const git_error *e = git_error_last();
        const char *text = e && !isempty(e->message) ? e->message : "libgit2 reports no reason";
        int class = e ? e->klass : GIT_ERROR_NONE;

        if (strcasestr(text, "no space left") || strcasestr(text, "disk quota"))
                return output_fail("no-space", "%s: the disk is full", what);
        if (git_code == GIT_ECERTIFICATE)
                return output_fail("certificate", "%s: %s", what, text);
        if (git_code == GIT_EAUTH)
                return output_fail("auth", "%s: %s", what, text);
        if (strstr(text, "status code: 404") || strstr(text, "status code: 410"))
                return output_fail(
                        "not-found",
                        "%s: the server has no such repository, or does not show it without credentials",
                        what);
        if (strstr(text, "status code: 403"))
                return output_fail("auth", "%s: the server forbids it (status 403)", what);
        if (strstr(text, "annot redirect from"))
                return output_fail("redirect", "%s: %s; the repository's own address is needed", what, text);
        if (startswith(text, "SSL error: 0xffffffff")) /* all that mbedTLS says of a read that failed */
                return output_fail(
                        "network",
                        "%s: the connection broke off, or the server was silent for too long",
                        what);
        if (class == GIT_ERROR_NET || class == GIT_ERROR_SSL || class == GIT_ERROR_SSH ||
            class == GIT_ERROR_HTTP)
                return output_fail("network", "%s: %s", what, text);
        if (class == GIT_ERROR_NOMEMORY)
                return output_fail("failed", "%s: out of memory", what);
        return output_fail("failed", "%s: %s", what, text);
}

bool output_failed(void) {
        return !!failure_code;
}

static int write_line(Json *o) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, json_text(o));
        if (buffer_append_str(&b, "\n") < 0)
                return -ENOMEM;
        return write_all(STDOUT_FILENO, b.data, b.size);
}

void output_progress(const char *phase, uint64_t received, uint64_t total, uint64_t bytes) {
        static const char *last_phase;
        static uint64_t last_usec;
        static bool last_complete;
        bool complete = total > 0 && received >= total, same = last_phase && streq(phase, last_phase);
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (same && (last_complete || (!complete && now - last_usec < PROGRESS_INTERVAL_USEC)))
                return;
        last_phase = phase;
        last_usec = now;
        last_complete = complete;

        _cleanup_json_ Json *o = json_object_new_object();
        if (!o || json_set_string(o, "type", "progress") < 0 || json_set_string(o, "phase", phase) < 0 ||
            json_set_u64(o, "received", received) < 0 || json_set_u64(o, "total", total) < 0 ||
            json_set_u64(o, "bytes", bytes) < 0)
                return;
        (void) write_line(o);
}

int output_finish(Json *result) {
        _cleanup_json_ Json *error = NULL;

        if (!failure_code && result)
                return write_line(result) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        error = json_object_new_object();
        if (error && json_set_string(error, "type", "error") >= 0 &&
            json_set_string(error, "code", failure_code ? failure_code : "failed") >= 0 &&
            json_set_string(error, "text", failure_text ? failure_text : "out of memory") >= 0)
                (void) write_line(error);
        return EXIT_FAILURE;
}
