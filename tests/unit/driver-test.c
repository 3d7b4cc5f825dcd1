/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver-test.h"

void lines_done(Lines *l) {
        for (size_t i = 0; i < l->n; i++)
                buffer_done(&l->list[i]);
        free(l->list);
        *l = (Lines){};
}

void lines_add(Lines *l, const char *data, size_t size) {
        l->list = reallocarray(l->list, l->n + 1, sizeof(Buffer));
        assert_non_null(l->list);
        l->list[l->n] = (Buffer){};
        assert_int_equal(buffer_append(&l->list[l->n++], data, size), 0);
}

static void add_renamed(Lines *l, const char *raw, size_t size, const char *from, const char *to) {
        _cleanup_free_ char *pattern = xasprintf("\"request_id\":\"%s\"", from);
        _cleanup_buffer_ Buffer b = {};
        char *at = memmem(raw, size, pattern, strlen(pattern));

        if (!at) {
                lines_add(l, raw, size);
                return;
        }
        size_t before = (size_t) (at - raw), after = before + strlen(pattern);
        (void) buffer_append(&b, raw, before);
        (void) buffer_printf(&b, "\"request_id\":\"%s\"", to);
        assert_int_equal(buffer_append(&b, raw + after, size - after), 0);
        lines_add(l, b.data, b.size);
}

void lines_load(Lines *l, const char *path, const char *init_id) {
        _cleanup_free_ char *line = NULL, *id = NULL;
        size_t allocated = 0;
        ssize_t n;
        FILE *f = fopen(path, "re");

        if (!f)
                fail_msg("cannot open %s", path);
        while ((n = getline(&line, &allocated, f)) > 0) {
                _cleanup_json_ Json *entry = NULL, *request = NULL;

                assert_int_equal(json_parse(line, (size_t) n, &entry, NULL), 0);
                const char *dir = json_get_string(entry, "dir");
                Json *raw = json_get(entry, "raw");
                const char *text = json_object_get_string(raw);
                size_t size = (size_t) json_object_get_string_len(raw);
                if (!id && streq(dir, "in") && json_parse(text, size, &request, NULL) >= 0)
                        id = strdup(json_get_string(request, "request_id"));
                if (streq(dir, "out"))
                        add_renamed(l, text, size, id, init_id);
        }
        (void) fclose(f);
        assert_true(l->n > 0);
}

void heard_done(Heard *h) {
        buffer_done(&h->events);
        buffer_done(&h->written);
        buffer_done(&h->place);
        free(h->failure);
        *h = (Heard){};
}

static int on_event(void *userdata, const char *method, const char *members, size_t size) {
        _cleanup_buffer_ Buffer object = {};
        Heard *h = userdata;

        assert_true(streq(method, "message.agent") || streq(method, "permission.request"));
        assert_int_equal(members[size], 0);
        assert_null(memchr(members, '\n', size));
        (void) buffer_append(&object, "{", 1);
        (void) buffer_append(&object, members, size);
        assert_int_equal(buffer_append(&object, "}", 1), 0);
        if (!json_scan_valid(object.data, object.size))
                fail_msg("an event that is not JSON: %.1000s", object.data);
        h->n_events++;
        return buffer_printf(&h->events, "%" PRIu64 ".%u %s %s\n", h->offset, h->n++, method, members);
}

static int on_write(void *userdata, const char *line, size_t size) {
        Heard *h = userdata;

        assert_true(size > 0 && line[size - 1] == '\n');
        assert_null(memchr(line, '\n', size - 1));
        assert_true(json_scan_valid(line, size));
        return buffer_append(&h->written, line, size);
}

static int on_fail(void *userdata, const char *reason) {
        Heard *h = userdata;

        h->n_failed++;
        return free_and_strdup(&h->failure, reason);
}

Buffer *heard_open(void *userdata, const char *method) {
        Heard *h = userdata;

        buffer_clear(&h->place, SIZE_MAX);
        (void) buffer_printf(&h->place, "\"event\":in front of %s", method);
        return &h->place;
}

DriverSink heard_sink(Heard *h, bool events, bool effects) {
        return (DriverSink){
                .userdata = h,
                .event = events ? on_event : NULL,
                .write = effects ? on_write : NULL,
                .fail = effects ? on_fail : NULL,
        };
}

/* The agent's output: what was fed last, by its offset. */
static struct {
        uint64_t offset;
        Buffer line;
} fed[64];
static size_t n_fed;

static void remember(uint64_t offset, const char *line, size_t size) {
        size_t i = 0;

        while (i < MIN(n_fed, ELEMENTSOF(fed)) && fed[i].offset != offset)
                i++;
        if (i == MIN(n_fed, ELEMENTSOF(fed)))
                i = n_fed++ % ELEMENTSOF(fed);
        fed[i].offset = offset;
        buffer_clear(&fed[i].line, 0);
        assert_int_equal(buffer_append(&fed[i].line, line, size), 0);
}

Slice fed_line(uint64_t offset) {
        for (size_t i = 0; i < MIN(n_fed, ELEMENTSOF(fed)); i++)
                if (fed[i].offset == offset)
                        return (Slice){ strempty(fed[i].line.data), fed[i].line.size };
        return (Slice){};
}

