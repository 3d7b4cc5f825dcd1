/* SPDX-License-Identifier: MIT */
#include "common/fileio.h"
#include "git/credentials.h"
#include "git/output.h"

#define SECRET_MAX (64 * 1024)
#define CREDENTIAL_FD 3
/* How often a server may ask before it is given up: user name, key, and once more. libgit2 asks for ever. */
#define ASKED_MAX 3

void credentials_done(Credentials *c) {
        output_set_secret(NULL);
        if (c->secret)
                explicit_bzero(c->secret, c->size);
        free(c->secret);
        *c = (Credentials){};
}

static int read_secret(int fd, char **ret, size_t *ret_size) {
        char *data = malloc(SECRET_MAX + 1);
        size_t size = 0;
        int r = 0;

        if (!data)
                return -ENOMEM;
        for (;;) {
                /* From the beginning, even if another process has moved the shared file position. */
                ssize_t n = pread(fd, data + size, SECRET_MAX + 1 - size, (off_t) size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;
                size += (size_t) n;
                if (size > SECRET_MAX) {
                        r = -E2BIG;
                        break;
                }
        }
        if (r < 0) {
                explicit_bzero(data, SECRET_MAX + 1);
                free(data);
                return r;
        }
        data[size] = 0;
        *ret = data;
        *ret_size = size;
        return 0;
}

int credentials_load(const Request *request, Credentials *ret) {
        uint64_t n = 0;
        int r;

        *ret = (Credentials){ .request = request };
        if (!request->credential)
                return 0;
        if (safe_atou64(strempty(getenv("NORTHFLARE_FDS")), &n) < 0 || n < 1)
                return output_fail("request", "a credential is announced, but its descriptor is missing");
        r = read_secret(CREDENTIAL_FD, &ret->secret, &ret->size);
        (void) close(CREDENTIAL_FD);
        if (r < 0)
                return output_fail("request", "failed to read the credential: %s", strerror(-r));
        if (streq(request->credential, "token"))
                while (ret->size > 0 && strchr(" \t\r\n", ret->secret[ret->size - 1]))
                        ret->secret[--ret->size] = 0;
        if (ret->size == 0 || strlen(ret->secret) != ret->size)
                return output_fail("auth", "the configured credential is empty or holds a NUL byte");
        if (streq(request->credential, "token") && (strchr(ret->secret, '\n') || strchr(ret->secret, '\r')))
                return output_fail("auth", "the configured token has more than one line");
        if (streq(request->credential, "token") && ret->size >= 4)
                output_set_secret(ret->secret);
        return 0;
}

void credentials_rearm(Credentials *c) {
        c->asked = 0;
        c->offered = false;
}

static bool is_ssh(const Credentials *c) {
        return c->request->parsed.scheme == GIT_SCHEME_SSH;
}

static const char *ssh_user(const Credentials *c) {
        return c->request->parsed.user ? c->request->parsed.user : "git";
}

int credentials_acquire(Credentials *c, git_credential **ret, const char *username, unsigned allowed) {
        const char *host = c->request->parsed.host;
        int r;

        if (++c->asked > ASKED_MAX) {
                (void) output_fail("auth", "%s asked for credentials too often", host);
                return GIT_EAUTH;
        }
        if (is_ssh(c) && (allowed & GIT_CREDENTIAL_USERNAME))
                return git_credential_username_new(ret, ssh_user(c));
        if (!c->secret) {
                (void) output_fail(
                        "auth",
                        "%s asks for credentials, and none are configured for %s",
                        host,
                        is_ssh(c) ? "ssh" : "https");
                return GIT_EAUTH;
        }
        if (c->offered) {
                (void) output_fail(
                        "auth", "%s refused the configured %s", host, is_ssh(c) ? "ssh key" : "token");
                return GIT_EAUTH;
        }
        if (is_ssh(c) && streq(c->request->credential, "sshKey") && (allowed & GIT_CREDENTIAL_SSH_KEY))
                r = git_credential_ssh_key_memory_new(
                        ret, username ? username : ssh_user(c), NULL, c->secret, NULL);
        else if (
                !is_ssh(c) && streq(c->request->credential, "token") &&
                (allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
                r = git_credential_userpass_plaintext_new(
                        ret, c->request->username ? c->request->username : "x-access-token", c->secret);
        else {
                (void) output_fail("auth", "%s does not accept a %s", host, is_ssh(c) ? "ssh key" : "token");
                return GIT_EAUTH;
        }
        c->offered = true;
        return r;
}
