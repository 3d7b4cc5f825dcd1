/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "runner/agent/driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of an agent: the first byte chooses the driver and the line before which its state is saved and loaded. */

static int on_event(void *userdata, const char *method, const char *members, size_t size) {
        _cleanup_buffer_ Buffer object = {};

        (void) buffer_append(&object, "{", 1);
        (void) buffer_append(&object, members, size);
        (void) buffer_append(&object, "}", 1);
        assert(json_scan_valid(object.data, object.size));
        return buffer_append(userdata, object.data, object.size);
}

static int on_write(void *userdata, const char *line, size_t size) {
        assert(size > 0 && line[size - 1] == '\n' && json_scan_valid(line, size));
        return 0;
}

static int on_fail(void *userdata, const char *reason) {
        assert(utf8_is_valid(reason, strlen(reason)));
        return 0;
}

static Driver *loaded(Driver *d) {
        _cleanup_json_ Json *state = NULL, *parsed = NULL;
        Driver *copy = NULL;

        assert(d->ops->save(d, &state) >= 0);
        const char *text = json_text(state);
        assert(json_parse(text, strlen(text), &parsed, NULL) >= 0);
        assert(d->ops->load(NULL, parsed, &copy) >= 0);
        return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(driver_freep) Driver *d = NULL, *copy = NULL;
        _cleanup_buffer_ Buffer events = {}, again = {};
        const DriverSink sink = { &events, on_event, on_write, on_fail },
                         replay = { &again, on_event, NULL, NULL };
        size_t since = 0;

        if (size == 0)
                return 0;
        const DriverOps *ops = driver_find(data[0] & 1 ? "shell" : "claude");
        assert(ops->new (NULL, &d) >= 0);
        const char *text = (const char *) data + 1, *end = (const char *) data + size;
        for (unsigned i = 0; text < end; i++) {
                const char *newline = memchr(text, '\n', (size_t) (end - text));
                size_t n = (size_t) ((newline ? newline : end) - text);
                uint64_t offset = (uint64_t) (text - (const char *) data);

                if (i == data[0] >> 1) {
                        copy = loaded(d);
                        since = events.size;
                }
                assert(ops->feed(d, text, n, offset, &sink) == 0);
                if (copy)
                        assert(ops->feed(copy, text, n, offset, &replay) == 0);
                text += n + 1;
        }
        if (copy)
                assert(again.size == events.size - since &&
                       (again.size == 0 || memcmp(again.data, events.data + since, again.size) == 0));
        return 0;
}
