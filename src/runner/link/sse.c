/* SPDX-License-Identifier: MIT */
#include "runner/link/sse.h"

/* Memory that an event needed beyond this is given back after it. */
#define DATA_KEEP (256 * 1024)
#define FIELD_MAX 8
#define RETRY_DIGITS_MAX 15

typedef enum ParserState {
        STATE_BOM,   /* at the very beginning; n_bom bytes of the mark have been seen */
        STATE_FIELD, /* at the beginning of a line, or in a field's name */
        STATE_SPACE, /* behind the colon, where one space does not count */
        STATE_VALUE,
} ParserState;

typedef enum Field {
        FIELD_OTHER, /* unknown ones and comments */
        FIELD_DATA,
        FIELD_EVENT,
        FIELD_ID,
        FIELD_RETRY,
} Field;

struct SseParser {
        size_t max_data;
        SseCallback callback;
        void *userdata;

        ParserState state;
        unsigned n_bom;
        bool after_cr; /* a line feed now belongs to the carriage return before it */
        Field field;
        char name[FIELD_MAX + 1];
        size_t name_size;

        Buffer data;
        bool has_data, too_large;
        char type[SSE_TYPE_MAX + 1];
        size_t type_size;
        /* The value of a short field while its line lasts: */
        char value[SSE_ID_MAX + 1];
        size_t value_size;
        bool value_long;
        /* The id of the block in work, and that of the last complete one. */
        char block_id[SSE_ID_MAX + 1], last_id[SSE_ID_MAX + 1];
        uint64_t retry_msec;
};

int sse_parser_new(size_t max_data, SseCallback callback, void *userdata, SseParser **ret) {
        SseParser *p = new0(SseParser, 1);

        if (!p)
                return -ENOMEM;
        p->max_data = max_data;
        p->callback = callback;
        p->userdata = userdata;
        p->retry_msec = UINT64_MAX;
        *ret = p;
        return 0;
}

SseParser *sse_parser_free(SseParser *p) {
        if (!p)
                return NULL;
        buffer_done(&p->data);
        free(p);
        return NULL;
}

static void clear_block(SseParser *p) {
        buffer_clear(&p->data, DATA_KEEP);
        p->has_data = p->too_large = false;
        p->type_size = 0;
}

static void clear_line(SseParser *p) {
        p->state = STATE_FIELD;
        p->field = FIELD_OTHER;
        p->name_size = 0;
        p->value_size = 0;
        p->value_long = false;
}

void sse_parser_reset(SseParser *p) {
        clear_block(p);
        clear_line(p);
        p->state = STATE_BOM;
        p->n_bom = 0;
        p->after_cr = false;
        p->block_id[0] = p->last_id[0] = 0;
        p->retry_msec = UINT64_MAX;
}

const char *sse_parser_last_id(SseParser *p) {
        return p->last_id;
}

uint64_t sse_parser_retry_msec(SseParser *p) {
        return p->retry_msec;
}

static Field field_of_name(const char *name, size_t size) {
        static const char *const names[] = {
                [FIELD_DATA] = "data",
                [FIELD_EVENT] = "event",
                [FIELD_ID] = "id",
                [FIELD_RETRY] = "retry",
        };

        for (size_t i = FIELD_DATA; i < ELEMENTSOF(names); i++)
                if (size == strlen(names[i]) && memcmp(name, names[i], size) == 0)
                        return (Field) i;
        return FIELD_OTHER;
}

static void append_data(SseParser *p, const char *s, size_t size) {
        if (p->too_large)
                return;
        if (size > p->max_data - p->data.size) {
                p->too_large = true;
                buffer_done(&p->data);
                return;
        }
        (void) buffer_append(&p->data, s, size);
}

/* The name of the field is complete. */
static void begin_value(SseParser *p) {
        p->field = field_of_name(p->name, p->name_size);
        if (p->field == FIELD_DATA) {
                /* The line feed between two data lines; the one behind the last of them is never there. */
                if (p->has_data)
                        append_data(p, "\n", 1);
                p->has_data = true;
        }
}

static void append_value(SseParser *p, const char *s, size_t size) {
        if (p->field == FIELD_DATA) {
                append_data(p, s, size);
                return;
        }
        if (p->field == FIELD_OTHER || p->value_long)
                return;
        if (size > SSE_ID_MAX - p->value_size) {
                p->value_long = true;
                return;
        }
        memcpy(p->value + p->value_size, s, size);
        p->value_size += size;
}

