/* SPDX-License-Identifier: MIT */
#include <ctype.h>

#include "common/buffer.h"
#include "runner/config/config-expand.h"

static int why(char **ret_why, char *text) {
        *ret_why = text;
        return text ? -EINVAL : -ENOMEM;
}

/* p points behind "${"; the value is appended to b. *ret_next is where parsing continues. */
static int expand_one(char *const *env, const char *p, Buffer *b, const char **ret_next, char **ret_why) {
        const char *end = strchr(p, '}'), *fallback = NULL, *value;
        _cleanup_free_ char *name = NULL;
        size_t n;

        if (!end)
                return why(ret_why, strdup("has a \"${\" without a \"}\""));
        for (n = 0; isalnum((unsigned char) p[n]) || p[n] == '_'; n++)
                ;
        if (n == 0 || isdigit((unsigned char) *p))
                return why(ret_why, strdup("has a \"${\" without the name of a variable after it"));
        if (startswith(p + n, ":-"))
                fallback = p + n + 2;
        else if (p + n != end)
                return why(ret_why, strdup("has a \"${\" that is neither ${NAME} nor ${NAME:-default}"));
        name = strndup(p, n);
        if (!name)
                return -ENOMEM;
        /* A token in here would end up in what `config` shows, or in an agent. */
        if (streq(name, "NORTHFLARE_RUNNER_TOKEN"))
                return why(
                        ret_why,
                        strdup("must not use ${NORTHFLARE_RUNNER_TOKEN}: the runner reads that variable itself"));
        value = strv_env_get(env, name);
        if (fallback && isempty(value))
                (void) buffer_append(b, fallback, (size_t) (end - fallback));
        else if (value)
                (void) buffer_append_str(b, value);
        else
                return why(ret_why, xasprintf("needs the environment variable %s, which is not set", name));
        *ret_next = end + 1;
        return 0;
}

int config_expand(char *const *env, const char *text, char **ret, char **ret_why) {
        _cleanup_buffer_ Buffer b = {};
        int r, changed = 0;

        *ret_why = NULL;
        (void) buffer_append_str(&b, "");
        for (const char *p = text; *p;) {
                if (startswith(p, "$${")) {
                        (void) buffer_append_str(&b, "${");
                        p += 3;
                        changed = 1;
                } else if (startswith(p, "${")) {
                        r = expand_one(env, p + 2, &b, &p, ret_why);
                        if (r < 0)
                                return r;
                        changed = 1;
                } else
                        (void) buffer_append(&b, p++, 1);
        }
        *ret = buffer_steal(&b);
        return *ret ? changed : -ENOMEM;
}
