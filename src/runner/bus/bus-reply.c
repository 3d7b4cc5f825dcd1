/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/bus-text.h"
#include "common/log.h"
#include "runner/bus/bus-reply.h"

/* ---- how large a body is: the D-Bus specification, "Marshaling" ---- */

static size_t align_of(char type) {
        return strchr("tdx({re", type) ? 8 : type == 'v' || type == 'g' ? 1 : 4;
}

static size_t aligned(size_t size, size_t to) {
        return (size + to - 1) / to * to;
}

/* Takes its argument where it has one. */
static size_t size_with(size_t size, char type, va_list *ap) {
        size = aligned(size, align_of(type));
        switch (type) {
        case 's':
        case 'o':
                return size + 4 + strlen(va_arg(*ap, const char *)) + 1;
        case 't':
                (void) va_arg(*ap, uint64_t);
                return size + 8;
        case 'd':
                (void) va_arg(*ap, double);
                return size + 8;
        case 'u':
                (void) va_arg(*ap, uint32_t);
                return size + 4;
        case 'b':
        case 'h':
                (void) va_arg(*ap, int);
                return size + 4;
        default: /* a parenthesis */
                return size;
        }
}

static int add_size(BusAnswer *a, size_t size) {
        if (size > a->max)
                a->failed = -E2BIG;
        else
                a->size = size;
        return a->failed;
}

static void check(BusAnswer *a, int r) {
        if (r < 0 && a->failed >= 0)
                a->failed = r;
}

/* ---- replies ---- */

void bus_answer_begin(BusAnswer *a, sd_bus_message *request, size_t max, const char *instead) {
        *a = (BusAnswer){ .request = request, .max = max, .instead = instead };
        check(a, sd_bus_message_new_method_return(request, &a->reply));
}

void bus_answer_done(BusAnswer *a) {
        a->reply = sd_bus_message_unref(a->reply);
}

void bus_answer_open(BusAnswer *a, char type, const char *contents) {
        size_t size = aligned(a->size, align_of(type));

        if (a->failed < 0)
                return;
        if (type == 'a')
                size = aligned(size + 4, align_of(contents[0]));
        else if (type == 'v')
                size += strlen(contents) + 2;
        if (add_size(a, size) >= 0)
                check(a, sd_bus_message_open_container(a->reply, type, contents));
}

void bus_answer_close(BusAnswer *a) {
        if (a->failed >= 0)
                check(a, sd_bus_message_close_container(a->reply));
}

static void add(BusAnswer *a, const char *types, va_list ap) {
        size_t size = a->size;
        va_list sized;

        if (a->failed < 0)
                return;
        va_copy(sized, ap);
        for (const char *t = types; *t; t++)
                if (*t != ')')
                        size = size_with(size, *t, &sized);
        va_end(sized);
        if (add_size(a, size) >= 0 && *types)
                check(a, sd_bus_message_appendv(a->reply, types, ap));
}

void bus_answer_add(BusAnswer *a, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        add(a, types, ap);
        va_end(ap);
}

int bus_answer_send(BusAnswer *a) {
        int r = a->failed;

        if (r == -E2BIG) {
                _cleanup_free_ char *text = xasprintf(
                        "The reply would be larger than the limit of %zu bytes. %s",
                        a->max,
                        strempty(a->instead));

                bus_answer_error(a->request, SD_BUS_ERROR_LIMITS_EXCEEDED, strempty(text));
                r = 1;
        } else if (r >= 0) {
                r = sd_bus_send(NULL, a->reply, NULL);
                r = r < 0 ? r : 1;
        }
        bus_answer_done(a);
        return r;
}

int bus_answer(sd_bus_message *request, const char *types, ...) {
        BusAnswer a;
        va_list ap;

        bus_answer_begin(&a, request, BUS_PLAIN_MAX, NULL);
        va_start(ap, types);
        add(&a, types, ap);
        va_end(ap);
        return bus_answer_send(&a);
}

int bus_answer_text(sd_bus_message *request, const char *json, size_t max, const char *instead) {
        _cleanup_free_ char *escaped = utf8_is_for_bus(json) ? NULL : bus_json(json);
        BusAnswer a;

        bus_answer_begin(&a, request, max, instead);
        bus_answer_add(&a, "s", escaped ? escaped : json);
        return bus_answer_send(&a);
}

int bus_answer_json(sd_bus_message *request, Json *o, size_t max, const char *instead) {
        const char *json = json_text(o);

        return json ? bus_answer_text(request, json, max, instead) : -ENOMEM;
}

void bus_answer_error(sd_bus_message *request, const char *name, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        (void) bus_error(&e, name, "%s", text);
        r = sd_bus_reply_method_error(request, &e);
        if (r < 0)
                log_debug_errno(r, "Failed to send a D-Bus error, ignoring: %m");
}

void bus_answer_errno(sd_bus_message *request, int r) {
        r = sd_bus_reply_method_errno(request, r, NULL);
        if (r < 0)
                log_debug_errno(r, "Failed to send a D-Bus error, ignoring: %m");
}

/* ---- errors ---- */

int bus_error(sd_bus_error *error, const char *name, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *cut = NULL, *clean = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return sd_bus_error_set_errno(error, -ENOMEM);
        }
        /* A character that is replaced takes as many bytes, or up to three for one that is none. */
        if (strlen(text) > BUS_ERROR_TEXT_MAX || !utf8_is_for_bus(text)) {
                clean = bus_text(text);
                if (clean && strlen(clean) > BUS_ERROR_TEXT_MAX)
                        cut = xasprintf("%.*s…", utf8_cut(clean, BUS_ERROR_TEXT_MAX - strlen("…")), clean);
        }
        return sd_bus_error_set(error, name, cut ? cut : clean ? clean : text);
}

int bus_error_errno(sd_bus_error *error, int r) {
        return sd_bus_error_set_errno(error, r);
}

int bus_invalid_argument(sd_bus_error *error, const char *text) {
        return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "%s", text);
}

/* ---- properties ---- */

int bus_property_string(sd_bus_message *reply, const char *value, size_t max) {
        _cleanup_free_ char *clean = utf8_is_for_bus(strempty(value)) ? strdup(strempty(value)) :
                                                                        bus_text(value);

        if (!clean)
                return -ENOMEM;
        clean[utf8_cut(clean, max)] = 0;
        return sd_bus_message_append_basic(reply, 's', clean);
}

int bus_property_basic(sd_bus_message *reply, char type, const void *value) {
        assert(type == 't' || type == 'u' || type == 'b' || type == 'd');
        return sd_bus_message_append_basic(reply, type, value);
}
