/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store.h"

/* Input: every byte of in.log. */

/* Stores a line for in.log behind the rows that are there; *ret_offset is where it will stand. inbound_seq: the
 * message that it renders (marked done in the same transaction), or 0. */
int store_render(
        Store *s,
        const char *conversation,
        unsigned run,
        const void *data,
        size_t size,
        int64_t inbound_seq,
        uint64_t *ret_offset);
typedef int (*InputCallback)(uint64_t offset, const void *data, size_t size, void *userdata);
/* Rows not yet known to be in the file, in order. */
int store_unwritten_input(
        Store *s,
        const char *conversation,
        unsigned run,
        InputCallback cb,
        void *userdata);
/* Known to be in the file up to here: the data of those rows is dropped, their sizes stay. Within a row: that row stays
 * whole. -ERANGE: behind all rows. */
int store_input_written(Store *s, const char *conversation, unsigned run, uint64_t upto);
/* Sum of all rows, and of the written ones. */
int store_input_size(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t *ret_total,
        uint64_t *ret_written);
/* An in.log of size bytes, of which the store knows nothing else. */
int store_adopt_input(Store *s, const char *conversation, unsigned run, uint64_t size);
