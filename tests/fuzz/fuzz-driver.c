/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "fuzz.h"
#include "runner/run/position.h"

/* Lines of an agent, with commands between them. DRIVER names the driver. The first byte says before which line the state
 * is saved; a line that begins with the byte 1 is a command: a letter for its type, and its params; one that begins with the
 * byte 2 is the beginning of a line above the bound.
 *
 * Whatever the lines are, events, answers and saved states are JSON; and these say the same of the same lines:
 *     first     the one that was there from the beginning
 *     restarted loaded from the first one's state, and given the same commands: it writes the same lines as well
 *     reader    gets no commands and has no effects, from the beginning
 *     late      the same, loaded from the reader's state, which read the lines before that without making events */

#define COMMAND '\1'
/* The beginning of a line above the bound. */
#define OVERSIZE '\2'

/* What the agent wrote, as it stands in its output: a question is read there again. */
static Slice output;

static Slice line_at(uint64_t offset) {
        Slice line = { output.data + offset, output.size - (size_t) offset };
        const char *end = memchr(line.data, '\n', line.size);

        return end ? (Slice){ line.data, (size_t) (end - line.data) } : line;
}

typedef struct Actor {
        Driver *driver;
        Buffer events, lines;
} Actor;

static int on_event(void *userdata, const char *method, const char *members, size_t size) {
        _cleanup_buffer_ Buffer object = {};
        Actor *a = userdata;

        CHECK(streq(method, "message.agent") || streq(method, "permission.request"));
        (void) buffer_append(&object, "{", 1);
        (void) buffer_append(&object, members, size);
        (void) buffer_append(&object, "}", 1);
        CHECK(json_scan_valid(object.data, object.size));
        return buffer_append(&a->events, object.data, object.size);
}

static void check_lines(const char *text, size_t size) {
        while (size > 0) {
                const char *end = memchr(text, '\n', size);

                CHECK(end && json_scan_valid(text, (size_t) (end - text)));
                size -= (size_t) (end - text) + 1;
                text = end + 1;
        }
}

static int on_write(void *userdata, const char *line, size_t size) {
        Actor *a = userdata;

        CHECK(size > 0);
        check_lines(line, size);
        return buffer_append(&a->lines, line, size);
}

static int on_fail(void *userdata, const char *reason) {
        Actor *a = userdata;

        CHECK(!isempty(reason) && utf8_is_valid(reason, strlen(reason)));
        return buffer_append_str(&a->lines, reason);
}

static Driver *copy_of(Driver *d) {
        _cleanup_free_ char *text = NULL, *again = NULL;
        Driver *copy = NULL;
        uint64_t lines;

        CHECK(position_save(d, 7, &text) >= 0);
        CHECK(position_load(d->ops, NULL, text, &copy, &lines) >= 0 && lines == 7);
        CHECK(position_save(copy, 7, &again) >= 0 && streq(text, again));
        return copy;
}

static void actor_done(Actor *a) {
        driver_free(a->driver);
        buffer_done(&a->events);
        buffer_done(&a->lines);
}

static void same(const Buffer *a, size_t from, const Buffer *b) {
        CHECK(a->size - from == b->size);
        CHECK(b->size == 0 || memcmp(a->data + from, b->data, b->size) == 0);
}

static void look_at(Driver *d) {
        DriverQuestion questions[DRIVER_QUESTIONS_MAX];
        DriverPhase phase = d->ops->phase(d);
        const char *session = d->ops->session(d);
        DriverUsage usage;

        CHECK(phase >= 0 && phase < _DRIVER_PHASE_MAX && driver_phase_to_string(phase));
        CHECK(!session || utf8_is_valid(session, strlen(session)));
        size_t n = d->ops->questions(d, questions);
        CHECK(n <= DRIVER_QUESTIONS_MAX);
        for (size_t i = 0; i < n; i++) {
                Slice line = line_at(questions[i].offset);
                DriverQuestionText text;

                CHECK(d->ops->read_question(d, &questions[i], line, &text) == 0);
                check_json(text.tool.data, text.tool.size);
                check_json(text.title.data, text.title.size);
                check_json(text.input.data, text.input.size);
                check_json(text.suggestions.data, text.suggestions.size);
                if (d->ops->read_question(d, &questions[i], (Slice){ line.data, line.size / 2 }, &text) == 0)
                        check_json(text.input.data, text.input.size);
        }
        CHECK(phase != DRIVER_WAITING_PERMISSION || n > 0);
        (void) d->ops->last_turn_failed(d);
        d->ops->usage(d, &usage);
}

