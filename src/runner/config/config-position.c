/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/json-scan.h"
#include "common/json.h"
#include "runner/config/config-position.h"

/* A reader of JSON that keeps nothing but where each key stands. */
typedef struct Scanner {
        const char *text;
        size_t size, at;
        unsigned line, depth;
        Buffer path; /* of the value being read, with dots */
        ConfigPositions *found;
        bool in_array; /* keys below an array have no path */
} Scanner;

static int fail(Scanner *s, const char *what) {
        if (!s->found->error) {
                s->found->error = strdup(what);
                s->found->error_line = s->line;
                if (!s->found->error)
                        return -ENOMEM;
        }
        return -EBADMSG;
}

static int unexpected(Scanner *s) {
        return fail(s, s->at >= s->size ? "unexpected end of file" : "unexpected character");
}

static int peek(Scanner *s) {
        return s->at < s->size ? (unsigned char) s->text[s->at] : -1;
}

static int skip_blanks(Scanner *s) {
        for (; s->at < s->size && strchr(" \t\r\n", s->text[s->at]) && s->text[s->at]; s->at++)
                if (s->text[s->at] == '\n')
                        s->line++;
        return peek(s);
}

static int scan_string(Scanner *s) {
        size_t begin = s->at++;

        for (; s->at < s->size; s->at++) {
                unsigned char c = (unsigned char) s->text[s->at];

                if (c == '"') {
                        const char *wrong = json_scan_check(s->text + begin, ++s->at - begin, NULL);
                        return wrong ? fail(s, wrong) : 0;
                }
                if (c < 0x20)
                        return fail(s, "unterminated string");
                if (c == '\\' && s->at + 1 < s->size)
                        s->at++;
        }
        return fail(s, "unterminated string");
}

static int note_key(Scanner *s, unsigned line) {
        ConfigPosition *items;
        char *path;

        for (size_t i = 0; i < s->found->n; i++)
                if (streq(s->found->items[i].path, s->path.data)) {
                        s->line = line;
                        return fail(s, "duplicate key");
                }
        items = reallocarray(s->found->items, s->found->n + 1, sizeof(*items));
        path = strdup(s->path.data);
        if (items)
                s->found->items = items;
        if (!items || !path) {
                free(path);
                return -ENOMEM;
        }
        items[s->found->n++] = (ConfigPosition){ path, line };
        return 0;
}

static int scan_value(Scanner *s);

static int scan_member(Scanner *s) {
        _cleanup_json_ Json *key = NULL;
        size_t begin = s->at, length = s->path.size;
        unsigned line = s->line;
        int r;

        if (peek(s) != '"')
                return fail(s, "expected the name of a key");
        r = scan_string(s);
        if (r < 0)
                return r;
        if (!s->in_array) {
                r = json_parse_from(JSON_OF_ADMINISTRATOR, s->text + begin, s->at - begin, &key, NULL);
                if (r == -EBADMSG)
                        return fail(s, "invalid name of a key");
                if (r < 0)
                        return r;
                if (length > 0)
                        (void) buffer_append_str(&s->path, ".");
                if (buffer_append_str(&s->path, json_object_get_string(key)) < 0)
                        return -ENOMEM;
                r = note_key(s, line);
                if (r < 0)
                        return r;
        }
        if (skip_blanks(s) != ':')
                return fail(s, "expected ':'");
        s->at++;
        r = scan_value(s);
        if (s->path.data) {
                s->path.size = length;
                s->path.data[length] = 0;
        }
        return r;
}

static int scan_members(Scanner *s, char close) {
        bool array = s->in_array;
        int r, c;

        s->at++;
        s->in_array = array || close == ']';
        if (skip_blanks(s) == close) {
                s->at++;
                s->in_array = array;
                return 0;
        }
        for (;;) {
                (void) skip_blanks(s);
                r = close == '}' ? scan_member(s) : scan_value(s);
                if (r < 0)
                        return r;
                c = skip_blanks(s);
                s->at++;
                if (c == close)
                        break;
                if (c != ',') {
                        s->at--;
                        return c < 0 ? unexpected(s) : fail(s, "expected ',' or a closing bracket");
                }
        }
        s->in_array = array;
        return 0;
}

static int scan_value(Scanner *s) {
        int c = skip_blanks(s), r;

        if (c == '{' || c == '[') {
                if (++s->depth > JSON_DEPTH_MAX)
                        return fail(s, "nested too deeply");
                r = scan_members(s, c == '{' ? '}' : ']');
                s->depth--;
                return r;
        }
        if (c == '"')
                return scan_string(s);
        /* A number or a word: the parser says whether it is a good one. */
        size_t begin = s->at;
        while (s->at < s->size && s->text[s->at] && !strchr(" \t\r\n,]}:\"[{", s->text[s->at]))
                s->at++;
        _cleanup_json_ Json *v = NULL;
        if (s->at == begin ||
            json_parse_from(JSON_OF_ADMINISTRATOR, s->text + begin, s->at - begin, &v, NULL) < 0)
                return unexpected(s);
        return 0;
}

int config_positions_scan(const char *text, size_t size, ConfigPositions *ret) {
        Scanner s = { .text = text, .size = size, .line = 1, .found = ret };
        int r;

        *ret = (ConfigPositions){};
        r = buffer_append_str(&s.path, "");
        if (r >= 0)
                r = scan_value(&s);
        if (r >= 0 && skip_blanks(&s) >= 0)
                r = fail(&s, "unexpected text after the end of the object");
        buffer_done(&s.path);
        return r;
}

unsigned config_positions_line(const ConfigPositions *p, const char *path) {
        for (size_t i = 0; i < p->n; i++)
                if (streq(p->items[i].path, path))
                        return p->items[i].line;
        return 0;
}

void config_positions_done(ConfigPositions *p) {
        for (size_t i = 0; i < p->n; i++)
                free(p->items[i].path);
        free(p->items);
        free(p->error);
        *p = (ConfigPositions){};
}