static void end_value(SseParser *p) {
        uint64_t msec = 0;

        switch (p->field) {
        case FIELD_EVENT:
                if (p->value_long || p->value_size > SSE_TYPE_MAX || memchr(p->value, 0, p->value_size)) {
                        p->type[0] = '?';
                        p->type_size = 1;
                        break;
                }
                memcpy(p->type, p->value, p->value_size);
                p->type_size = p->value_size;
                break;
        case FIELD_ID:
                if (p->value_long || memchr(p->value, 0, p->value_size))
                        break;
                memcpy(p->block_id, p->value, p->value_size);
                p->block_id[p->value_size] = 0;
                break;
        case FIELD_RETRY:
                if (p->value_long || p->value_size == 0 || p->value_size > RETRY_DIGITS_MAX)
                        break;
                for (size_t i = 0; i < p->value_size; i++) {
                        if (p->value[i] < '0' || p->value[i] > '9')
                                return;
                        msec = msec * 10 + (uint64_t) (p->value[i] - '0');
                }
                p->retry_msec = msec;
                break;
        default:
                break;
        }
}

static int dispatch(SseParser *p) {
        int r = 0;

        memcpy(p->last_id, p->block_id, strlen(p->block_id) + 1);
        if (p->data.failed)
                return -ENOMEM;
        if (p->has_data) {
                p->type[p->type_size] = 0;
                r = p->callback(
                        &(SseEvent){
                                .type = p->type_size > 0 ? p->type : "message",
                                .id = p->last_id,
                                .data = strempty(p->data.data),
                                .size = p->data.size,
                                .too_large = p->too_large,
                        },
                        p->userdata);
        }
        clear_block(p);
        return r;
}

static int end_line(SseParser *p) {
        int r = 0;

        if (p->state == STATE_FIELD) {
                if (p->name_size == 0)
                        r = dispatch(p);
                else {
                        begin_value(p);
                        end_value(p);
                }
        } else
                end_value(p);
        clear_line(p);
        return r;
}

static size_t until_line_end(const char *s, size_t size) {
        const char *lf = memchr(s, '\n', size);
        const char *cr = memchr(s, '\r', lf ? (size_t) (lf - s) : size);

        return cr ? (size_t) (cr - s) : lf ? (size_t) (lf - s) : size;
}

static void begin_stream(SseParser *p, const char **data, size_t *size) {
        static const char mark[] = "\xef\xbb\xbf";

        while (*size > 0 && p->n_bom < 3 && **data == mark[p->n_bom]) {
                p->n_bom++;
                (*data)++;
                (*size)--;
        }
        if (*size == 0 && p->n_bom < 3)
                return;
        clear_line(p);
        /* A beginning of a mark that came to nothing is the beginning of a field's name. */
        if (p->n_bom < 3)
                for (unsigned i = 0; i < p->n_bom; i++)
                        p->name[p->name_size++] = mark[i];
}

int sse_parser_feed(SseParser *p, const char *data, size_t size) {
        int r;

        if (p->state == STATE_BOM)
                begin_stream(p, &data, &size);
        while (size > 0) {
                size_t n = 1;

                if (p->after_cr && data[0] == '\n') {
                        p->after_cr = false;
                        data++;
                        size--;
                        continue;
                }
                p->after_cr = false;
                if (data[0] == '\r' || data[0] == '\n') {
                        p->after_cr = data[0] == '\r';
                        r = end_line(p);
                        if (r < 0)
                                return r;
                } else if (p->state == STATE_FIELD) {
                        if (data[0] == ':') {
                                begin_value(p);
                                p->state = STATE_SPACE;
                        } else if (p->name_size <= FIELD_MAX) {
                                /* One byte more than any name has makes it unknown for good. */
                                p->name[p->name_size++] = data[0];
                        }
                } else if (p->state == STATE_SPACE) {
                        p->state = STATE_VALUE;
                        n = data[0] == ' ';
                } else {
                        n = until_line_end(data, size);
                        append_value(p, data, n);
                }
                data += n;
                size -= n;
        }
        return 0;
}
