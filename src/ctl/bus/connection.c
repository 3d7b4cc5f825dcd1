/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/polkit-agent.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"

sd_bus *bus;

static const char *bus_name(void) {
        return arg.user ? "user" : "system";
}

int connect_bus(void) {
        int r;

        if (arg.host)
                r = arg.user ? -EOPNOTSUPP : sd_bus_open_system_remote(&bus, arg.host);
        else if (arg.machine)
                r = arg.user ? sd_bus_open_user_machine(&bus, arg.machine) :
                               sd_bus_open_system_machine(&bus, arg.machine);
        else
                r = arg.user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
        if (r == -EOPNOTSUPP) {
                (void) fputs(
                        "northflarectl: --user cannot be combined with --host; name the user as USER@HOST\n",
                        stderr);
                return EXIT_USAGE;
        }
        if (r == -ENOMEDIUM) {
                (void) fputs(
                        "Failed to find the user bus: $XDG_RUNTIME_DIR is not set, is this a login session?\n",
                        stderr);
                return EXIT_NOT_RUNNING;
        }
        if (r < 0) {
                (void) fprintf(stderr, "Failed to connect to the %s bus: %s\n", bus_name(), strerror(-r));
                return EXIT_NOT_RUNNING;
        }
        r = sd_bus_set_allow_interactive_authorization(bus, !arg.no_ask_password);
        if (r >= 0)
                polkit_agent_open();
        return EXIT_OK;
}

int loop_open(sd_event_signal_handler_t on_signal, void *userdata, sd_event **ret) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        sigset_t set;
        int r;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&set, signals[i]);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
        r = sd_event_default(ret);
        if (r >= 0)
                r = sd_bus_attach_event(bus, *ret, 0);
        for (size_t i = 0; i < ELEMENTSOF(signals) && r >= 0; i++)
                r = sd_event_add_signal(*ret, NULL, signals[i], on_signal, userdata);
        return r;
}

void disconnect_bus(void) {
        bus = sd_bus_flush_close_unref(bus);
}

static int report_absent(void) {
        const char *user = arg.user ? "--user " : "";

        if (arg.host)
                (void) fprintf(
                        stderr,
                        "northflare-runner is not running on %s; start it there with: systemctl start northflare-runner\n",
                        arg.host);
        else if (arg.machine)
                (void) fprintf(
                        stderr,
                        "northflare-runner is not running in %s; start it with: systemctl %s-M %s start northflare-runner\n",
                        arg.machine,
                        user,
                        arg.machine);
        else
                (void) fprintf(
                        stderr,
                        "northflare-runner is not running; start it with: systemctl %sstart northflare-runner\n",
                        user);
        return EXIT_NOT_RUNNING;
}

int report_error(const sd_bus_error *error, int r, const char *conversation) {
        static const char *const absent[] = { SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER };
        static const char *const lost[] = {
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_TIMEOUT,
                SD_BUS_ERROR_DISCONNECTED,
        };
        static const char *const denied[] = {
                SD_BUS_ERROR_ACCESS_DENIED,
                SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
        };
        const char *message = error && error->message ? error->message : strerror(r < 0 ? -r : r);
        int status = EXIT_FAILED;

        for (size_t i = 0; i < ELEMENTSOF(absent); i++)
                if (sd_bus_error_has_name(error, absent[i]))
                        return report_absent();
        for (size_t i = 0; i < ELEMENTSOF(lost); i++)
                if (sd_bus_error_has_name(error, lost[i]) || r == -ETIMEDOUT || r == -ECONNRESET ||
                    r == -ENOTCONN) {
                        (void) fputs(
                                arg.host ?
                                        "Connection to the host was lost: is it reachable, and does it have systemd-stdio-bridge?\n" :
                                        "northflare-runner disconnected before it replied.\n",
                                stderr);
                        return EXIT_NOT_RUNNING;
                }
        if (sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_CONVERSATION) ||
            (conversation && sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT))) {
                (void) fputs("There is no conversation \"", stderr);
                put_str(stderr, conversation);
                (void) fputs("\" here.\n", stderr);
                return EXIT_NO_CONVERSATION;
        }
        if (sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_WORKSPACE))
                status = EXIT_NO_CONVERSATION;
        for (size_t i = 0; i < ELEMENTSOF(denied); i++)
                if (sd_bus_error_has_name(error, denied[i]))
                        status = EXIT_DENIED;
        put_str(stderr, message);
        (void) fputc('\n', stderr);
        return status;
}

