/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "shell-agent/input.h"

#define READ_SIZE (64 * 1024)
#define ID_MAX 256

void input_message_done(InputMessage *m) {
        free(m->id);
        free(m->text);
        *m = (InputMessage){};
}

void input_done(Input *in) {
        buffer_done(&in->bytes);
}

int input_read(Input *in, int fd) {
        ssize_t n;

        if (in->taken > 0) {
                buffer_consume(&in->bytes, in->taken);
                in->searched -= MIN(in->searched, in->taken);
                in->taken = 0;
        }
        if (in->bytes.size == 0)
                buffer_clear(&in->bytes, 4 * READ_SIZE);
        if (buffer_reserve(&in->bytes, READ_SIZE) < 0)
                return -ENOMEM;
        do
                n = read(fd, in->bytes.data + in->bytes.size, READ_SIZE);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 1 : -errno;
        in->bytes.size += (size_t) n;
        in->bytes.data[in->bytes.size] = 0;
        return n > 0;
}

static void complain(InputMessage *m, const char *text) {
        m->type = INPUT_BAD;
        m->text = strdup(text);
}

static void parse(const char *line, size_t size, InputMessage *m) {
        Slice o = { line, size }, type, value;

        if (size == 0 || (size == 1 && line[0] == '\r')) {
                m->type = INPUT_NONE;
                return;
        }
        if (!json_scan_valid(line, size)) {
                complain(m, "this line is not valid JSON");
                return;
        }
        if (!json_scan_member(o, "type", &type)) {
                complain(m, "this line is not an object with a type");
                return;
        }
        if (json_scan_string_is(type, "interrupt")) {
                m->type = INPUT_INTERRUPT;
                return;
        }
        if (json_scan_string_is(type, "end")) {
                m->type = INPUT_END;
                return;
        }
        if (!json_scan_string_is(type, "user")) {
                complain(m, "the type of this line is unknown");
                return;
        }
        if (json_scan_member(o, "id", &value)) {
                if (value.size > ID_MAX ||
                    (json_scan_type(value) != SCAN_STRING && json_scan_type(value) != SCAN_NUMBER)) {
                        complain(m, "the id of this message is neither a short string nor a number");
                        return;
                }
                m->id = strndup(value.data, value.size);
        }
        if (!json_scan_member(o, "text", &value) || json_scan_type(value) != SCAN_STRING) {
                complain(m, "this message has no text");
                return;
        }
        if (json_scan_string(value, &m->text, &m->size) < 0) {
                complain(m, "out of memory");
                return;
        }
        if (memchr(m->text, 0, m->size)) {
                free(TAKE_PTR(m->text));
                complain(m, "a script cannot hold a NUL character");
                return;
        }
        m->type = INPUT_USER;
}

bool input_next(Input *in, InputMessage *ret) {
        for (;;) {
                size_t from = MAX(in->taken, in->searched);
                char *start = in->bytes.data + in->taken;
                char *newline = from < in->bytes.size ?
                        memchr(in->bytes.data + from, '\n', in->bytes.size - from) :
                        NULL;

                *ret = (InputMessage){};
                if (!newline) {
                        in->searched = in->bytes.size;
                        if (in->too_long || in->bytes.size - in->taken > INPUT_LINE_MAX) {
                                bool first = !in->too_long;
                                in->too_long = true;
                                in->taken = in->bytes.size;
                                if (first) {
                                        complain(ret, "this line is too long");
                                        return true;
                                }
                        }
                        return false;
                }
                in->searched = in->taken = (size_t) (newline - in->bytes.data) + 1;
                if (in->too_long) {
                        in->too_long = false;
                        continue;
                }
                parse(start, (size_t) (newline - start), ret);
                return true;
        }
}
