/* SPDX-License-Identifier: MIT */
#include "ctl/options.h"
#include "ctl/terminal/render.h"
#include "ctl/terminal/terminal.h"

#define SUMMARY_MAX 160

/* Both streams may show on one terminal: a line that one began is ended before the other continues. */
static void begin_line(Renderer *r, FILE *f) {
        bool *other = f == stdout ? &r->in_line_err : &r->in_line_out;

        if (*other && (f == stdout ? terminal_is_out() : terminal_is_err())) {
                FILE *o = f == stdout ? stderr : stdout;

                if (f == stdout ? terminal_is_err() : terminal_is_out()) {
                        (void) fputc('\n', o);
                        (void) fflush(o);
                        *other = false;
                }
        }
}

static void put(Renderer *r, FILE *f, Json *text) {
        const char *s = json_object_get_string(text);
        size_t n = json_object_is_type(text, json_type_string) ? (size_t) json_object_get_string_len(text) :
                                                                 0;

        if (n == 0)
                return;
        begin_line(r, f);
        put_text(f, f == stdout ? &r->out : &r->err, s, n);
        *(f == stdout ? &r->in_line_out : &r->in_line_err) = s[n - 1] != '\n';
        (void) fflush(f);
}

void render_note(Renderer *r, Style s, const char *text) {
        begin_line(r, stderr);
        if (r->in_line_err)
                (void) fputc('\n', stderr);
        (void) fputs(style(stderr, s), stderr);
        put_str(stderr, text);
        (void) fputs(style(stderr, STYLE_NORMAL), stderr);
        (void) fputc('\n', stderr);
        r->in_line_err = false;
}

static void note(Renderer *r, Style s, const char *prefix, const char *text) {
        _cleanup_free_ char *line = sanitize_line(text, SUMMARY_MAX),
                            *whole = xasprintf("%s%s", prefix, strempty(line));

        if (whole)
                render_note(r, s, whole);
}

static void render_tool_call(Renderer *r, Json *e) {
        static const char *const informative[] = {
                "command", "file_path", "path", "pattern", "url", "query", "description",
        };
        Json *input = json_get(e, "input");
        const char *what = NULL;
        _cleanup_free_ char *prefix = NULL;

        for (size_t i = 0; i < ELEMENTSOF(informative) && !what; i++)
                what = json_get_string(input, informative[i]);
        prefix = xasprintf("» %s ", strempty(json_get_string(e, "name")));
        note(r, STYLE_DIM, strempty(prefix), what ? what : input ? json_text(input) : "");
}

static void render_turn_end(Renderer *r, Json *e, TurnEnd *ret) {
        const char *reason = strempty(json_get_string(e, "reason")), *text = json_get_string(e, "text");
        uint64_t code = 0, number = 0;
        bool ok = false;

        (void) json_get_bool(e, "ok", &ok);
        ret->ended = true;
        if (json_get_u64(e, "exitCode", &code) > 0)
                ret->status = (int) (code & 255);
        else if (json_get_u64(e, "signal", &number) > 0)
                ret->status = 128 + (int) (number & 127);
        else
                ret->status = ok ? EXIT_OK : streq(reason, "interrupted") ? 128 + 2 : EXIT_FAILED;
        r->delta = false;
        if (!r->talk)
                return;
        if (r->in_line_out) {
                (void) fputc('\n', stdout);
                (void) fflush(stdout);
                r->in_line_out = false;
        }
        if (ok)
                return;
        if (number > 0) {
                _cleanup_free_ char *s = xasprintf("signal %llu", (unsigned long long) number);

                note(r, STYLE_YELLOW, "turn ended by ", strempty(s));
        } else if (code > 0) {
                _cleanup_free_ char *s = xasprintf("%llu", (unsigned long long) code);

                note(r, STYLE_YELLOW, "exit status ", strempty(s));
        } else
                note(r, STYLE_YELLOW, "turn ended: ", text ? text : reason);
}