char *conversation_path(const char *id, int *ret_status) {
        char *path = NULL;
        int r = sd_bus_path_encode(PATH_CONVERSATIONS, id, &path);

        if (r >= 0)
                return path;
        (void) fprintf(stderr, "northflarectl: out of memory\n");
        *ret_status = EXIT_FAILED;
        return NULL;
}

static int
call(const char *path,
     const char *interface,
     const char *conversation,
     const char *method,
     sd_bus_message **ret,
     const char *types,
     va_list ap) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, interface, method);
        if (r >= 0 && !isempty(types))
                r = sd_bus_message_appendv(m, types, ap);
        /* A stop may take as long as the agent's grace; a person may have to type a password. */
        if (r >= 0)
                r = sd_bus_call(bus, m, UINT64_MAX, &error, ret);
        return r < 0 ? report_error(&error, r, conversation) : EXIT_OK;
}

int call_conversation(const char *id, const char *method, sd_bus_message **ret, const char *types, ...) {
        _cleanup_free_ char *path = NULL;
        int status = EXIT_OK;
        va_list ap;

        path = conversation_path(id, &status);
        if (!path)
                return status;
        va_start(ap, types);
        status = call(path, INTERFACE_CONVERSATION, id, method, ret, types, ap);
        va_end(ap);
        return status;
}

int call_conversations(char **ids, const char *method) {
        STRV_FOREACH(id, ids) {
                int status = call_conversation(*id, method, NULL, NULL);

                if (status != EXIT_OK)
                        return status;
        }
        return EXIT_OK;
}

int call_manager(const char *method, sd_bus_message **ret, const char *types, ...) {
        va_list ap;
        int status;

        va_start(ap, types);
        status = call(PATH_MANAGER, INTERFACE_MANAGER, NULL, method, ret, types, ap);
        va_end(ap);
        return status;
}

int reply_unreadable(void) {
        (void) fputs(
                "Failed to parse the reply of northflare-runner: are both programs of the same version?\n",
                stderr);
        return EXIT_FAILED;
}

int read_json(sd_bus_message *reply, json_type type, Json **ret) {
        _cleanup_json_ Json *o = NULL;
        const char *text;

        if (sd_bus_message_read(reply, "s", &text) < 0 ||
            json_parse_from(JSON_OF_PRODUCT, text, strlen(text), &o, NULL) < 0 ||
            !json_object_is_type(o, type))
                return reply_unreadable();
        *ret = TAKE_PTR(o);
        return EXIT_OK;
}

int describe(const char *id, Json **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int status = call_conversation(id, "Describe", &reply, NULL);

        return status != EXIT_OK ? status : read_json(reply, json_type_object, ret);
}

int list_conversations(sd_bus_message **ret) {
        int status = call_manager("ListConversations", ret, NULL), r;

        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_enter_container(*ret, 'a', "(sssstto)");
        return r < 0 ? report_error(NULL, r, NULL) : EXIT_OK;
}

int next_conversation(sd_bus_message *list, ConversationRow *ret) {
        const char *path;

        return sd_bus_message_read(
                list,
                "(sssstto)",
                &ret->id,
                &ret->state,
                &ret->agent,
                &ret->task,
                &ret->started_usec,
                &ret->last_event_usec,
                &path);
}
