/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/json.h"

#define BUS_NAME "org.northflare.Runner1"
#define PATH_MANAGER "/org/northflare/Runner1"
#define PATH_CONVERSATIONS "/org/northflare/Runner1/conversation"
#define INTERFACE_MANAGER "org.northflare.Runner1.Manager"
#define INTERFACE_CONVERSATION "org.northflare.Runner1.Conversation"
#define INTERFACE_PROPERTIES "org.freedesktop.DBus.Properties"
#define ERROR_PREFIX "org.northflare.Runner1.Error."

/* Exit statuses; the manual page promises them. */
enum {
        EXIT_OK = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_NOT_RUNNING = 3,
        EXIT_NO_CONVERSATION = 4, /* or workspace */
        EXIT_DENIED = 5,
        EXIT_RUN_FAILED = 125, /* of the verb run, whose others are the script's own */
};

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
} JsonMode;

/* The command line. */
typedef struct Arguments {
        char **words; /* the verb and what follows it; borrowed strings */
        bool user, no_pager, no_legend, no_ask_password, help, version;
        const char *host, *machine;
        JsonMode json;
        const char *agent, *workspace, *directory, *repository, *branch, *model, *task, *id; /* run */
        bool detach;
        const char *reason; /* stop */
        uint64_t grace_ms;
        bool grace_set;
        const char *message; /* answer */
        const char *cursor;  /* events */
        bool set_aside, resend;
        bool follow, all;
        uint64_t lines; /* logs, top */
        bool lines_set;
        bool batch; /* top */
        uint64_t delay;
        bool delay_set;
        bool http; /* metrics */
        bool wait; /* drain */
        uint64_t deadline;
        bool deadline_set;
        bool force; /* workspace remove */
} Arguments;
extern Arguments arg;

/* options.c: 0, or -EINVAL after one line on stderr. */
int arguments_parse(int argc, char *argv[]);
/* Whether an option was given that the verb with this name does not take (one line on stderr says so). */
bool arguments_misplaced(const char *verb);
void arguments_help(void); /* help.c */
/* The lines of --help about options. */
void arguments_help_options(void);

/* A verb returns the exit status. words[0] is its name. */
typedef struct Verb {
        const char *name;
        unsigned min_words, max_words; /* without the name; UINT_MAX: any number */
        int (*run)(char **words);
        const char *arguments, *help; /* of --help */
        bool of_runner;               /* and not of conversations */
        bool own_bus;                 /* it needs none, or connects by itself */
} Verb;
extern const Verb verbs[]; /* ends with a NULL name */

int verb_status(char **words);
int verb_list(char **words);
int verb_show(char **words);
int verb_run(char **words);
int verb_send(char **words);
int verb_attach(char **words);
int verb_interrupt(char **words);
int verb_stop(char **words);
int verb_freeze(char **words);
int verb_thaw(char **words);
int verb_set_property(char **words);
int verb_logs(char **words);
int verb_events(char **words);
int verb_permissions(char **words);
int verb_answer(char **words);
int verb_audit(char **words);
int verb_drain(char **words);
int verb_undrain(char **words);
int verb_reload(char **words);
int verb_top(char **words);
int verb_metrics(char **words);
int verb_workspace(char **words);

/* connection.c */
extern sd_bus *bus;
/* 0, or an exit status after the message. */
int connect_bus(void);
void disconnect_bus(void);
/* Says on stderr what went wrong and what helps; returns the exit status. conversation: whose call it was, or NULL. */
int report_error(const sd_bus_error *error, int r, const char *conversation);
/* The object of a conversation, or NULL after a message (then the exit status is *ret_status). */
char *conversation_path(const char *id, int *ret_status);
/* A call of the conversation's or the manager's interface that waits for its reply, for ever where it must. ret may be
 * NULL. Returns 0 or an exit status after the message. */
int call_conversation(const char *id, const char *method, sd_bus_message **ret, const char *types, ...);
/* The same without arguments for each of a list of conversations, up to the first that fails. */
int call_conversations(char **ids, const char *method);
int call_manager(const char *method, sd_bus_message **ret, const char *types, ...);
/* A reply that is the JSON text of a list. Returns 0 or an exit status after the message. */
int read_list(sd_bus_message *reply, Json **ret);
/* Describe() of a conversation, parsed. */
int describe(const char *id, Json **ret);

/* values.c */
/* The next value of a message as JSON: dictionaries as objects, structures and arrays as arrays. 1; 0: there are no more
 * in this container. */
int read_value(sd_bus_message *m, Json **ret);
/* All properties of an interface as an object with their names. */
int get_properties(const char *path, const char *interface, Json **ret, sd_bus_error *error);

/* polkit-agent.c: a password dialogue on this terminal for the time of our calls. */
void polkit_agent_open(void);
void polkit_agent_close(void);
