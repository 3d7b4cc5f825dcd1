/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "git/guard.h"

/* A server that is silent for that long is given up. (libssh2 makes its sockets non-blocking and waits by poll: there
 * it is the kernel's keep-alive, and at last the time limit of the whole operation.) */
#define SILENCE_SECS 120

static struct {
        uint16_t port;
        bool allow_loopback, refused;
} guard;

void guard_set(const GitUrl *url, bool allow_loopback) {
        guard.port = url->port;
        guard.allow_loopback = allow_loopback;
}

bool guard_refused(void) {
        return guard.refused;
}

static bool port_is_right(const struct sockaddr *sa) {
        in_port_t port = sa->sa_family == AF_INET ?
                ((const struct sockaddr_in *) (const void *) sa)->sin_port :
                ((const struct sockaddr_in6 *) (const void *) sa)->sin6_port;

        return ntohs(port) == guard.port;
}

__attribute__((visibility("default"))) int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size) {
#ifdef __cplusplus
#error "the argument is a transparent union in C only"
#endif
        const struct sockaddr *sa = address.__sockaddr__;
        struct timeval silence = { .tv_sec = SILENCE_SECS };
        int one = 1, timeout_msec = SILENCE_SECS * 1000;

        /* The address first: it determines the size before the port is read. */
        if (!giturl_address_is_allowed(sa, size, guard.allow_loopback) || !port_is_right(sa)) {
                guard.refused = true;
                errno = EACCES;
                return -1;
        }
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
        (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_msec, sizeof(timeout_msec));
        return (int) syscall(SYS_connect, fd, sa, size);
}
