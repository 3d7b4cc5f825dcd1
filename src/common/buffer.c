/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/buffer.h"

void buffer_done(Buffer *b) {
        free(b->data);
        *b = (Buffer){};
}

void buffer_clear(Buffer *b, size_t keep_max) {
        if (b->allocated > keep_max) {
                buffer_done(b);
                return;
        }
        b->size = 0;
        b->failed = false;
        if (b->data)
                b->data[0] = 0;
}

int buffer_reserve(Buffer *b, size_t extra) {
        size_t need, grown;
        char *data;

        if (b->failed)
                return -ENOMEM;
        if (__builtin_add_overflow(b->size, extra, &need) || __builtin_add_overflow(need, (size_t) 1, &need))
                goto fail;
        if (need <= b->allocated)
                return 0;
        grown = MAX(need, MAX(b->allocated + b->allocated / 2, (size_t) 64));
        data = realloc(b->data, grown);
        if (!data)
                goto fail;
        b->data = data;
        b->allocated = grown;
        b->data[b->size] = 0;
        return 0;
fail:
        b->failed = true;
        return -ENOMEM;
}

int buffer_append(Buffer *b, const void *data, size_t size) {
        int r = buffer_reserve(b, size);

        if (r < 0)
                return r;
        if (size > 0)
                memcpy(b->data + b->size, data, size);
        b->size += size;
        b->data[b->size] = 0;
        return 0;
}

int buffer_append_str(Buffer *b, const char *s) {
        return buffer_append(b, s, strlen(s));
}

int buffer_printf(Buffer *b, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        int n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -EINVAL;
        int r = buffer_reserve(b, (size_t) n);
        if (r < 0)
                return r;
        va_start(ap, format);
        (void) vsnprintf(b->data + b->size, (size_t) n + 1, format, ap);
        va_end(ap);
        b->size += (size_t) n;
        return 0;
}

void buffer_trim(Buffer *b) {
        char *data;

        if (b->failed || b->allocated <= b->size + 1)
                return;
        data = realloc(b->data, b->size + 1);
        if (!data)
                return;
        b->data = data;
        b->allocated = b->size + 1;
}

void buffer_consume(Buffer *b, size_t n) {
        assert(n <= b->size);
        if (n == 0)
                return;
        memmove(b->data, b->data + n, b->size - n);
        b->size -= n;
        b->data[b->size] = 0;
}

char *buffer_steal(Buffer *b) {
        char *data = NULL;

        if (buffer_reserve(b, 0) >= 0)
                data = TAKE_PTR(b->data);
        buffer_done(b);
        return data;
}

size_t utf8_sequence(const char *str, size_t size) {
        const unsigned char *s = (const unsigned char *) str;

        /* The table of well-formed sequences: Unicode Standard, section 3.9, table 3-7. */
        if (size == 0)
                return 0;
        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf)
                return size >= 2 && (s[1] & 0xc0) == 0x80 ? 2 : 0;
        if (s[0] >= 0xe0 && s[0] <= 0xef) {
                unsigned char low = s[0] == 0xe0 ? 0xa0 : 0x80, high = s[0] == 0xed ? 0x9f : 0xbf;
                return size >= 3 && s[1] >= low && s[1] <= high && (s[2] & 0xc0) == 0x80 ? 3 : 0;
        }
        if (s[0] >= 0xf0 && s[0] <= 0xf4) {
                unsigned char low = s[0] == 0xf0 ? 0x90 : 0x80, high = s[0] == 0xf4 ? 0x8f : 0xbf;
                return size >= 4 && s[1] >= low && s[1] <= high && (s[2] & 0xc0) == 0x80 &&
                                (s[3] & 0xc0) == 0x80 ?
                        4 :
                        0;
        }
        return 0;
}

bool utf8_is_valid(const char *s, size_t size) {
        while (size > 0) {
                size_t n = utf8_sequence(s, size);
                if (n == 0)
                        return false;
                s += n;
                size -= n;
        }
        return true;
}

bool utf8_is_noncharacter(const char *str, size_t n) {
        const unsigned char *s = (const unsigned char *) str;

        if (n == 3 && s[0] == 0xef && s[1] == 0xb7)
                return s[2] >= 0x90 && s[2] <= 0xaf;
        /* U+FFFE and U+FFFF, U+1FFFE and U+1FFFF, and so on. */
        return ((n == 3 && s[0] == 0xef && s[1] == 0xbf) ||
                (n == 4 && (s[1] & 0x0f) == 0x0f && s[2] == 0xbf)) &&
                s[n - 1] >= 0xbe;
}

bool utf8_is_for_bus(const char *s) {
        for (size_t size = strlen(s), n; size > 0; s += n, size -= n) {
                n = utf8_sequence(s, size);
                if (n == 0 || utf8_is_noncharacter(s, n))
                        return false;
        }
        return true;
}

int utf8_cut(const char *s, size_t max) {
        size_t n = strnlen(s, max + 1);

        if (n <= max)
                return (int) n;
        for (n = max; n > 0 && ((unsigned char) s[n] & 0xc0) == 0x80; n--)
                ;
        return (int) n;
}

int buffer_append_json(Buffer *b, const char *s, size_t size) {
        size_t plain = 0;

        (void) buffer_append(b, "\"", 1);
        for (size_t i = 0; i < size;) {
                unsigned char c = (unsigned char) s[i];
                size_t n = utf8_sequence(s + i, size - i);

                if (n >= 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
                        i += n;
                        continue;
                }
                (void) buffer_append(b, s + plain, i - plain);
                if (n == 0)
                        (void) buffer_append_str(b, "\xef\xbf\xbd");
                else if (c == '"' || c == '\\') {
                        char escaped[2] = { '\\', (char) c };
                        (void) buffer_append(b, escaped, 2);
                } else if (c == '\n')
                        (void) buffer_append_str(b, "\\n");
                else if (c == '\t')
                        (void) buffer_append_str(b, "\\t");
                else
                        (void) buffer_printf(b, "\\u%04x", c);
                i++;
                plain = i;
        }
        (void) buffer_append(b, s + plain, size - plain);
        return buffer_append(b, "\"", 1);
}

int buffer_append_json_str(Buffer *b, const char *s) {
        return buffer_append_json(b, s, strlen(s));
}
