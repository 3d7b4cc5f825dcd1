/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <termios.h>

#include "ctl/bus/connection.h"
#include "ctl/console.h"
#include "ctl/terminal/render.h"
#include "ctl/terminal/terminal.h"

typedef struct Question Question;
struct Question {
        Question *next;
        char *request;
        Json *json;
};

struct Console {
        char *id;
        Renderer *renderer;
        const ConsoleOps *ops;
        void *userdata;
        sd_event *event;
        sd_event_source *input;
        bool tty, raw;
        struct termios saved;
        Question *questions; /* the first one is on the screen */
        Buffer line;
};

static void set_raw(Console *c, bool raw) {
        struct termios t = c->saved;

        if (!c->tty || c->raw == raw)
                return;
        if (raw) {
                t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
                t.c_cc[VMIN] = 1;
                t.c_cc[VTIME] = 0;
        }
        /* What was typed before the question was shown is no answer to it. */
        (void) tcsetattr(STDIN_FILENO, raw ? TCSAFLUSH : TCSADRAIN, &t);
        c->raw = raw;
}

static void question_free(Question *q) {
        json_object_put(q->json);
        free(q->request);
        free(q);
}

static void enable_input(Console *c) {
        bool on = c->ops->line || (c->questions && c->tty);

        if (c->input)
                (void) sd_event_source_set_enabled(c->input, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void show_question(Console *c) {
        set_raw(c, c->questions != NULL);
        enable_input(c);
        if (!c->questions)
                return;
        render_question(c->renderer, c->questions->json);
        if (c->tty)
                render_note(c->renderer, STYLE_BOLD, "[a]llow, [d]eny or [l]ater?");
        else {
                _cleanup_free_ char *hint = xasprintf(
                        "Answer with: northflarectl answer %s %s allow|deny", c->id, c->questions->request);

                if (hint)
                        render_note(c->renderer, STYLE_BOLD, hint);
        }
}

void console_gone(Console *c, const char *request) {
        bool shown = false;

        for (Question **p = &c->questions; *p;) {
                Question *q = *p;

                if (request && !streq(q->request, request)) {
                        p = &q->next;
                        continue;
                }
                shown = shown || q == c->questions;
                *p = q->next;
                question_free(q);
                /* The name may have been that question's own. */
                if (request)
                        break;
        }
        if (shown)
                show_question(c);
}

void console_ask(Console *c, Json *question) {
        const char *request = json_get_string(question, "requestId");
        Question **end = &c->questions, *q;

        if (!request)
                request = json_get_string(question, "messageId");
        if (!request)
                return;
        for (; *end; end = &(*end)->next)
                if (streq((*end)->request, request))
                        return;
        q = new0(Question, 1);
        if (!q)
                return;
        q->request = strdup(request);
        q->json = json_object_get(question);
        if (!q->request)
                return question_free(q);
        *end = q;
        if (c->questions == q)
                show_question(c);
}

void console_follow(Console *c, Json *event) {
        const char *method = strempty(json_get_string(event, "method"));
        Json *params = json_get(event, "params"), *e = json_get(params, "event");

        if (streq(method, "permission.request"))
                console_ask(c, params);
        else if (streq(method, "permission.expired"))
                console_gone(c, json_get_string(params, "requestId"));
        else if (streq_ptr(json_get_string(e, "type"), "ask_gone"))
                console_gone(c, json_get_string(e, "requestId"));
}

static int on_answered(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Console *c = userdata;

        if (sd_bus_message_is_method_error(m, NULL) && c->ops->failed)
                c->ops->failed(sd_bus_message_get_error(m)->message, c->userdata);
        return 1;
}

/* What is typed once the note is there is a line again. */
static void done_with_question(Console *c, const char *text) {
        set_raw(c, false);
        render_note(c->renderer, STYLE_DIM, text);
        console_gone(c, c->questions->request);
}

static void answer(Console *c, const char *behavior) {
        _cleanup_free_ char *path = NULL;
        int status, r = -ENOMEM;

        path = conversation_path(c->id, &status);
        if (path)
                r = sd_bus_call_method_async(
                        bus,
                        NULL,
                        BUS_NAME,
                        path,
                        INTERFACE_CONVERSATION,
                        "AnswerPermission",
                        on_answered,
                        c,
                        "ssa{sv}",
                        c->questions->request,
                        behavior,
                        0);
        if (r < 0 && c->ops->failed)
                c->ops->failed(strerror(-r), c->userdata);
        done_with_question(c, streq(behavior, "allow") ? "(allowed)" : "(denied)");
}

/* Whether the key meant something. */
static int on_key(Console *c, char key) {
        switch (key) {
        case 'a':
        case 'A':
                answer(c, "allow");
                return 1;
        case 'd':
        case 'D':
                answer(c, "deny");
                return 1;
        case 'l':
        case 'L':
                done_with_question(c, "(later: northflarectl answer)");
                return 1;
        case 4: /* Ctrl-D */
                if (c->ops->eof)
                        c->ops->eof(c->userdata);
                return 1;
        default:
                return 0;
        }
}

static void on_text(Console *c, const char *data, size_t size) {
        char *end;

        if (!c->ops->line || buffer_append(&c->line, data, size) < 0)
                return;
        while (c->line.size > 0 && (end = memchr(c->line.data, '\n', c->line.size))) {
                *end = 0;
                if (*c->line.data)
                        c->ops->line(c->line.data, c->userdata);
                buffer_consume(&c->line, (size_t) (end - c->line.data) + 1);
        }
}

static int on_input(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Console *c = userdata;
        char data[4096];
        ssize_t n = read(STDIN_FILENO, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                c->input = sd_event_source_disable_unref(c->input);
                if (c->line.size > 0)
                        on_text(c, "\n", 1);
                if (c->ops->eof)
                        c->ops->eof(c->userdata);
                return 0;
        }
        if (!c->raw)
                on_text(c, data, (size_t) n);
        /* One answer at most: what was typed ahead is none for the next question. */
        else
                for (ssize_t i = 0; i < n && c->questions && on_key(c, data[i]) == 0; i++)
                        ;
        return 0;
}

/* A plain file or /dev/null is always readable, and nothing that epoll takes. */
static int on_file_input(sd_event_source *s, void *userdata) {
        return on_input(s, STDIN_FILENO, 0, userdata);
}

int console_new(
        sd_event *event,
        const char *id,
        Renderer *renderer,
        const ConsoleOps *ops,
        void *userdata,
        Console **ret) {
        _cleanup_(console_freep) Console *c = new0(Console, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->id = strdup(id);
        if (!c->id)
                return -ENOMEM;
        c->renderer = renderer;
        c->ops = ops;
        c->userdata = userdata;
        c->event = sd_event_ref(event);
        c->tty = isatty(STDIN_FILENO) && terminal_is_err() && tcgetattr(STDIN_FILENO, &c->saved) >= 0;
        r = sd_event_add_io(event, &c->input, STDIN_FILENO, EPOLLIN, on_input, c);
        if (r == -EPERM)
                r = sd_event_add_defer(event, &c->input, on_file_input, c);
        if (r < 0)
                return r;
        enable_input(c);
        *ret = TAKE_PTR(c);
        return 0;
}

Console *console_free(Console *c) {
        if (!c)
                return NULL;
        set_raw(c, false);
        sd_event_source_disable_unref(c->input);
        while (c->questions) {
                Question *q = c->questions;

                c->questions = q->next;
                question_free(q);
        }
        buffer_done(&c->line);
        sd_event_unref(c->event);
        free(c->id);
        free(c);
        return NULL;
}
