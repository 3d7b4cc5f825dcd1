/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "runner/agent/driver.h"
#include "runner/store/store.h"

/* Makes the events of one run again and again from its out.log and the store, from any point that was saved: for the
 * orchestrator from the last acknowledgement on, for people from wherever they ask. It has a driver of its own, whose
 * effects are dropped; the one that acts is the run's. */
typedef struct EventReader EventReader;

typedef struct EventReaderParams {
        Store *store;
        const DriverOps *driver;
        Json *spec;
        const char *conversation, *task; /* task may be NULL */
        unsigned run;
        const char *run_id;
        bool forward_raw;
        bool notified_of_own; /* event_reader_own_added() is called for each own event, so the store need not be asked */
        int outfd;         /* of out.log, borrowed; -EBADF: none yet (event_reader_set_output) */
        uint64_t offset;   /* begin here */
        int64_t own_seq;   /* own events up to here are behind us */
        const char *state; /* position saved at offset; NULL: made by reading from the beginning */
        /* Of the output of a run that has ended: up to there offset may lie behind what there is of it. */
        uint64_t end;
} EventReaderParams;

int event_reader_new(const EventReaderParams *p, EventReader **ret);
EventReader *event_reader_free(EventReader *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(EventReader *, event_reader_free);
void event_reader_set_output(EventReader *r, int outfd);
/* The run has ended, and no process writes to out.log: what cannot be had of it up to the limit is lost and is passed
 * over (it was deleted, or power was lost before it was on the disk). Own events are not. */
void event_reader_set_ended(EventReader *r, bool ended);

typedef struct EventOut {
        void *userdata;
        Buffer *(*buffer)(void *userdata);                   /* write one event here … */
        int (*done)(void *userdata, const char *message_id); /* … and say that it is whole */
        bool (*full)(void *userdata); /* asked before each output line and own event */
} EventOut;

/* Reads on up to the offset `limit` of out.log (lines that end there or before) and writes events until there are no
 * more or out is full. Own events stand before the line that begins at their offset. 1: more is there (out may not be
 * full: a line above the bound is passed over in pieces); 0: nothing is left below the limit. */
int event_reader_read(EventReader *r, uint64_t limit, const EventOut *out);

/* In EventOut.full(): bytes of the output line or own event that is next. */
size_t event_reader_next_size(EventReader *r);
/* For a caller that pauses: gives back what was read ahead, and reads it again later. */
void event_reader_pause(EventReader *r);

/* The conversation got an event of the runner's own. */
void event_reader_own_added(EventReader *r);

uint64_t event_reader_offset(EventReader *r);
int64_t event_reader_own_seq(EventReader *r);
uint64_t event_reader_lines(EventReader *r); /* of the run, up to the offset */
int event_reader_save(EventReader *r, char **ret_state);
