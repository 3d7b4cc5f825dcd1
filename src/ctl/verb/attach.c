/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/buffer.h"
#include "ctl/bus/connection.h"
#include "ctl/bus/event-stream.h"
#include "ctl/console.h"
#include "ctl/options.h"
#include "ctl/terminal/render.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/attach.h"

typedef struct Chat {
        sd_event *event;
        const char *id;
        char *path;
        Renderer renderer;
        Console *console;
        unsigned calls; /* without a reply yet */
        bool leaving;
        int status;
} Chat;

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Chat *chat = userdata;

        chat->calls--;
        if (sd_bus_message_is_method_error(m, NULL)) {
                render_note(&chat->renderer, STYLE_RED, sd_bus_message_get_error(m)->message);
                if (chat->leaving)
                        chat->status = EXIT_FAILED;
        }
        if (chat->leaving && chat->calls == 0)
                (void) sd_event_exit(chat->event, chat->status);
        return 1;
}

static void on_line(const char *line, void *userdata) {
        Chat *chat = userdata;
        int r = -EILSEQ;

        if (utf8_is_for_bus(line))
                r = sd_bus_call_method_async(
                        bus,
                        NULL,
                        BUS_NAME,
                        chat->path,
                        INTERFACE_CONVERSATION,
                        "SendMessage",
                        on_reply,
                        chat,
                        "s",
                        line);
        if (r >= 0)
                chat->calls++;
        else
                render_note(
                        &chat->renderer,
                        STYLE_RED,
                        r == -EILSEQ ? "Message not sent: it is not text that D-Bus can carry." :
                                       strerror(-r));
}

static void on_eof(void *userdata) {
        Chat *chat = userdata;

        render_note(&chat->renderer, STYLE_DIM, "(detached; the conversation continues)");
        /* The bus would refuse the calls of a client that has left. */
        chat->leaving = true;
        if (chat->calls == 0)
                (void) sd_event_exit(chat->event, EXIT_OK);
}

static void on_failed(const char *text, void *userdata) {
        Chat *chat = userdata;

        render_note(&chat->renderer, STYLE_RED, strempty(text));
}

static void on_event(Json *event, bool whole, const char *line, void *userdata) {
        Chat *chat = userdata;
        TurnEnd end;

        render_event(&chat->renderer, event, &end);
        console_follow(chat->console, event);
        if (end.ended)
                console_gone(chat->console, NULL);
}

static void on_end(int status, void *userdata) {
        Chat *chat = userdata;

        (void) sd_event_exit(chat->event, status);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Chat *chat = userdata;

        if (si->ssi_signo != SIGINT)
                return sd_event_exit(chat->event, 128 + (int) si->ssi_signo);
        if (sd_bus_call_method_async(
                    bus,
                    NULL,
                    BUS_NAME,
                    chat->path,
                    INTERFACE_CONVERSATION,
                    "Interrupt",
                    on_reply,
                    chat,
                    NULL) < 0)
                return sd_event_exit(chat->event, EXIT_FAILED);
        chat->calls++;
        return 0;
}

static int set_up(Chat *chat) {
        static const ConsoleOps ops = { on_line, on_eof, on_failed };
        int r = loop_open(on_signal, chat, &chat->event);

        if (r >= 0)
                r = console_new(chat->event, chat->id, &chat->renderer, &ops, chat, &chat->console);
        return r;
}

/* Questions that were asked before we came. */
static void ask_waiting(Chat *chat, Json *description) {
        Json *questions = json_get(description, "questions");

        for (size_t i = 0; i < json_length(questions); i++)
                console_ask(chat->console, json_object_array_get_idx(questions, i));
}

static void chat_done(Chat *chat) {
        console_free(chat->console);
        sd_event_unref(chat->event);
        free(chat->path);
}

int verb_attach(char **words) {
        static const EventStreamOps stream_ops = { on_event, on_end };
        _cleanup_(event_stream_freep) EventStream *stream = NULL;
        _cleanup_json_ Json *description = NULL;
        _cleanup_free_ char *hello = NULL;
        _cleanup_(chat_done) Chat chat = { .id = words[1], .renderer.talk = true };
        int status = EXIT_OK, r;

        chat.path = conversation_path(chat.id, &status);
        if (!chat.path)
                return status;
        r = set_up(&chat);
        if (r < 0)
                return report_error(NULL, r, chat.id);
        /* First the stream, then the description: what is asked in between is in both, and asked once. */
        status = event_stream_open(
                chat.event, chat.id, arg.all ? "" : "end", true, &stream_ops, &chat, &stream);
        if (status != EXIT_OK)
                return status;
        status = describe(chat.id, &description);
        if (status != EXIT_OK)
                return status;
        hello = xasprintf(
                "%s is %s. A line is a message to the agent; Ctrl-C interrupts it, Ctrl-D leaves it running.",
                chat.id,
                strempty(json_get_string(description, "state")));
        if (isatty(STDIN_FILENO) && hello)
                render_note(&chat.renderer, STYLE_DIM, hello);
        ask_waiting(&chat, description);
        r = sd_event_loop(chat.event);
        return r < 0 ? EXIT_FAILED : r;
}
