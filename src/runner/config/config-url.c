/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ctype.h>
#include <strings.h>

#include "runner/config/config-url.h"

static int why(char **ret_why, const char *text) {
        *ret_why = strdup(text);
        return *ret_why ? -EINVAL : -ENOMEM;
}

/* No name is looked up here: only what can mean nothing but this machine counts. */
static bool is_loopback(const char *host, bool brackets) {
        struct in6_addr six;
        struct in_addr four;

        if (brackets)
                return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
        if (strcasecmp(host, "localhost") == 0)
                return true;
        return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

static bool host_is_valid(const char *host, bool brackets) {
        struct in6_addr six;

        if (brackets)
                return inet_pton(AF_INET6, host, &six) == 1;
        for (const char *p = host; *p; p++)
                if (!isalnum((unsigned char) *p) && !strchr("-._", *p))
                        return false;
        return *host && *host != '.' && *host != '-';
}

static bool port_is_valid(const char *s) {
        uint64_t port;

        return safe_atou64(s, &port) >= 0 && port >= 1 && port <= 65535;
}

/* rest: "host", "host:port" or "[v6]:port". */
static int check_authority(char *rest, bool *ret_loopback, char **ret_why) {
        bool brackets = *rest == '[';
        char *host = rest, *port = NULL, *end;

        if (strchr(rest, '@'))
                return why(ret_why, "must not contain a user or password");
        if (brackets) {
                host = rest + 1;
                end = strchr(host, ']');
                if (!end)
                        return why(ret_why, "has a '[' without ']'");
                *end++ = 0;
                if (*end && *end != ':')
                        return why(ret_why, "has text between ']' and the port");
                port = *end ? end + 1 : NULL;
        } else if ((end = strchr(host, ':'))) {
                *end = 0;
                port = end + 1;
        }
        if (!host_is_valid(host, brackets))
                return why(ret_why, "has no valid host name");
        if (port && !port_is_valid(port))
                return why(ret_why, "has no valid port");
        *ret_loopback = is_loopback(host, brackets);
        return 0;
}

int config_url_check(const char *url, char **ret, bool *ret_plain, bool *ret_loopback, char **ret_why) {
        _cleanup_free_ char *copy = NULL, *authority = NULL;
        const char *rest;
        size_t n;
        int r;

        for (const char *p = url; *p; p++)
                if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
                        return why(
                                ret_why,
                                "must not contain blanks or other characters that are not valid in a URL");
        if (strncasecmp(url, "https://", 8) == 0) {
                *ret_plain = false;
                rest = url + 8;
        } else if (strncasecmp(url, "http://", 7) == 0) {
                *ret_plain = true;
                rest = url + 7;
        } else
                return why(ret_why, "must begin with https:// (or http://)");
        if (strpbrk(url, "?#"))
                return why(ret_why, "must not have a query or fragment");
        authority = strndup(rest, strcspn(rest, "/"));
        if (!authority)
                return -ENOMEM;
        r = check_authority(authority, ret_loopback, ret_why);
        if (r < 0)
                return r;
        copy = strdup(url);
        if (!copy)
                return -ENOMEM;
        /* Paths are appended to it. */
        for (n = strlen(copy); n > 0 && copy[n - 1] == '/'; n--)
                copy[n - 1] = 0;
        *ret = TAKE_PTR(copy);
        return 0;
}
