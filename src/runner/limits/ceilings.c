/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/fileio.h"
#include "runner/limits/ceilings.h"

#define FILE_MAX (64 * 1024)

int ceilings_load(bool user_mode, Ceilings *ret, char **ret_error) {
        _cleanup_free_ char *path = user_mode ?
                xdg_path("XDG_CONFIG_HOME", ".config", "northflare/launcher.json") :
                strdup(NF_SYSCONFDIR "/launcher.json");
        _cleanup_free_ char *text = NULL, *error = NULL;
        _cleanup_json_ Json *o = NULL;
        size_t size;
        int r;

        *ret = (Ceilings){};
        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, FILE_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = json_parse_from(JSON_OF_ADMINISTRATOR, text, size, &o, &error);
        if (r >= 0)
                r = limits_parse(json_get(o, "ceilings"), NULL, &ret->limits, &error);
        if (r < 0)
                *ret_error = xasprintf("%s: %s", path, error ? error : strerror(-r));
        return r;
}

const char *ceilings_exceeded(const Ceilings *c, const Limits *limits, uint64_t *ret_ceiling) {
        for (size_t i = 0; i < limits->n; i++)
                for (size_t k = 0; k < c->limits.n; k++)
                        if (streq(limits->list[i].name, c->limits.list[k].name) &&
                            limits->list[i].value > c->limits.list[k].value) {
                                *ret_ceiling = c->limits.list[k].value;
                                return limits->list[i].name;
                        }
        return NULL;
}
