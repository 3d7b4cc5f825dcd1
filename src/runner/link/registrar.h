/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/endpoint.h"
#include "runner/link/link-record.h"
#include "runner/link/registration.h"

/* Registers the runner with its orchestrator (runner.register), and again after every failure as registration.h says. */
typedef struct Registrar Registrar;

typedef struct RegistrarConfig {
        const char *url, *version; /* borrowed, as the next one */
        const char *data_dir;      /* for people, or NULL */
        RetryStrategy strategy;    /* of a first registration, with the next two */
        uint64_t interval_usec, duration_usec;
        Backoff backoff; /* of any other */
} RegistrarConfig;

typedef struct RegistrarOps {
        /* Adds to the params of the request what only the owner knows. */
        int (*describe)(void *userdata, Json *params);
        /* Are there live conversations (then a runner never gives up)? */
        bool (*has_work)(void *userdata);
        /* The answer is there: whatever has to be known of it and can fail. Negative errno: the attempt has failed. */
        int (*take)(void *userdata, const Registered *g);
        /* The runner is registered. */
        void (*done)(void *userdata);
        /* An attempt has failed, and another one follows. status_changed: registrar_get_status() is another than before. */
        void (*failed)(void *userdata, bool status_changed);
        /* No other attempt follows: the program ends with this code and text. */
        void (*give_up)(void *userdata, int exit_code, const char *text);
} RegistrarOps;

int registrar_new(
        sd_event *event,
        Endpoint *endpoint,
        LinkRecord *record,
        const RegistrarConfig *config,
        const RegistrarOps *ops,
        void *userdata,
        Registrar **ret);
Registrar *registrar_free(Registrar *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Registrar *, registrar_free);

/* The first attempt is about to be made: the time that a first registration may take begins. */
void registrar_begin(Registrar *r);
/* Tries now, in the place of an attempt that is under way. */
void registrar_try(Registrar *r);
/* The same for what was registered; meanwhile the state is that one. */
void registrar_try_again(Registrar *r, LinkState state);
/* The registration is lost, or an attempt has failed: tries later, or gives up. text (may be NULL) is for the journal. */
void registrar_fail(Registrar *r, const RegistrationFailure *f, const char *text);

/* What a link is that is not registered. */
LinkState registrar_get_state(Registrar *r);
/* The HTTP status of the last attempt that failed; 0 where it was something else. */
long registrar_get_status(Registrar *r);
