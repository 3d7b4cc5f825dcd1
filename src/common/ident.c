/* SPDX-License-Identifier: MIT */
#include <openssl/sha.h>
#include <stdio.h>

#include "common/ident.h"

static bool is_alnum(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool ident_is_valid(const char *s) {
        size_t n;

        if (isempty(s) || !is_alnum(s[0]))
                return false;
        for (n = 0; s[n]; n++) {
                if (n >= IDENT_MAX)
                        return false;
                if (!is_alnum(s[n]) && s[n] != '_' && s[n] != '.' && s[n] != '-')
                        return false;
                if (s[n] == '.' && s[n + 1] == '.')
                        return false;
        }
        return true;
}

void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE]) {
        unsigned char digest[SHA256_DIGEST_LENGTH];

        (void) SHA256(data, size, digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

bool path_is_below(const char *path) {
        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");
                if (n == 0 || n > 255 || (n <= 2 && strspn(p, ".") == n) || (p[n] && !p[n + 1]))
                        return false;
                p += n + (p[n] == '/');
        }
        return strlen(path) < 1024;
}

void workspace_key(const char *workspace, char ret[static WORKSPACE_KEY_SIZE]) {
        char hex[SHA256_HEX_SIZE];

        sha256_hex(workspace, strlen(workspace), hex);
        memcpy(ret, hex, WORKSPACE_KEY_SIZE - 1);
        ret[WORKSPACE_KEY_SIZE - 1] = 0;
}

void uuid_make(char ret[static UUID_SIZE]) {
        uint64_t a = random_u64(), b = random_u64();

        /* RFC 9562, section 5.4: version 4, variant 10. */
        a = (a & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
        b = (b & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);
        (void) snprintf(
                ret,
                UUID_SIZE,
                "%08x-%04x-%04x-%04x-%012llx",
                (unsigned) (a >> 32),
                (unsigned) (a >> 16 & 0xffff),
                (unsigned) (a & 0xffff),
                (unsigned) (b >> 48),
                (unsigned long long) (b & UINT64_C(0xffffffffffff)));
}

bool uuid_is_valid(const char *s) {
        if (!s || strlen(s) != UUID_SIZE - 1)
                return false;
        for (size_t i = 0; i < UUID_SIZE - 1; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;
                bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f') ||
                        (s[i] >= 'A' && s[i] <= 'F');
                if (dash ? s[i] != '-' : !hex)
                        return false;
        }
        return true;
}
