/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/git-url.h"
#include "common/ident.h"

#define GITURL_MAX 2048

static bool is_alnum(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int refuse(char **ret_error, const char *text) {
        if (ret_error)
                *ret_error = strdup(text);
        return -EINVAL;
}

void giturl_done(GitUrl *u) {
        free(u->user);
        free(u->host);
        free(u->path);
        *u = (GitUrl){};
}

static bool user_is_valid(const char *s, size_t n) {
        if (n == 0 || n > 64 || s[0] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_alnum(s[i]) && !strchr("._-", s[i]))
                        return false;
        return true;
}

/* A name or IPv4 address as it stands in the address; IPv6 comes in brackets and through ipv6_is_valid(). */
static bool host_is_valid(const char *s, size_t n) {
        if (n == 0 || n > 253 || !is_alnum(s[0]))
                return false;
        for (size_t i = 0; i < n; i++) {
                if (!is_alnum(s[i]) && !strchr("._-", s[i]))
                        return false;
                if (s[i] == '.' && i + 1 < n && s[i + 1] == '.')
                        return false;
        }
        return true;
}

static bool ipv6_is_valid(const char *s) {
        struct in6_addr a;

        return inet_pton(AF_INET6, s, &a) == 1;
}

/* Printable ASCII with whole percent escapes, none of which is a NUL or another control byte, and no "..": the
 * remainder cannot be read as anything but a path. */
static bool path_is_valid(const char *s) {
        for (const char *p = s; *p; p++) {
                if (*p <= ' ' || *p >= 0x7f || strchr("\\?#\"<>|^`{}", *p))
                        return false;
                if (*p == '%') {
                        if (!is_hex(p[1]) || !is_hex(p[2]) || p[1] == '0' || p[1] == '1')
                                return false;
                }
                if ((p == s || p[-1] == '/') && p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0))
                        return false;
        }
        return true;
}

static int parse_port(const char *s, uint16_t *ret) {
        uint64_t v;

        if (strlen(s) > 5 || safe_atou64(s, &v) < 0 || v == 0 || v > 65535)
                return -EINVAL;
        *ret = (uint16_t) v;
        return 0;
}

static int set_host(GitUrl *u, const char *s, size_t n) {
        u->host = strndup(s, n);
        if (!u->host)
                return -ENOMEM;
        if (n > 0 && u->host[n - 1] == '.')
                u->host[n - 1] = 0;
        for (char *p = u->host; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char) (*p - 'A' + 'a');
        return 0;
}

/* [user@]host:path, where a host of one character would be a drive letter elsewhere and is not taken. */
static int parse_scp(const char *url, GitUrl *u, char **ret_error) {
        const char *colon = strchr(url, ':'), *at = strchr(url, '@'), *slash = strchr(url, '/'), *host = url;

        /* A slash was forgotten. */
        if (startswith(url, "http:") || startswith(url, "https:") || startswith(url, "ssh:") ||
            startswith(url, "file:"))
                return refuse(ret_error, "\"//\" is missing behind its scheme");
        if (!colon || (slash && slash < colon))
                return refuse(ret_error, "it is neither https://host/path nor ssh://user@host/path");
        if (at && at < colon) {
                if (!user_is_valid(url, (size_t) (at - url)))
                        return refuse(ret_error, "its user name has characters that are not allowed");
                u->user = strndup(url, (size_t) (at - url));
                if (!u->user)
                        return -ENOMEM;
                host = at + 1;
        }
        if (colon - host < 2 || !host_is_valid(host, (size_t) (colon - host)))
                return refuse(ret_error, "its host is not valid");
        if (!colon[1] || colon[1] == '-' || strchr(colon + 1, ':') || strchr(colon + 1, '@') ||
            !path_is_valid(colon + 1))
                return refuse(ret_error, "its path is not valid");
        u->scheme = GIT_SCHEME_SSH;
        u->scp = true;
        u->port = 22;
        u->path = strdup(colon + 1);
        if (!u->path)
                return -ENOMEM;
        return set_host(u, host, (size_t) (colon - host));
}

