/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "ctl/options.h"
#include "ctl/terminal/terminal.h"

/* A string sequence that never ends must not swallow the rest of the output. */
#define STRING_MAX 4096

static struct {
        bool tty[2], colour[2];
        pid_t pager;
} terminal;

static int index_of(FILE *f) {
        return f == stderr;
}

void terminal_open(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        bool colours = isempty(no_color) && !isempty(term) && !streq(term, "dumb");

        for (int i = 0; i < 2; i++) {
                terminal.tty[i] = isatty(i == 0 ? STDOUT_FILENO : STDERR_FILENO);
                terminal.colour[i] = terminal.tty[i] && colours;
        }
}

bool terminal_is_out(void) {
        return terminal.tty[0];
}

bool terminal_is_err(void) {
        return terminal.tty[1];
}

const char *style(FILE *f, Style s) {
        static const char *const sequences[] = {
                [STYLE_NORMAL] = "\033[0m", [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
                [STYLE_RED] = "\033[31m",   [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
        };

        return terminal.colour[index_of(f)] ? sequences[s] : "";
}

static uint32_t decode(const char *s, size_t n) {
        const unsigned char *u = (const unsigned char *) s;

        switch (n) {
        case 1:
                return u[0];
        case 2:
                return (uint32_t) (u[0] & 0x1f) << 6 | (u[1] & 0x3f);
        case 3:
                return (uint32_t) (u[0] & 0x0f) << 12 | (uint32_t) (u[1] & 0x3f) << 6 | (u[2] & 0x3f);
        default:
                return (uint32_t) (u[0] & 0x07) << 18 | (uint32_t) (u[1] & 0x3f) << 12 |
                        (uint32_t) (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
        }
}

static bool is_harmful(uint32_t c) {
        return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0x61c ||
                (c >= 0x200e && c <= 0x200f) || /* direction marks */
                (c >= 0x2028 && c <= 0x202e) || /* line separators, embeddings and overrides */
                (c >= 0x2066 && c <= 0x2069) || /* isolates */
                c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || /* invisible marks */
                (c >= 0xe0000 && c <= 0xe007f);                /* tags: invisible text */
}

/* One character inside an escape sequence. */
static void skip_sequence(Sanitizer *s, uint32_t c) {
        switch (s->state) {
        case SANITIZER_ESCAPE:
                s->skipped = 0;
                s->state = c == '['                                    ? SANITIZER_CSI :
                        strchr("]P^_X", (int) c) && c != 0 && c < 0x80 ? SANITIZER_STRING :
                        c >= 0x20 && c <= 0x2f ? SANITIZER_ESCAPE /* ESC ( B and its like */ :
                                                 SANITIZER_TEXT;
                break;
        case SANITIZER_CSI:
                if (c < 0x20 || c > 0x3f || ++s->skipped > STRING_MAX)
                        s->state = c == 0x1b ? SANITIZER_ESCAPE : SANITIZER_TEXT;
                break;
        case SANITIZER_STRING:
                if (c == 0x07 || c == 0x9c || ++s->skipped > STRING_MAX)
                        s->state = SANITIZER_TEXT;
                else if (c == 0x1b)
                        s->state = SANITIZER_STRING_ESCAPE;
                break;
        default: /* the \ of ST, or another sequence that begins here */
                s->state = SANITIZER_ESCAPE;
                skip_sequence(s, c);
        }
}

int sanitize(Sanitizer *s, const char *text, size_t size, Buffer *out) {
        for (size_t i = 0; i < size;) {
                size_t n = utf8_sequence(text + i, size - i);
                uint32_t c = n > 0 ? decode(text + i, n) : 0xfffd;

                if (s->state != SANITIZER_TEXT)
                        skip_sequence(s, c);
                else {
                        if (s->carriage_return && c != '\n')
                                (void) buffer_append(out, "\n", 1);
                        s->carriage_return = c == '\r';
                        if (c == 0x1b)
                                s->state = SANITIZER_ESCAPE;
                        else if (c == 0x9b) {
                                s->state = SANITIZER_CSI;
                                s->skipped = 0;
                        } else if (c == 0x90 || c == 0x98 || (c >= 0x9d && c <= 0x9f)) {
                                s->state = SANITIZER_STRING;
                                s->skipped = 0;
                        } else if (c == '\r')
                                ; /* with the next character */
                        else if (n == 0 || is_harmful(c))
                                (void) buffer_append_str(out, "\xef\xbf\xbd");
                        else
                                (void) buffer_append(out, text + i, n);
                }
                i += MAX(n, (size_t) 1);
        }
        return out->failed ? -ENOMEM : 0;
}

char *sanitize_line(const char *text, size_t max) {
        _cleanup_buffer_ Buffer b = {};
        Sanitizer s = {};
        size_t n = 0;

        text = strempty(text);
        if (sanitize(&s, text, strlen(text), &b) < 0 || buffer_append_str(&b, "") < 0)
                return NULL;
        for (size_t i = 0; i < b.size;) {
                size_t k = utf8_sequence(b.data + i, b.size - i);

                if (b.data[i] == '\n' || b.data[i] == '\t')
                        b.data[i] = ' ';
                if (++n > max) {
                        _cleanup_buffer_ Buffer cut = {};

                        (void) buffer_append(&cut, b.data, i);
                        (void) buffer_append_str(&cut, "…");
                        return buffer_steal(&cut);
                }
                i += MAX(k, (size_t) 1);
        }
        return b.data ? buffer_steal(&b) : strdup("");
}

void put_text(FILE *f, Sanitizer *s, const char *text, size_t size) {
        _cleanup_buffer_ Buffer b = {};
        Sanitizer own = {};

        if (!terminal.tty[index_of(f)]) {
                (void) fwrite(text, 1, size, f);
                return;
        }
        if (sanitize(s ? s : &own, text, size, &b) >= 0 && b.size > 0)
                (void) fwrite(b.data, 1, b.size, f);
}

void put_str(FILE *f, const char *text) {
        put_text(f, NULL, strempty(text), strlen(strempty(text)));
}

void pager_open(void) {
        const char *own = getenv("SYSTEMD_PAGER"), *pager = own ? own : getenv("PAGER");
        int p[2];
        pid_t pid;

        if (arg.no_pager || !terminal.tty[0] || terminal.pager > 0 || streq_ptr(getenv("TERM"), "dumb"))
                return;
        /* A small system has no less, and what was asked for would be lost. */
        if (!pager)
                pager = "if command -v less >/dev/null; then exec less; else exec cat; fi";
        if (isempty(pager) || streq(pager, "cat"))
                return;
        if (pipe2(p, O_CLOEXEC) < 0)
                return;
        (void) fflush(stdout);
        pid = fork();
        if (pid < 0) {
                safe_close(p[0]);
                safe_close(p[1]);
                return;
        }
        if (pid == 0) {
                (void) dup2(p[0], STDIN_FILENO);
                (void) setenv("LESS", "FRSXMK", 0);
                /* No shell, no other files from inside the pager: what it shows may be an agent's text. */
                (void) setenv("LESSSECURE", "1", 1);
                (void) execlp("sh", "sh", "-c", pager, (char *) NULL);
                (void) execlp("cat", "cat", (char *) NULL);
                _exit(127);
        }
        safe_close(p[0]);
        (void) dup2(p[1], STDOUT_FILENO);
        safe_close(p[1]);
        terminal.pager = pid;
        /* It may be left before the end of the output. */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGINT, SIG_IGN);
}

void pager_close(void) {
        if (terminal.pager <= 0)
                return;
        (void) fflush(stdout);
        (void) close(STDOUT_FILENO);
        while (waitpid(terminal.pager, NULL, 0) < 0 && errno == EINTR)
                ;
        terminal.pager = 0;
}

void print_json(Json *o) {
        int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

        flags |= arg.json == JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED :
                                           JSON_C_TO_STRING_PLAIN;
        put_str(stdout, json_object_to_json_string_ext(o, flags));
        (void) putchar('\n');
}