__attribute__((destructor)) static void forget_fed(void) {
        for (size_t i = 0; i < ELEMENTSOF(fed); i++)
                buffer_done(&fed[i].line);
}

void feed(Driver *d, const DriverSink *sink, Heard *h, const char *line, size_t size, uint64_t *offset) {
        remember(*offset, line, size);
        /* Memory of exactly the line's size, for the sanitizers. */
        char *copy = malloc(size ?: 1);

        assert_non_null(copy);
        memcpy(copy, line, size);
        h->offset = *offset;
        h->n = 0;
        assert_int_equal(d->ops->feed(d, copy, size, *offset, sink), 0);
        free(copy);
        *offset += size + 1;
}

Json *parse(const char *text) {
        Json *o = NULL;

        if (json_parse(text, strlen(text), &o, NULL) < 0)
                fail_msg("not JSON: %s", text);
        return o;
}

Driver *make(const DriverOps *ops, Json *spec) {
        Driver *d = NULL;

        assert_int_equal(ops->new (spec, &d), 0);
        return d;
}

static char *state_of(Driver *d) {
        _cleanup_json_ Json *state = NULL;

        assert_int_equal(d->ops->save(d, &state), 0);
        return strdup(json_text(state));
}

static Driver *load(const DriverOps *ops, Json *spec, const char *text) {
        _cleanup_json_ Json *state = parse(text);
        Driver *d = NULL;

        assert_int_equal(ops->load(spec, state, &d), 0);
        return d;
}

Driver *reload(Driver *d, Json *spec) {
        _cleanup_free_ char *text = state_of(d), *again = NULL;
        Driver *copy = load(d->ops, spec, text);

        again = state_of(copy);
        assert_string_equal(text, again);
        return copy;
}

void assert_replay_law(
        const DriverOps *ops,
        Json *spec,
        const Lines *lines,
        void (*commands)(Driver *d, const Heard *h, uint64_t offset)) {
        _cleanup_(driver_freep) Driver *plain = make(ops, spec), *busy = make(ops, spec),
                                       *quiet = make(ops, spec);
        _cleanup_(heard_done) Heard whole = {}, driven = {}, none = {};
        DriverSink all = heard_sink(&whole, true, false), both = heard_sink(&driven, true, true);
        DriverSink nothing = {};
        uint64_t offset = 0, quiet_offset = 0;
        char **states = new0(char *, lines->n), **quiet_states = new0(char *, lines->n);
        size_t *at = new0(size_t, lines->n);

        for (size_t i = 0; i < lines->n; i++) {
                uint64_t start = offset;

                states[i] = state_of(busy);
                quiet_states[i] = state_of(quiet);
                at[i] = whole.events.size;
                feed(plain, &all, &whole, lines->list[i].data, lines->list[i].size, &offset);
                offset = start;
                feed(busy, &both, &driven, lines->list[i].data, lines->list[i].size, &offset);
                feed(quiet, &nothing, &none, lines->list[i].data, lines->list[i].size, &quiet_offset);
                if (commands)
                        commands(busy, &driven, offset);
        }
        assert_true(whole.n_events > 0);
        assert_string_equal(whole.events.data, driven.events.data);
        offset = 0;
        for (size_t i = 0; i < lines->n; i++) {
                for (unsigned k = 0; k < 2; k++) {
                        _cleanup_(driver_freep)
                                Driver *d = load(ops, spec, k == 0 ? states[i] : quiet_states[i]);
                        _cleanup_(heard_done) Heard rest = {};
                        DriverSink sink = heard_sink(&rest, true, false);
                        uint64_t o = offset;

                        sink.open = k == 0 ? NULL : heard_open;

                        for (size_t j = i; j < lines->n; j++)
                                feed(d, &sink, &rest, lines->list[j].data, lines->list[j].size, &o);
                        assert_string_equal(strempty(rest.events.data), whole.events.data + at[i]);
                }
                offset += lines->list[i].size + 1;
                free(states[i]);
                free(quiet_states[i]);
        }
        free(states);
        free(quiet_states);
        free(at);
}

char *
command(Driver *d, DriverCommandType type, const char *params, uint64_t offset, unsigned n, int expected) {
        static uint64_t seq = 100;
        _cleanup_json_ Json *o = params ? parse(params) : NULL;
        DriverCommand c = { .type = type, .params = o, .seq = ++seq, .offset = offset, .n = n };

        if (type == DRIVER_COMMAND_ANSWER)
                c.line = fed_line(offset);
        _cleanup_free_ char *error = NULL;
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_append_str(&b, "before\n"), 0);
        int r = d->ops->command(d, &c, &b, &error);
        if (r != expected)
                fail_msg("command %s: %i, %s", strempty(params), r, strempty(error));
        if (r <= 0) {
                assert_int_equal(b.size, 7);
                assert_true(r == 0 || !isempty(error));
                return NULL;
        }
        buffer_consume(&b, 7);
        for (char *line = b.data, *end; line && *line; line = end + 1) {
                end = strchr(line, '\n');
                assert_non_null(end);
                assert_true(json_scan_valid(line, (size_t) (end - line)));
        }
        return buffer_steal(&b);
}
