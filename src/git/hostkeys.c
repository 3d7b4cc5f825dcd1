/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <fnmatch.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "git/hostkeys.h"
#include "git/output.h"

#define KNOWN_HOSTS_MAX (4 * 1024 * 1024)
#define KEYS_MAX 64 /* of one host */
#define BLOB_MAX 4096

typedef struct HostKey {
        char *type, *encoded;
        uint8_t *blob;
        size_t size;
        bool revoked;
} HostKey;

struct HostKeys {
        const Request *request;
        char *name; /* as known_hosts spells it: host, or [host]:port */
        HostKey keys[KEYS_MAX];
        size_t n;
};

HostKeys *hostkeys_free(HostKeys *k) {
        if (!k)
                return NULL;
        for (size_t i = 0; i < k->n; i++) {
                free(k->keys[i].type);
                free(k->keys[i].encoded);
                free(k->keys[i].blob);
        }
        free(k->name);
        free(k);
        return NULL;
}

/* Returns the number of bytes or -EINVAL. */
static int base64_decode(const char *text, uint8_t *ret, size_t max) {
        size_t n = strlen(text), padding = 0;

        if (n == 0 || n % 4 != 0 || n / 4 * 3 > max)
                return -EINVAL;
        while (padding < 2 && text[n - 1 - padding] == '=')
                padding++;
        int r = EVP_DecodeBlock(ret, (const unsigned char *) text, (int) n);
        return r < 0 ? -EINVAL : r - (int) padding;
}