static void render_agent_event(Renderer *r, Json *e, TurnEnd *ret_turn) {
        const char *type = strempty(json_get_string(e, "type"));

        if (streq(type, "text")) {
                r->delta = true;
                put(r,
                    streq_ptr(json_get_string(e, "stream"), "stderr") ? stderr : stdout,
                    json_get(e, "delta"));
        } else if (streq(type, "message")) {
                if (!r->delta)
                        put(r, stdout, json_get(e, "text"));
                if (r->in_line_out) {
                        (void) fputc('\n', stdout);
                        (void) fflush(stdout);
                        r->in_line_out = false;
                }
                r->delta = false;
        } else if (streq(type, "thinking") && r->talk && terminal_is_err()) {
                (void) fputs(style(stderr, STYLE_DIM), stderr);
                put(r, stderr, json_get(e, "delta"));
                (void) fputs(style(stderr, STYLE_NORMAL), stderr);
        } else if (streq(type, "tool_call"))
                render_tool_call(r, e);
        else if (streq(type, "tool_result")) {
                bool ok = true;

                (void) json_get_bool(e, "ok", &ok);
                if (!ok)
                        note(r, STYLE_YELLOW, "« failed: ", json_get_string(e, "text"));
                else if (r->talk)
                        note(r, STYLE_DIM, "« ", json_get_string(e, "text"));
        } else if (streq(type, "error"))
                note(r, STYLE_RED, "error: ", json_get_string(e, "text"));
        else if (streq(type, "notice"))
                note(r, STYLE_YELLOW, "note: ", json_get_string(e, "text"));
        else if (streq(type, "turn_end"))
                render_turn_end(r, e, ret_turn);
}

static void render_limit(Renderer *r, Json *params) {
        const char *limit = strempty(json_get_string(params, "limit")),
                   *victim = json_get_string(params, "victim");
        _cleanup_free_ char *line = NULL;

        if (streq(limit, "memoryHigh"))
                return; /* it is slow, and that is all */
        line = victim ? xasprintf("%s, killed: %s", limit, victim) : strdup(limit);
        note(r, STYLE_YELLOW, "limit reached: ", strempty(line));
}

static void render_ended(Renderer *r, Json *params) {
        const char *reason = strempty(json_get_string(params, "reason")),
                   *by = json_get_string(params, "stoppedBy");
        _cleanup_free_ char *line = NULL;

        if (!r->talk && (streq(reason, "completed") || streq(reason, "stopped")))
                return;
        line = xasprintf("%s%s%s", reason, by ? " by " : "", strempty(by));
        note(r, STYLE_DIM, "conversation ended: ", strempty(line));
}

void render_event(Renderer *r, Json *event, TurnEnd *ret_turn) {
        const char *method = strempty(json_get_string(event, "method"));
        Json *params = json_get(event, "params");

        *ret_turn = (TurnEnd){};
        if (streq(method, "message.agent"))
                render_agent_event(r, json_get(params, "event"), ret_turn);
        else if (streq(method, "error.report"))
                note(r,
                     STYLE_RED,
                     "error: ",
                     json_get_string(params, "text") ?: json_get_string(params, "code"));
        else if (streq(method, "conversation.limit"))
                render_limit(r, params);
        else if (streq(method, "permission.expired"))
                note(r, STYLE_YELLOW, "denied, since no answer came in time", "");
        else if (streq(method, "git.progress") && r->talk)
                note(r, STYLE_DIM, "git: ", json_get_string(params, "phase"));
        else if (streq(method, "conversation.ended"))
                render_ended(r, params);
}

/* Each line is marked, so that a value cannot pass for words of ours. */
static void render_lines(Renderer *r, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");
                _cleanup_free_ char *line = xasprintf("    │ %.*s", (int) n, text);

                if (line)
                        render_note(r, STYLE_NORMAL, line);
                text += n + (text[n] == '\n');
        }
}

/* What of a question is not there in full. */
static void render_cut(Renderer *r, Json *cut) {
        if (!json_object_is_type(cut, json_type_object))
                return;
        json_object_object_foreach(cut, name, value) {
                const char *begins = json_get_string(value, "begins");
                _cleanup_free_ char *head = NULL;
                uint64_t size = 0;

                (void) json_get_u64(value, "size", &size);
                head = xasprintf(
                        "%s: %llu bytes, %s; northflarectl permissions --all shows all of it",
                        name,
                        (unsigned long long) size,
                        begins ? "of which this is the beginning" : "which are not shown here");
                note(r, STYLE_YELLOW, "  ", strempty(head));
                if (begins)
                        render_lines(r, begins);
        }
}

void render_question(Renderer *r, Json *question) {
        const char *title = json_get_string(question, "title"), *tool = json_get_string(question, "tool");
        Json *input = json_get(question, "input");
        _cleanup_free_ char *head = NULL;

        head = xasprintf("%s%s%s", strempty(tool), title && tool ? ": " : "", strempty(title));
        note(r, STYLE_BOLD, "The agent asks: ", strempty(head));
        render_cut(r, json_get(question, "cut"));
        if (!json_object_is_type(input, json_type_object))
                return;
        json_object_object_foreach(input, name, value) {
                note(r, STYLE_BOLD, "  ", name);
                render_lines(
                        r,
                        json_object_is_type(value, json_type_string) ? json_object_get_string(value) :
                                                                       json_text(value));
        }
}
