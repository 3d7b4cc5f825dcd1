/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "runner/config/config-token.h"

#define TOKEN_VARIABLE "NORTHFLARE_RUNNER_TOKEN"
#define TOKEN_CREDENTIAL "runner-token"
#define TOKEN_MAX 4096

char *config_token_free(char *token) {
        if (token) {
                explicit_bzero(token, strlen(token));
                free(token);
        }
        return NULL;
}

/* It goes into an HTTP header: what cannot stand there is refused, and never repeated in a message. */
static int check_token(ConfigLoader *l, const char *origin, char *text, size_t size) {
        if (size > 0 && text[size - 1] == '\n')
                text[--size] = 0;
        if (size > 0 && text[size - 1] == '\r')
                text[--size] = 0;
        if (size == 0)
                return config_fail(l, origin, NULL, "the token is empty");
        for (size_t i = 0; i < size; i++)
                if (text[i] <= 0x20 || text[i] >= 0x7f)
                        return config_fail(
                                l,
                                origin,
                                NULL,
                                "the token contains white space or another character that is not valid in a token "
                                "(byte %zu)",
                                i);
        return 0;
}

/* -ENOENT: no such file; everything else that goes wrong is an error with its sentence. */
static int read_token(ConfigLoader *l, const char *path, const char *origin, char **ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char text[TOKEN_MAX + 3];
        size_t size = 0;
        ssize_t n;
        int r;

        if (fd < 0)
                return errno == ENOENT ? -ENOENT :
                                         config_fail(l, origin, NULL, "%s", strerrordesc_np(errno));
        do {
                n = read(fd, text + size, sizeof(text) - 1 - size);
                if (n > 0)
                        size += (size_t) n;
        } while ((n > 0 && size < sizeof(text) - 1) || (n < 0 && errno == EINTR));
        if (n < 0)
                r = config_fail(l, origin, NULL, "%s", strerrordesc_np(errno));
        else if (size > TOKEN_MAX + 1)
                r = config_fail(l, origin, NULL, "the token is longer than %d bytes", TOKEN_MAX);
        else {
                text[size] = 0;
                r = check_token(l, origin, text, size);
        }
        if (r >= 0) {
                *ret = strdup(text);
                r = *ret ? 1 : -ENOMEM;
        }
        explicit_bzero(text, sizeof(text));
        return r;
}

static int token_from_credential(ConfigLoader *l, char **ret, char **ret_origin) {
        const char *dir = strv_env_get(l->env, "CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL, *origin = NULL;
        int r;

        if (isempty(dir))
                return 0;
        path = xasprintf("%s/" TOKEN_CREDENTIAL, dir);
        origin = strdup("credential " TOKEN_CREDENTIAL);
        if (!path || !origin)
                return -ENOMEM;
        r = read_token(l, path, origin, ret);
        if (r > 0)
                *ret_origin = TAKE_PTR(origin);
        return r == -ENOENT ? 0 : r;
}

static int token_from_environment(ConfigLoader *l, char **ret, char **ret_origin) {
        const char *value = strv_env_get(l->env, TOKEN_VARIABLE);
        char *token, *origin;
        int r;

        if (isempty(value))
                return 0;
        token = strdup(value);
        origin = strdup(TOKEN_VARIABLE);
        r = !token || !origin ? -ENOMEM : check_token(l, TOKEN_VARIABLE, token, strlen(token));
        if (r < 0) {
                config_token_free(token);
                free(origin);
                return r;
        }
        *ret = token;
        *ret_origin = origin;
        return 1;
}

static int token_from_file(ConfigLoader *l, char **ret, char **ret_origin) {
        const char *path = json_get_string(l->values, "tokenFile");
        _cleanup_free_ char *origin = NULL;
        int r;

        if (!path)
                return 0;
        origin = xasprintf("tokenFile %s", path);
        if (!origin)
                return -ENOMEM;
        r = read_token(l, path, origin, ret);
        if (r == -ENOENT)
                return config_fail(
                        l, config_get_origin(l, "tokenFile"), "tokenFile", "file %s does not exist", path);
        if (r > 0)
                *ret_origin = TAKE_PTR(origin);
        return r;
}

int config_load_token(ConfigLoader *l, char **ret, char **ret_origin) {
        int r;

        r = token_from_credential(l, ret, ret_origin);
        if (r == 0)
                r = token_from_environment(l, ret, ret_origin);
        if (r == 0)
                r = token_from_file(l, ret, ret_origin);
        return r;
}

int config_check_token(ConfigLoader *l, const char *token_origin) {
        bool url = json_get_string(l->values, "orchestratorUrl");

        if (url && !token_origin)
                return config_fail(
                        l,
                        config_get_origin(l, "orchestratorUrl"),
                        "orchestratorUrl",
                        "an orchestrator is configured without a token: write the token to "
                        "/etc/credstore/" TOKEN_CREDENTIAL " (systemd credential " TOKEN_CREDENTIAL
                        "), or set " TOKEN_VARIABLE ", or name a file with tokenFile");
        if (!url && token_origin)
                return config_fail(
                        l,
                        token_origin,
                        NULL,
                        "a token is configured without an orchestrator: set orchestratorUrl in %s, or "
                        "NORTHFLARE_ORCHESTRATOR_URL",
                        l->main_file);
        return 0;
}

void config_scrub_environment(void) {
        for (char **e = environ; e && *e; e++) {
                const char *value = startswith(*e, TOKEN_VARIABLE "=");
                /* The memory itself: /proc/PID/environ shows it whatever unsetenv() does. */
                if (value)
                        explicit_bzero(*e + (value - *e), strlen(value));
        }
        (void) unsetenv(TOKEN_VARIABLE);
}