/* An answer is for the first question that is open. */
static void aim(Driver *d, DriverCommand *c) {
        DriverQuestion questions[DRIVER_QUESTIONS_MAX];

        if (d->ops->questions(d, questions) == 0)
                return;
        c->offset = questions[0].offset;
        c->n = questions[0].n;
        c->line = line_at(c->offset);
}

static void command(Actor *a, const char *text, size_t size, uint64_t seq) {
        static const char letters[] = "uiace";
        const char *letter = size > 0 ? memchr(letters, text[0], sizeof(letters) - 1) : NULL;
        _cleanup_json_ Json *params = NULL;
        _cleanup_buffer_ Buffer lines = {};
        _cleanup_free_ char *error = NULL;

        if (!letter)
                return;
        DriverCommand c = { .type = (DriverCommandType) (letter - letters), .seq = seq };
        if (json_parse(text + 1, size - 1, &params, NULL) < 0 ||
            !json_object_is_type(params, json_type_object)) {
                if (c.type != DRIVER_COMMAND_INTERRUPT && c.type != DRIVER_COMMAND_END)
                        return;
        } else
                c.params = params;
        if (c.type == DRIVER_COMMAND_ANSWER)
                aim(a->driver, &c);
        int r = a->driver->ops->command(a->driver, &c, &lines, &error);
        CHECK(r == 1 || r == 0 || r == -EINVAL);
        CHECK((r == -EINVAL) == !!error);
        CHECK(!error || utf8_is_valid(error, strlen(error)));
        CHECK(r == 1 || lines.size == 0);
        check_lines(strempty(lines.data), lines.size);
        (void) buffer_append(&a->lines, strempty(lines.data), lines.size);
}

typedef struct Cast {
        Actor first, restarted, reader, late;
        size_t events_before, lines_before;
} Cast;

static void divide(Cast *c) {
        _cleanup_(driver_freep) Driver *quiet = TAKE_PTR(c->late.driver);

        c->restarted.driver = copy_of(c->first.driver);
        c->late.driver = copy_of(quiet);
        c->events_before = c->first.events.size;
        c->lines_before = c->first.lines.size;
}

static void feed(Actor *a, const char *text, size_t size, uint64_t offset, bool events, bool effects) {
        const DriverSink sink = {
                a,
                events ? on_event : NULL,
                effects ? on_write : NULL,
                effects ? on_fail : NULL,
        };

        if (size > 0 && text[0] == OVERSIZE)
                CHECK(a->driver->ops->feed_oversize(
                              a->driver, text + 1, size - 1, DRIVER_LINE_MAX + size, offset, &sink) == 0);
        else
                CHECK(a->driver->ops->feed(a->driver, text, size, offset, &sink) == 0);
}

static void play(Cast *c, const char *text, size_t size, uint64_t offset) {
        bool divided = c->restarted.driver;

        if (size > 0 && text[0] == COMMAND) {
                command(&c->first, text + 1, size - 1, offset);
                if (divided)
                        command(&c->restarted, text + 1, size - 1, offset);
                return;
        }
        feed(&c->first, text, size, offset, true, true);
        feed(&c->reader, text, size, offset, true, false);
        feed(&c->late, text, size, offset, divided, false);
        if (divided)
                feed(&c->restarted, text, size, offset, true, true);
        look_at(c->first.driver);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const DriverOps *ops = driver_find(DRIVER);
        FuzzInput in = input_of(data, size);
        const char *line;
        size_t n;
        Cast c = {};

        output = (Slice){ (const char *) data, size };
        CHECK(ops->new (NULL, &c.first.driver) >= 0 && ops->new (NULL, &c.reader.driver) >= 0 &&
              ops->new (NULL, &c.late.driver) >= 0);
        CHECK(ops->begin(c.first.driver, &c.first.lines) >= 0);
        check_lines(strempty(c.first.lines.data), c.first.lines.size);
        uint8_t at = input_byte(&in);
        for (unsigned i = 0; input_piece(&in, '\n', &line, &n); i++) {
                if (i == at)
                        divide(&c);
                play(&c, line, n, (uint64_t) (line - (const char *) data));
        }
        same(&c.first.events, 0, &c.reader.events);
        if (c.restarted.driver) {
                same(&c.first.events, c.events_before, &c.restarted.events);
                same(&c.first.events, c.events_before, &c.late.events);
                same(&c.first.lines, c.lines_before, &c.restarted.lines);
        }
        actor_done(&c.first);
        actor_done(&c.restarted);
        actor_done(&c.reader);
        actor_done(&c.late);
        return 0;
}
