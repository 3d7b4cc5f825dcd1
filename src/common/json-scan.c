/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdarg.h>

#include "common/json-scan.h"

/* Two readers live here. The validator trusts nothing and reads every byte once. The look-ups run over text
 * that it has passed and only step over values; given other text they find nonsense or nothing, but they never
 * read outside the slice and never loop for ever. */

#define DEPTH_MAX 64

/* One bit per byte of a word: the highest. */
#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static inline bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static inline bool is_hex(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *skip_blanks(const char *p, const char *end) {
        while (p < end && is_blank(*p))
                p++;
        return p;
}

static inline uint64_t zero_bytes(uint64_t word) {
        return (word - ONES) & ~word & HIGHS;
}

/* The first byte that a string may not simply hold: quote, backslash, control character, or one above ASCII.
 * Eight at a time: nearly all that agents write is long runs of plain text. A borrow can mark a byte above a
* true match, never below it, and the bytes of the marked word are compared one by one anyway. */
static const char *skip_plain(const char *p, const char *end) {
        while (end - p >= 8) {
                uint64_t word;

                memcpy(&word, p, sizeof(word));
                if (zero_bytes(word ^ (ONES * '"')) | zero_bytes(word ^ (ONES * '\\')) |
                    ((word - ONES * 0x20) & ~word & HIGHS) | (word & HIGHS))
                        break;
                p += 8;
        }
        while (p < end && (unsigned char) *p >= 0x20 && (unsigned char) *p < 0x80 && *p != '"' && *p != '\\')
                p++;
        return p;
}

/* All of these take the position of a token's first byte and give the one behind it, or NULL. */

static const char *check_escape(const char *p, const char *end) {
        if (end - p < 2 || p[0] != '\\')
                return NULL;
        switch (p[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                return p + 2;
        case 'u':
                if (end - p < 6 || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) || !is_hex(p[5]))
                        return NULL;
                return p + 6;
        default:
                return NULL;
        }
}

static const char *check_string(const char *p, const char *end) {
        p++;
        for (;;) {
                p = skip_plain(p, end);
                if (p >= end)
                        return NULL;
                if (*p == '"')
                        return p + 1;
                if (*p == '\\') {
                        p = check_escape(p, end);
                        if (!p)
                                return NULL;
                        continue;
                }
                if ((unsigned char) *p < 0x20)
                        return NULL;
                /* Text in other scripts comes in runs as well. */
                while (p < end && (unsigned char) *p >= 0x80) {
                        size_t n = utf8_sequence(p, (size_t) (end - p));
                        if (n == 0)
                                return NULL;
                        p += n;
                }
        }
}

static const char *check_number(const char *p, const char *end) {
        if (p < end && *p == '-')
                p++;
        if (p >= end || !is_digit(*p))
                return NULL;
        if (*p == '0')
                p++;
        else
                while (p < end && is_digit(*p))
                        p++;
        if (p < end && *p == '.') {
                p++;
                if (p >= end || !is_digit(*p))
                        return NULL;
                while (p < end && is_digit(*p))
                        p++;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                if (p >= end || !is_digit(*p))
                        return NULL;
                while (p < end && is_digit(*p))
                        p++;
        }
        return p;
}

