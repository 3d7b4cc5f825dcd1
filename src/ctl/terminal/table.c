/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <time.h>

#include "ctl/options.h"
#include "ctl/terminal/table.h"
#include "ctl/terminal/terminal.h"

#define CELL_MAX 64

struct Table {
        size_t columns, rows;
        const char *const *titles;
        char **cells;
        size_t *widths;
};

static size_t width_of(const char *s) {
        size_t n = 0, size = strlen(s);

        for (size_t i = 0; i < size; n++)
                i += MAX(utf8_sequence(s + i, size - i), (size_t) 1);
        return n;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->rows * t->columns; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t->widths);
        free(t);
        return NULL;
}

Table *table_new(size_t columns, const char *const *titles) {
        Table *t = new0(Table, 1);

        if (!t)
                return NULL;
        t->columns = columns;
        t->titles = titles;
        t->widths = new0(size_t, columns);
        if (!t->widths) {
                free(t);
                return NULL;
        }
        for (size_t i = 0; i < columns && !arg.no_legend; i++)
                t->widths[i] = strlen(titles[i]);
        return t;
}

int table_add(Table *t, const char *const *cells) {
        char **more = reallocarray(t->cells, (t->rows + 1) * t->columns, sizeof(char *));

        if (!more)
                return -ENOMEM;
        t->cells = more;
        for (size_t i = 0; i < t->columns; i++) {
                char *cell = sanitize_line(isempty(cells[i]) ? "-" : cells[i], CELL_MAX);

                if (!cell) {
                        while (i > 0)
                                free(more[t->rows * t->columns + --i]);
                        return -ENOMEM;
                }
                more[t->rows * t->columns + i] = cell;
                t->widths[i] = MAX(t->widths[i], width_of(cell));
        }
        t->rows++;
        return 0;
}

static void print_row(Table *t, char *const *cells, Style s) {
        for (size_t i = 0; i < t->columns; i++) {
                (void) printf("%s%s%s", style(stdout, s), cells[i], style(stdout, STYLE_NORMAL));
                if (i + 1 < t->columns)
                        (void) printf("%*s", (int) (t->widths[i] - width_of(cells[i]) + 2), "");
        }
        (void) putchar('\n');
}

void table_print(Table *t, const char *what) {
        if (!arg.no_legend && t->rows > 0)
                print_row(t, (char *const *) t->titles, STYLE_BOLD);
        for (size_t i = 0; i < t->rows; i++)
                print_row(t, t->cells + i * t->columns, STYLE_NORMAL);
        if (what && !arg.no_legend && t->rows == 0)
                (void) printf("No %ss.\n", what);
        else if (what && !arg.no_legend)
                (void) printf("\n%zu %s%s.\n", t->rows, what, t->rows == 1 ? "" : "s");
}

int table_print_list(Table *t, Json *list, int (*add)(Table *t, Json *element), const char *what) {
        if (arg.json != JSON_OFF) {
                print_json(list);
                return EXIT_OK;
        }
        for (size_t i = 0; add && i < json_object_array_length(list); i++)
                if (add(t, json_object_array_get_idx(list, i)) < 0)
                        return EXIT_FAILED;
        pager_open();
        table_print(t, what);
        return EXIT_OK;
}

const char *format_ago(uint64_t usec, char buf[static AGO_MAX]) {
        static const struct {
                uint64_t seconds;
                const char *unit;
        } units[] = {
                { 86400, "d" },
                { 3600, "h" },
                { 60, "min" },
                { 1, "s" },
        };
        uint64_t now = now_usec(CLOCK_REALTIME), s;

        (void) snprintf(buf, AGO_MAX, "-");
        if (usec == 0)
                return buf;
        s = now > usec ? (now - usec) / USEC_PER_SEC : 0;
        (void) snprintf(buf, AGO_MAX, "now");
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (s >= units[i].seconds) {
                        (void) snprintf(
                                buf, AGO_MAX, "%" PRIu64 "%s ago", s / units[i].seconds, units[i].unit);
                        break;
                }
        return buf;
}

/* One value, its parts below it. */
static void print_value(const char *name, Json *value, unsigned depth) {
        _cleanup_free_ char *key = sanitize_line(name, 64), *line = NULL;

        if (json_object_is_type(value, json_type_object)) {
                (void) printf(
                        "%*s%s%s:%s\n",
                        (int) depth * 2,
                        "",
                        style(stdout, STYLE_BOLD),
                        strempty(key),
                        style(stdout, STYLE_NORMAL));
                json_object_object_foreach(value, k, v)
                        print_value(k, v, depth + 1);
                return;
        }
        if (json_object_is_type(value, json_type_array)) {
                size_t n = json_object_array_length(value);

                for (size_t i = 0; i < n; i++)
                        print_value(name, json_object_array_get_idx(value, i), depth);
                return;
        }
        line = sanitize_line(
                json_object_is_type(value, json_type_string) ? json_object_get_string(value) :
                                                               json_text(value),
                2000);
        (void) printf(
                "%*s%s%s:%s %s\n",
                (int) depth * 2,
                "",
                style(stdout, STYLE_BOLD),
                strempty(key),
                style(stdout, STYLE_NORMAL),
                strempty(line));
}

static void print_object(Json *o) {
        json_object_object_foreach(o, k, v)
                print_value(k, v, 0);
}

void print_next_object(Json *o, bool first) {
        if (arg.json != JSON_OFF) {
                print_json(o);
                return;
        }
        pager_open();
        if (!first)
                (void) putchar('\n');
        print_object(o);
}

void format_amount(double v, double base, char buf[static AMOUNT_MAX]) {
        static const char units[] = " KMGTP";
        size_t i = 0;

        while (v >= base && units[i + 1]) {
                v /= base;
                i++;
        }
        if (i == 0)
                (void) snprintf(buf, AMOUNT_MAX, "%.0f", v);
        else
                (void) snprintf(buf, AMOUNT_MAX, "%.1f%c", v, units[i]);
}