static int parse_authority(const char *s, size_t n, GitUrl *u, char **ret_error) {
        _cleanup_free_ char *authority = strndup(s, n);
        char *host, *port = NULL, *at;
        int r;

        if (!authority)
                return -ENOMEM;
        host = authority;
        at = strrchr(authority, '@');
        if (at) {
                *at = 0;
                if (strchr(authority, ':'))
                        return refuse(
                                ret_error,
                                "it has a password; credentials belong in the runner's configuration");
                if (u->scheme != GIT_SCHEME_SSH)
                        return refuse(
                                ret_error,
                                "it has a user name, which may be a secret; leave it out "
                                "(credentials belong in the runner's configuration)");
                if (!user_is_valid(authority, strlen(authority)))
                        return refuse(ret_error, "its user name has characters that are not allowed");
                u->user = strdup(authority);
                if (!u->user)
                        return -ENOMEM;
                host = at + 1;
        }
        if (host[0] == '[') {
                char *end = strchr(host, ']');
                if (!end || (end[1] && end[1] != ':'))
                        return refuse(ret_error, "its host is not valid");
                *end = 0;
                if (end[1])
                        port = end + 2;
                host++;
                if (!ipv6_is_valid(host))
                        return refuse(ret_error, "its host is not a valid IPv6 address");
        } else {
                char *colon = strchr(host, ':');
                if (colon) {
                        *colon = 0;
                        port = colon + 1;
                }
                if (!host_is_valid(host, strlen(host)))
                        return refuse(ret_error, "its host is not valid");
        }
        u->port = u->scheme == GIT_SCHEME_HTTPS ? 443 : u->scheme == GIT_SCHEME_SSH ? 22 : 80;
        if (port) {
                r = parse_port(port, &u->port);
                if (r < 0)
                        return refuse(ret_error, "its port is not a number from 1 to 65535");
        }
        return set_host(u, host, strlen(host));
}

int giturl_parse(const char *url, GitUrl *ret, char **ret_error) {
        static const struct {
                const char *prefix;
                GitScheme scheme;
        } schemes[] = {
                { "https://", GIT_SCHEME_HTTPS },
                { "ssh://", GIT_SCHEME_SSH },
                { "http://", GIT_SCHEME_HTTP },
                { "file://", GIT_SCHEME_FILE },
        };
        _cleanup_giturl_ GitUrl u = {};
        const char *rest = NULL, *slash;
        int r;

        if (ret_error)
                *ret_error = NULL;
        if (isempty(url))
                return refuse(ret_error, "it is empty");
        if (strlen(url) > GITURL_MAX)
                return refuse(ret_error, "it is longer than 2048 bytes");
        if (url[0] == '-')
                return refuse(ret_error, "it begins with a dash");
        if (!strstr(url, "://")) {
                r = parse_scp(url, &u, ret_error);
                if (r < 0)
                        return r;
                *ret = u;
                u = (GitUrl){};
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
                if (strncasecmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0) {
                        /* libgit2 chooses its transport by the lower-case spelling. */
                        rest = startswith(url, schemes[i].prefix);
                        if (!rest)
                                return refuse(ret_error, "its scheme is not in lower case");
                        u.scheme = schemes[i].scheme;
                }
        if (!rest)
                return refuse(ret_error, "its scheme is not https or ssh");
        slash = strchr(rest, '/');
        if (!slash)
                return refuse(ret_error, "it has no path");
        if (u.scheme == GIT_SCHEME_FILE) {
                if (slash != rest)
                        return refuse(ret_error, "a file address has no host");
                u.host = strdup("");
                if (!u.host)
                        return -ENOMEM;
        } else {
                r = parse_authority(rest, (size_t) (slash - rest), &u, ret_error);
                if (r < 0)
                        return r;
                if (!slash[1])
                        return refuse(ret_error, "it has no path");
        }
        if (!path_is_valid(slash))
                return refuse(ret_error, "its path has \"..\", a query, or characters that are not allowed");
        u.path = strdup(slash);
        if (!u.path)
                return -ENOMEM;
        *ret = u;
        u = (GitUrl){};
        return 0;
}

static bool ipv4_is_allowed(uint32_t a, bool allow_loopback) {
        if (a >> 24 == 127)
                return allow_loopback;
        return a >> 24 != 0 &&       /* this network */
                a >> 16 != 0xa9fe && /* link-local, cloud metadata */
                a >> 28 != 0xe &&    /* multicast */
                a != 0xffffffff;
}

static uint32_t ipv4_at(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool ipv6_is_allowed(const struct in6_addr *a, bool allow_loopback) {
        static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
        static const uint8_t metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x54, [14] = 0x02 };
        const uint8_t *b = a->s6_addr;

        if (IN6_IS_ADDR_LOOPBACK(a))
                return allow_loopback;
        if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) ||
            memcmp(b, metadata, sizeof(metadata)) == 0)
                return false;
        if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || memcmp(b, nat64, sizeof(nat64)) == 0)
                return ipv4_is_allowed(ipv4_at(b + 12), allow_loopback);
        if (b[0] == 0x20 && b[1] == 0x02)
                return ipv4_is_allowed(ipv4_at(b + 2), false);
        return true;
}

bool giturl_address_is_allowed(const struct sockaddr *sa, socklen_t size, bool allow_loopback) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        if (size < sizeof(sa->sa_family))
                return false;
        if (sa->sa_family == AF_INET && size >= sizeof(in)) {
                memcpy(&in, sa, sizeof(in));
                return ipv4_is_allowed(ntohl(in.sin_addr.s_addr), allow_loopback);
        }
        if (sa->sa_family == AF_INET6 && size >= sizeof(in6)) {
                memcpy(&in6, sa, sizeof(in6));
                return ipv6_is_allowed(&in6.sin6_addr, allow_loopback);
        }
        return false;
}

