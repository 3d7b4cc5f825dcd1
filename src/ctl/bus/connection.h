/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/json.h"
#include "common/rpc-error.h"

/* The connection to the bus, and calls of the runner's objects. */

#define BUS_NAME "org.northflare.Runner1"
#define PATH_MANAGER "/org/northflare/Runner1"
#define PATH_CONVERSATIONS "/org/northflare/Runner1/conversation"
#define INTERFACE_MANAGER "org.northflare.Runner1.Manager"
#define INTERFACE_CONVERSATION "org.northflare.Runner1.Conversation"
#define INTERFACE_PROPERTIES "org.freedesktop.DBus.Properties"

/* NULL where there is no connection. */
extern sd_bus *bus;
/* Connects to the bus that the options name. Returns 0, or an exit status after the message. */
int connect_bus(void);
/* Also where there is no connection. */
void disconnect_bus(void);
/* The event loop with the connection attached, and on_signal() for SIGINT, SIGTERM and SIGHUP. *ret is for the caller to unref.
 * Returns 0 or negative errno. */
int loop_open(sd_event_signal_handler_t on_signal, void *userdata, sd_event **ret);
/* Says on stderr what went wrong and what helps; returns the exit status. error may be NULL, then r (negative errno) is said.
 * conversation: whose call it was, or NULL. */
int report_error(const sd_bus_error *error, int r, const char *conversation);
/* The object path of a conversation, for the caller to free; or NULL after a message (then the exit status is *ret_status). */
char *conversation_path(const char *id, int *ret_status);
/* A call of the conversation's or the manager's interface that waits for its reply, for ever where it must. ret may be
 * NULL. Returns 0 or an exit status after the message. */
int call_conversation(const char *id, const char *method, sd_bus_message **ret, const char *types, ...);
/* The same without arguments for each of a list of conversations, up to the first that fails. */
int call_conversations(char **ids, const char *method);
int call_manager(const char *method, sd_bus_message **ret, const char *types, ...);
/* Reads a reply that is the JSON text of a value of that type. *ret is for the caller to free. Returns 0 or an exit status
 * after the message. */
int read_json(sd_bus_message *reply, json_type type, Json **ret);
/* Describe() of a conversation, parsed. Returns as above. */
int describe(const char *id, Json **ret);
/* Says on stderr that a reply cannot be parsed; returns the exit status. */
int reply_unreadable(void);

/* A conversation in the list; borrowed from the reply. */
typedef struct ConversationRow {
        const char *id, *state, *agent, *task;
        uint64_t started_usec, last_event_usec;
} ConversationRow;
/* ListConversations(). Returns 0 or an exit status after the message. */
int list_conversations(sd_bus_message **ret);
/* The next one in that reply. 1; 0: there are no more; or negative errno. */
int next_conversation(sd_bus_message *list, ConversationRow *ret);