/* |1|salt|HMAC-SHA1 of the name */
static bool hashed_matches(const char *pattern, const char *name) {
        char *copy = strdup(pattern + 3), *bar = copy ? strchr(copy, '|') : NULL;
        uint8_t salt[64], want[64], have[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        bool match = false;

        if (bar) {
                *bar = 0;
                int salt_size = base64_decode(copy, salt, sizeof(salt)),
                    want_size = base64_decode(bar + 1, want, sizeof(want));
                match = salt_size > 0 && want_size > 0 &&
                        HMAC(EVP_sha1(),
                             salt,
                             salt_size,
                             (const unsigned char *) name,
                             strlen(name),
                             have,
                             &n) &&
                        n == (unsigned) want_size && memcmp(have, want, n) == 0;
        }
        free(copy);
        return match;
}

/* "[host]:22" and such would be character classes to fnmatch(): only * and ? are special in this file. */
static bool wildcard_matches(const char *pattern, const char *name) {
        _cleanup_buffer_ Buffer b = {};

        for (const char *p = pattern; *p; p++) {
                if (*p == '[' || *p == '\\')
                        (void) buffer_append_str(&b, "\\");
                (void) buffer_append(&b, p, 1);
        }
        return !b.failed && b.data && fnmatch(b.data, name, FNM_CASEFOLD) == 0;
}

static bool names_match(char *names, const char *name) {
        bool match = false;
        char *state = NULL;

        if (startswith(names, "|1|"))
                return hashed_matches(names, name);
        for (char *p = strtok_r(names, ",", &state); p; p = strtok_r(NULL, ",", &state)) {
                if (p[0] == '!') {
                        if (wildcard_matches(p + 1, name))
                                return false;
                } else if (wildcard_matches(p, name))
                        match = true;
        }
        return match;
}

/* [@marker] names type key [comment] */
static int add_line(HostKeys *k, char *line) {
        char *state = NULL, *names = strtok_r(line, " \t\r", &state), *type, *encoded;
        uint8_t blob[BLOB_MAX];
        bool revoked = false;
        int size;

        if (!names || names[0] == '#')
                return 0;
        if (names[0] == '@') {
                revoked = streq(names, "@revoked");
                if (!revoked)
                        return 0; /* libssh2 knows no certificates */
                names = strtok_r(NULL, " \t\r", &state);
        }
        type = strtok_r(NULL, " \t\r", &state);
        encoded = strtok_r(NULL, " \t\r", &state);
        if (!names || !type || !encoded || !names_match(names, k->name) || k->n >= KEYS_MAX)
                return 0;
        size = base64_decode(encoded, blob, sizeof(blob));
        if (size <= 0)
                return 0;

        HostKey key = {
                .type = strdup(type),
                .encoded = strdup(encoded),
                .blob = malloc((size_t) size),
                .size = (size_t) size,
                .revoked = revoked,
        };
        if (key.blob)
                memcpy(key.blob, blob, (size_t) size);
        k->keys[k->n++] = key; /* freed with the others */
        return key.type && key.encoded && key.blob ? 0 : -ENOMEM;
}

static int read_known_hosts(HostKeys *k, const char *path, bool required) {
        _cleanup_free_ char *data = NULL;
        char *state = NULL;
        int r;

        r = read_file_at(AT_FDCWD, path, KNOWN_HOSTS_MAX, &data, NULL);
        if (r < 0 && required)
                return output_fail("host-key", "failed to read %s: %s", path, strerror(-r));
        if (r < 0)
                return 0;
        for (char *line = strtok_r(data, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                r = add_line(k, line);
                if (r < 0)
                        return output_fail("failed", "out of memory");
        }
        return 0;
}

/* libgit2 1.5 asks for the type of the first line alone, and for RSA by a signature that servers do not make any
 * more; 1.9 asks for all of them. So: the good types first, RSA only where libgit2 can do it. */
static int write_known_hosts(HostKeys *k, const char *home) {
        static const char *const order[] = {
                "ssh-ed25519",
                "ecdsa-sha2-nistp256",
                "ecdsa-sha2-nistp384",
                "ecdsa-sha2-nistp521",
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 8
                "ssh-rsa",
#endif
        };
        _cleanup_close_ int home_fd = -EBADF, ssh_fd = -EBADF;
        _cleanup_buffer_ Buffer b = {};

        for (size_t t = 0; t < ELEMENTSOF(order); t++)
                for (size_t i = 0; i < k->n; i++)
                        if (!k->keys[i].revoked && streq(k->keys[i].type, order[t]))
                                (void) buffer_printf(
                                        &b, "%s %s %s\n", k->name, order[t], k->keys[i].encoded);
        if (buffer_reserve(&b, 0) < 0)
                return -ENOMEM;
        home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (home_fd < 0)
                return -errno;
        ssh_fd = mkdir_open_at(home_fd, ".ssh", 0700);
        if (ssh_fd < 0)
                return ssh_fd;
        return write_file_atomic_at(ssh_fd, "known_hosts", b.data, b.size, 0600);
}

int hostkeys_load(const Request *request, const char *home, HostKeys **ret) {
        _cleanup_(hostkeys_freep) HostKeys *k = new0(HostKeys, 1);
        const GitUrl *u = &request->parsed;
        int r;

        if (!k)
                return output_fail("failed", "out of memory");
        k->request = request;
        k->name = u->port == 22 ? strdup(u->host) : xasprintf("[%s]:%u", u->host, (unsigned) u->port);
        if (!k->name)
                return output_fail("failed", "out of memory");
        if (request->known_hosts_file)
                r = read_known_hosts(k, request->known_hosts_file, true);
        else {
                _cleanup_free_ char *own = xasprintf("%s/.ssh/known_hosts", strempty(getenv("HOME")));
                r = own ? read_known_hosts(k, own, false) : -ENOMEM;
                if (r >= 0)
                        r = read_known_hosts(k, "/etc/ssh/ssh_known_hosts", false);
        }
        if (r < 0)
                return r;
        r = write_known_hosts(k, home);
        if (r < 0)
                return output_fail("failed", "failed to write below %s: %s", home, strerror(-r));
        if (setenv("HOME", home, 1) < 0)
                return output_fail("failed", "out of memory");
        *ret = TAKE_PTR(k);
        return 0;
}

/* The type stands at the beginning of the key itself. */
static void key_type(const git_cert_hostkey *cert, char ret[static 64]) {
        const uint8_t *b = (const uint8_t *) cert->hostkey;
        size_t n = 0;

        if (cert->hostkey_len >= 4)
                n = (size_t) b[0] << 24 | (size_t) b[1] << 16 | (size_t) b[2] << 8 | b[3];
        if (n == 0 || n > 63 || n + 4 > cert->hostkey_len) {
                memcpy(ret, "unknown type", sizeof("unknown type"));
                return;
        }
        memcpy(ret, b + 4, n);
        ret[n] = 0;
}

static void key_fingerprint(const git_cert_hostkey *cert, char ret[static 64]) {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        unsigned char text[64];

        (void) SHA256((const unsigned char *) cert->hostkey, cert->hostkey_len, digest);
        int n = EVP_EncodeBlock(text, digest, sizeof(digest));
        while (n > 0 && text[n - 1] == '=')
                n--;
        memcpy(ret, text, (size_t) n);
        ret[n] = 0;
}

int hostkeys_check(HostKeys *k, const git_cert_hostkey *cert) {
        const GitUrl *u = &k->request->parsed;
        const char *file = k->request->known_hosts_file ? k->request->known_hosts_file :
                                                          "/etc/ssh/ssh_known_hosts";
        char type[64], fingerprint[64];
        bool known = false, same_type = false;

        if (!(cert->type & GIT_CERT_SSH_RAW) || cert->hostkey_len == 0) {
                (void) output_fail("host-key", "%s shows no host key", u->host);
                return GIT_ECERTIFICATE;
        }
        key_type(cert, type);
        key_fingerprint(cert, fingerprint);
        for (size_t i = 0; i < k->n; i++) {
                const HostKey *key = &k->keys[i];
                bool equal = key->size == cert->hostkey_len &&
                        memcmp(key->blob, cert->hostkey, key->size) == 0;

                if (equal && key->revoked) {
                        (void) output_fail(
                                "host-key",
                                "the host key of %s (%s SHA256:%s) is marked as revoked",
                                u->host,
                                type,
                                fingerprint);
                        return GIT_ECERTIFICATE;
                }
                known = known || equal;
                same_type = same_type || (!key->revoked && streq(key->type, type));
        }
        if (known)
                return 0;
        if (same_type)
                (void) output_fail(
                        "host-key",
                        "the host key of %s is not the known one: it shows %s SHA256:%s; where the change "
                        "is meant, replace its line in %s",
                        k->name,
                        type,
                        fingerprint,
                        file);
        else
                (void) output_fail(
                        "host-key",
                        "the host key of %s is not known: it shows %s SHA256:%s; where that is right, add it "
                        "with: ssh-keyscan -t %s -p %u %s >> %s",
                        k->name,
                        type,
                        fingerprint,
                        startswith(type, "ecdsa")           ? "ecdsa" :
                                startswith(type, "ssh-rsa") ? "rsa" :
                                                              "ed25519",
                        (unsigned) u->port,
                        u->host,
                        file);
        return GIT_ECERTIFICATE;
}