static bool name_is_loopback(const char *host) {
        return streq(host, "localhost") || endswith(host, ".localhost") ||
                streq(host, "localhost.localdomain") || streq(host, "ip6-localhost") ||
                streq(host, "ip6-loopback");
}

/* The resolver takes every spelling of inet_aton() for an address (127.1, 0x7f000001, 2130706433), so this does too.
 * Returns 1 and an address, or 0 where it is a name. */
static int host_address(const char *host, struct sockaddr_storage *ret, socklen_t *ret_size) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

        *ret = (struct sockaddr_storage){};
        if (inet_aton(host, &in.sin_addr) != 0) {
                memcpy(ret, &in, sizeof(in));
                *ret_size = sizeof(in);
                return 1;
        }
        if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
                memcpy(ret, &in6, sizeof(in6));
                *ret_size = sizeof(in6);
                return 1;
        }
        return 0;
}

int giturl_check(const GitUrl *u, bool allow_loopback, char **ret_error) {
        struct sockaddr_storage address;
        socklen_t size;
        bool loopback;

        if (ret_error)
                *ret_error = NULL;
        if (u->scheme == GIT_SCHEME_FILE) {
                if (allow_loopback)
                        return 0;
                (void) refuse(ret_error, "its scheme is not https or ssh");
                return -EPERM;
        }
        if (host_address(u->host, &address, &size) > 0) {
                const struct sockaddr *sa = (const struct sockaddr *) &address;
                loopback = giturl_address_is_allowed(sa, size, true) &&
                        !giturl_address_is_allowed(sa, size, false);
                if (!giturl_address_is_allowed(sa, size, allow_loopback)) {
                        (void) refuse(
                                ret_error,
                                loopback ? "its host is this machine itself" :
                                           "its host is a link-local or otherwise special address");
                        return -EPERM;
                }
        } else {
                loopback = name_is_loopback(u->host);
                if (loopback && !allow_loopback) {
                        (void) refuse(ret_error, "its host is this machine itself");
                        return -EPERM;
                }
        }
        if (u->scheme == GIT_SCHEME_HTTP && !(loopback && allow_loopback)) {
                (void) refuse(ret_error, "its scheme is not https or ssh");
                return -EPERM;
        }
        return 0;
}

int giturl_key(const GitUrl *u, char ret[static GITURL_KEY_SIZE]) {
        static const char *const names[] = { "https", "ssh", "http", "file" };
        static const uint16_t ports[] = { 443, 22, 80, 0 };
        _cleanup_buffer_ Buffer b = {};
        char hex[SHA256_HEX_SIZE];
        size_t n = strlen(u->path);

        while (n > 1 && u->path[n - 1] == '/')
                n--;
        if (n > 4 && memcmp(u->path + n - 4, ".git", 4) == 0 && u->path[n - 5] != '/')
                n -= 4;
        (void) buffer_printf(
                &b, "%s://%s%s%s", names[u->scheme], strempty(u->user), u->user ? "@" : "", u->host);
        if (u->port != ports[u->scheme])
                (void) buffer_printf(&b, ":%u", (unsigned) u->port);
        /* The short form counts from the user's home, the long one from the root: two places. */
        if (u->scp)
                (void) buffer_append_str(&b, ":");
        if (buffer_append(&b, u->path, n) < 0)
                return -ENOMEM;
        sha256_hex(b.data, b.size, hex);
        memcpy(ret, hex, GITURL_KEY_SIZE - 1);
        ret[GITURL_KEY_SIZE - 1] = 0;
        return 0;
}

/* git-check-ref-format(1), and a little less: no quote, no name that reads as a full reference. */
bool gitref_branch_is_valid(const char *s) {
        size_t n;

        if (isempty(s) || s[0] == '-' || s[0] == '/' || startswith(s, "refs/") || streq(s, "HEAD") ||
            streq(s, "@"))
                return false;
        n = strlen(s);
        if (n > GIT_BRANCH_MAX || s[n - 1] == '/' || s[n - 1] == '.' || !utf8_is_valid(s, n))
                return false;
        for (const char *p = s; *p; p++) {
                bool first = p == s || p[-1] == '/';

                if ((unsigned char) *p <= ' ' || *p == 0x7f || strchr("~^:?*[\\\"", *p))
                        return false;
                if (first && (*p == '.' || *p == '/'))
                        return false;
                if ((p[0] == '.' && p[1] == '.') || (p[0] == '@' && p[1] == '{'))
                        return false;
                if (startswith(p, ".lock") && (p[5] == 0 || p[5] == '/'))
                        return false;
        }
        return true;
}

bool gitref_commit_is_valid(const char *s) {
        if (strlen(s) != 40)
                return false;
        for (; *s; s++)
                if (!is_hex(*s) || (*s >= 'A' && *s <= 'F'))
                        return false;
        return true;
}
