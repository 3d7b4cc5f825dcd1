/* SPDX-License-Identifier: MIT */
/* Runs one conversation from its start to its end, over D-Bus with sd-bus. It reads the events from a descriptor (OpenEvents),
 * allows each question of the agent, and stops the conversation after the first turn.
 *
 *     cc -o conversation conversation.c $(pkg-config --cflags --libs libsystemd)
 *     ./conversation claude 'Fix the test'
 *
 * A program would parse the events with a JSON library. For an example, a search for words is enough. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#define NAME "org.northflare.Runner1"
#define MANAGER "/org/northflare/Runner1"

static sd_bus *bus;

static int fail(const char *what, const sd_bus_error *error, int r) {
        fprintf(stderr, "%s: %s\n", what, error && error->message ? error->message : strerror(-r));
        return EXIT_FAILURE;
}

/* Returns the text behind "name":" in a line of JSON, up to the next quote. The caller frees it. */
static char *member(const char *line, const char *name) {
        char pattern[64];
        const char *p;

        snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
        p = strstr(line, pattern);
        return p ? strndup(p + strlen(pattern), strcspn(p + strlen(pattern), "\"")) : NULL;
}

static int start(const char *agent, const char *prompt, char **ret_path) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        const char *id, *path;
        int r;

        r = sd_bus_call_method(bus, NAME, MANAGER, NAME ".Manager", "StartConversation", &error, &reply, "a{sv}", 2, "agent",
                               "s", agent, "prompt", "s", prompt);
        if (r < 0)
                return fail("StartConversation", &error, r);
        sd_bus_message_read(reply, "s", &id);
        printf("started %s\n", id);
        r = sd_bus_call_method(bus, NAME, MANAGER, NAME ".Manager", "GetConversation", &error, &reply, "s", id);
        if (r < 0)
                return fail("GetConversation", &error, r);
        sd_bus_message_read(reply, "o", &path);
        *ret_path = strdup(path);
        sd_bus_message_unref(reply);
        return EXIT_SUCCESS;
}

static FILE *open_events(const char *path) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        FILE *stream;
        int fd, r;

        r = sd_bus_call_method(bus, NAME, path, NAME ".Conversation", "OpenEvents", &error, &reply, "s", "");
        if (r < 0) {
                fail("OpenEvents", &error, r);
                return NULL;
        }
        /* The message owns the descriptor. */
        sd_bus_message_read(reply, "h", &fd);
        stream = fdopen(dup(fd), "r");
        sd_bus_message_unref(reply);
        return stream;
}

static int allow(const char *path, const char *request) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        printf("question %s: allow\n", request);
        r = sd_bus_call_method(bus, NAME, path, NAME ".Conversation", "AnswerPermission", &error, NULL, "ssa{sv}", request,
                               "allow", 0);
        return r < 0 ? fail("AnswerPermission", &error, r) : EXIT_SUCCESS;
}

static int stop(const char *path) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        /* The runner replies when all processes have ended. */
        r = sd_bus_call_method(bus, NAME, path, NAME ".Conversation", "Stop", &error, NULL, "a{sv}", 1, "reason", "s",
                               "the example is over");
        return r < 0 ? fail("Stop", &error, r) : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        char *path = NULL, *line = NULL;
        int status, ended = 0, r;
        size_t size = 0;
        FILE *events;

        /* For a user's own runner: sd_bus_open_user(). */
        r = sd_bus_open_system(&bus);
        if (r < 0)
                return fail("The system bus", NULL, r);
        status = start(argc > 1 ? argv[1] : "claude", argc > 2 ? argv[2] : "Say hello.", &path);
        events = status == EXIT_SUCCESS ? open_events(path) : NULL;
        if (!events)
                return EXIT_FAILURE;
        while (status == EXIT_SUCCESS && getline(&line, &size, events) >= 0) {
                char *method = member(line, "method"), *value;

                if (method && strcmp(method, "permission.request") == 0) {
                        value = member(line, "messageId");
                        status = allow(path, value);
                        free(value);
                } else if (method && strcmp(method, "message.agent") == 0) {
                        value = member(line, "type");
                        printf("event %s\n", value);
                        if (value && strcmp(value, "turn_end") == 0)
                                status = stop(path);
                        free(value);
                } else if (method && strcmp(method, "conversation.ended") == 0) {
                        value = member(line, "reason");
                        printf("ended: %s\n", value);
                        ended = 1;
                        free(value);
                } else
                        printf("%s\n", method);
                fflush(stdout);
                free(method);
        }
        fclose(events);
        free(line);
        free(path);
        sd_bus_flush_close_unref(bus);
        /* The stream ends after conversation.ended. It ends earlier if the runner was restarted: call OpenEvents() again. */
        return status == EXIT_SUCCESS && ended ? EXIT_SUCCESS : EXIT_FAILURE;
}