static const char *check_word(const char *p, const char *end, const char *word) {
        size_t n = strlen(word);
        return (size_t) (end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *check_scalar(const char *p, const char *end) {
        switch (*p) {
        case '"':
                return check_string(p, end);
        case 't':
                return check_word(p, end, "true");
        case 'f':
                return check_word(p, end, "false");
        case 'n':
                return check_word(p, end, "null");
        default:
                return check_number(p, end);
        }
}

/* A key with its colon: the position of the value. */
static const char *check_key(const char *p, const char *end) {
        p = skip_blanks(p, end);
        if (p >= end || *p != '"')
                return NULL;
        p = check_string(p, end);
        if (!p)
                return NULL;
        p = skip_blanks(p, end);
        return p < end && *p == ':' ? p + 1 : NULL;
}

/* NULL where the text is valid; else what is wrong, and *p stands at or before it. */
static const char *check(const char **p, const char *end, size_t values, unsigned depth_max) {
        static const char too_early[] = "unexpected end", unexpected[] = "unexpected text";
        uint64_t objects = 0; /* bit n: level n + 1 is an object, not an array */
        unsigned depth = 0;

        for (;;) {
                const char *next;

                /* A value begins here. */
                *p = skip_blanks(*p, end);
                if (*p >= end)
                        return too_early;
                if (values-- == 0)
                        return "more values than may be read";
                if (**p == '{' || **p == '[') {
                        bool object = **p == '{';

                        if (depth >= depth_max)
                                return "nested too deeply";
                        objects = object ? objects | UINT64_C(1) << depth :
                                           objects & ~(UINT64_C(1) << depth);
                        depth++;
                        *p = skip_blanks(*p + 1, end);
                        if (*p < end && **p == (object ? '}' : ']')) {
                                ++*p;
                                depth--;
                        } else {
                                next = object ? check_key(*p, end) : *p;
                                if (!next)
                                        return *p >= end ? too_early : unexpected;
                                *p = next;
                                continue;
                        }
                } else {
                        next = check_scalar(*p, end);
                        if (!next)
                                return unexpected;
                        *p = next;
                }

                /* A value has ended; so may its parents. */
                for (;;) {
                        *p = skip_blanks(*p, end);
                        if (depth == 0)
                                return *p == end ? NULL : "text after the end";
                        if (*p >= end)
                                return too_early;
                        bool object = objects >> (depth - 1) & 1;
                        if (**p == ',') {
                                ++*p;
                                next = object ? check_key(*p, end) : *p;
                                if (!next)
                                        return *p >= end ? too_early : unexpected;
                                *p = next;
                                break;
                        }
                        if (**p != (object ? '}' : ']'))
                                return unexpected;
                        ++*p;
                        depth--;
                }
        }
}

const char *
json_scan_check_bounded(const char *text, size_t size, size_t values, unsigned depth, size_t *ret_at) {
        const char *p = text, *wrong;

        wrong = size > 0 ? check(&p, text + size, values, MIN(depth, (unsigned) DEPTH_MAX)) :
                           "unexpected end";

        if (ret_at)
                *ret_at = (size_t) (p - text);
        return wrong;
}

const char *json_scan_check(const char *text, size_t size, size_t *ret_at) {
        return json_scan_check_bounded(text, size, SIZE_MAX, DEPTH_MAX, ret_at);
}

bool json_scan_valid(const char *text, size_t size) {
        return !json_scan_check(text, size, NULL);
}

ScanType json_scan_type(Slice v) {
        if (v.size == 0)
                return _SCAN_INVALID;
        switch (v.data[0]) {
        case '{':
                return SCAN_OBJECT;
        case '[':
                return SCAN_ARRAY;
        case '"':
                return SCAN_STRING;
        case 't':
                return SCAN_TRUE;
        case 'f':
                return SCAN_FALSE;
        case 'n':
                return SCAN_NULL;
        default:
                return v.data[0] == '-' || is_digit(v.data[0]) ? SCAN_NUMBER : _SCAN_INVALID;
        }
}

/* Behind the closing quote: the first one with an even number of backslashes before it. */
static const char *step_string(const char *p, const char *end) {
        const char *text = ++p;

        for (;;) {
                const char *quote = memchr(p, '"', (size_t) (end - p)), *q = quote;

                if (!quote)
                        return end;
                while (q > text && q[-1] == '\\')
                        q--;
                if ((quote - q) % 2 == 0)
                        return quote + 1;
                p = quote + 1;
        }
}

static const char *step_value(const char *p, const char *end) {
        size_t depth = 0;

        while (p < end)
                switch (*p) {
                case '"':
                        p = step_string(p, end);
                        if (depth == 0)
                                return p;
                        break;
                case '{':
                case '[':
                        depth++;
                        p++;
                        break;
                case '}':
                case ']':
                        if (depth == 0)
                                return p;
                        p++;
                        if (--depth == 0)
                                return p;
                        break;
                case ',':
                case ' ':
                case '\t':
                case '\n':
                case '\r':
                        if (depth == 0)
                                return p;
                        p++;
                        break;
                default:
                        p++;
                }
        return p;
}

/* Where the next element of an object or array begins. iter: 0 at first, where open has to stand; else the offset behind the
 * element before. False: it is none. */
static bool step_begin(Slice container, size_t iter, char open, const char **ret_p, const char **ret_end) {
        const char *p, *end;

        if (container.size == 0)
                return false;
        p = container.data;
        end = p + container.size;
        if (iter > 0)
                p += MIN(iter, container.size);
        else {
                p = skip_blanks(p, end);
                if (p >= end || *p != open)
                        return false;
                p++;
        }
        *ret_p = skip_blanks(p, end);
        *ret_end = end;
        return true;
}

/* Where the next step begins: behind the comma, or on what closes the whole, where it finds nothing. */
static size_t step_end(Slice whole, const char *p, const char *end) {
        p = skip_blanks(p, end);
        if (p < end && *p == ',')
                p++;
        return (size_t) (p - whole.data);
}

bool json_scan_next_member(Slice object, size_t *iter, Slice *ret_name, Slice *ret_value) {
        const char *p, *end, *name, *name_end, *value;

        if (!step_begin(object, *iter, '{', &p, &end))
                return false;
        name = p;
        if (p >= end || *p != '"')
                return false;
        name_end = p = step_string(p, end);
        p = skip_blanks(p, end);
        if (p >= end || *p != ':')
                return false;
        value = p = skip_blanks(p + 1, end);
        p = step_value(p, end);
        if (p == value)
                return false;
        *ret_name = (Slice){ name, (size_t) (name_end - name) };
        *ret_value = (Slice){ value, (size_t) (p - value) };
        *iter = step_end(object, p, end);
        return true;
}

bool json_scan_member(Slice object, const char *name, Slice *ret) {
        Slice key, value;
        size_t iter = 0;

        while (json_scan_next_member(object, &iter, &key, &value))
                if (json_scan_string_is(key, name)) {
                        *ret = value;
                        return true;
                }
        return false;
}

bool json_scan_head_member(Slice head, const char *name, Slice *ret) {
        Slice key, value;
        size_t iter = 0;

        while (json_scan_next_member(head, &iter, &key, &value)) {
                /* What ends with the text may have continued. */
                if (value.data + value.size >= head.data + head.size)
                        return false;
                if (json_scan_string_is(key, name)) {
                        *ret = value;
                        return true;
                }
        }
        return false;
}

/* Whether a key with escapes decodes to one of the names; readers that end a name at a NUL are among the others. */
static bool decodes_to_one(Slice key, const char *const *names) {
        _cleanup_free_ char *text = NULL;
        size_t size;

        if (json_scan_string(key, &text, &size) < 0)
                return true; /* no memory: it may be one */
        for (; *names; names++)
                if (streq(text, *names))
                        return true;
        return false;
}

bool json_scan_is_ambiguous(Slice object, const char *const *names) {
        uint64_t seen = 0;
        Slice key, value;
        size_t iter = 0;

        while (json_scan_next_member(object, &iter, &key, &value)) {
                if (memchr(key.data, '\\', key.size)) {
                        if (decodes_to_one(key, names))
                                return true;
                        continue;
                }
                for (unsigned i = 0; names[i]; i++) {
                        if (!json_scan_string_is(key, names[i]))
                                continue;
                        if (seen >> i & 1)
                                return true;
                        seen |= UINT64_C(1) << i;
                }
        }
        return false;
}

bool json_scan_path(Slice object, Slice *ret, ...) {
        const char *name;
        va_list ap;
        bool found = true;

        va_start(ap, ret);
        while (found && (name = va_arg(ap, const char *)))
                found = json_scan_member(object, name, &object);
        va_end(ap);
        if (found)
                *ret = object;
        return found;
}

bool json_scan_element(Slice array, size_t *iter, Slice *ret) {
        const char *p, *end;

        if (!step_begin(array, *iter, '[', &p, &end))
                return false;
        const char *value = p;
        p = step_value(p, end);
        if (p == value)
                return false;
        *ret = (Slice){ value, (size_t) (p - value) };
        *iter = step_end(array, p, end);
        return true;
}

bool json_scan_string_is(Slice value, const char *s) {
        size_t n = strlen(s);
        return value.size == n + 2 && value.data[0] == '"' && memcmp(value.data + 1, s, n) == 0 &&
                !memchr(s, '\\', n);
}

static unsigned hex_unit(const char *p) {
        unsigned v = 0;

        for (unsigned i = 0; i < 4; i++) {
                unsigned c = (unsigned char) p[i];
                v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        return v & 0xffff;
}

static size_t encode_utf8(uint32_t c, char *out) {
        if (c < 0x80) {
                out[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char) (0xc0 | c >> 6);
                out[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char) (0xe0 | c >> 12);
                out[1] = (char) (0x80 | (c >> 6 & 0x3f));
                out[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char) (0xf0 | c >> 18);
        out[1] = (char) (0x80 | (c >> 12 & 0x3f));
        out[2] = (char) (0x80 | (c >> 6 & 0x3f));
        out[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

/* \uXXXX at p, with the second half of a pair where there is one. Returns what it took. */
static size_t decode_unit(const char *p, const char *end, uint32_t *ret) {
        uint32_t c = hex_unit(p + 2);

        if (c >= 0xd800 && c <= 0xdbff && end - p >= 12 && p[7] == 'u' && check_escape(p + 6, end)) {
                uint32_t low = hex_unit(p + 8);

                if (low >= 0xdc00 && low <= 0xdfff) {
                        *ret = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                        return 12;
                }
        }
        *ret = c >= 0xd800 && c <= 0xdfff ? 0xfffd : c;
        return 6;
}

int json_scan_string(Slice value, char **ret, size_t *ret_size) {
        if (value.size < 2 || value.data[0] != '"' || value.data[value.size - 1] != '"')
                return -EINVAL;
        const char *p = value.data + 1, *end = value.data + value.size - 1;
        char *s, *out;

        /* Decoding never grows: the shortest escape of a character is no shorter than its UTF-8. */
        s = out = malloc(value.size);
        if (!s)
                return -ENOMEM;
        while (p < end) {
                const char *escape = memchr(p, '\\', (size_t) (end - p));
                size_t plain = (size_t) ((escape ?: end) - p);

                memcpy(out, p, plain);
                out += plain;
                p += plain;
                if (!escape)
                        break;
                if (!check_escape(p, end)) {
                        free(s);
                        return -EINVAL;
                }
                if (p[1] == 'u') {
                        uint32_t c;

                        p += decode_unit(p, end, &c);
                        out += encode_utf8(c, out);
                        continue;
                }
                *out++ = p[1] == 'b' ? '\b' :
                        p[1] == 'f'  ? '\f' :
                        p[1] == 'n'  ? '\n' :
                        p[1] == 'r'  ? '\r' :
                        p[1] == 't'  ? '\t' :
                                       p[1];
                p += 2;
        }
        *out = 0;
        if (!ret_size && memchr(s, 0, (size_t) (out - s))) {
                free(s);
                return -EINVAL;
        }
        if (ret_size)
                *ret_size = (size_t) (out - s);
        *ret = s;
        return 0;
}

int json_scan_u64(Slice value, uint64_t *ret) {
        uint64_t v = 0;

        if (value.size == 0 || (value.size > 1 && value.data[0] == '0'))
                return -EINVAL;
        for (size_t i = 0; i < value.size; i++)
                if (!is_digit(value.data[i]) || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
                    __builtin_add_overflow(v, (uint64_t) (value.data[i] - '0'), &v))
                        return -EINVAL;
        *ret = v;
        return 0;
}

int json_scan_double(Slice value, double *ret) {
        _cleanup_free_ char *big = NULL;
        char small[64], *s = small;

        if (value.size == 0 || check_number(value.data, value.data + value.size) != value.data + value.size)
                return -EINVAL;
        if (value.size >= sizeof(small)) {
                big = malloc(value.size + 1);
                s = big;
                if (!s)
                        return -ENOMEM;
        }
        memcpy(s, value.data, value.size);
        s[value.size] = 0;
        double v = strtod(s, NULL);
        if (!isfinite(v))
                return -EINVAL;
        *ret = v;
        return 0;
}

bool json_scan_is_true(Slice value) {
        return json_scan_type(value) == SCAN_TRUE;
}
