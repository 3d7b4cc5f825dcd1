/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* Lists and objects for people, on stdout. */

/* A table: titles are borrowed, cells are copied and made fit for a terminal. As many of both as columns. */
typedef struct Table Table;
/* NULL: no memory. */
Table *table_new(size_t columns, const char *const *titles);
/* Adds a row; an empty or missing cell is "-". Returns 0 or -ENOMEM. */
int table_add(Table *t, const char *const *cells);
/* Titles and the line with the count are left out with --no-legend. what: "conversation"; NULL: no such line. */
void table_print(Table *t, const char *what);
/* With --json prints list; else t, to which add() adds a row for each element of list first, through the pager. add may be NULL:
 * the rows are there. Returns an exit status. */
int table_print_list(Table *t, Json *list, int (*add)(Table *t, Json *element), const char *what);
Table *table_free(Table *t);
DEFINE_TRIVIAL_CLEANUP_FUNC(Table *, table_free);
/* An object: with --json as it is, else a line for each member, parts below, after a blank line if it is not the first one. */
void print_next_object(Json *o, bool first);
/* "512", "1.5K", "2.0G", with K of base. */
#define AMOUNT_MAX 32
void format_amount(double v, double base, char buf[static AMOUNT_MAX]);
/* "3min ago", of a CLOCK_REALTIME value in microseconds; "-" of 0. Returns buf. */
#define AGO_MAX 32
const char *format_ago(uint64_t usec, char buf[static AGO_MAX]);
