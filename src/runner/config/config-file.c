/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>

#include "common/buffer.h"
#include "common/ident.h"
#include "runner/config/config-expand.h"
#include "runner/config/config-file.h"
#include "runner/config/config-position.h"

#define CONFIG_DROPINS_MAX 256

/* One file on its way into the loader's values. */
typedef struct ConfigFile {
        ConfigLoader *loader;
        const char *path;
        char *dir; /* relative paths in it are below this */
        ConfigPositions positions;
} ConfigFile;

static void config_file_done(ConfigFile *f) {
        free(f->dir);
        config_positions_done(&f->positions);
}

/* Unlike the files of the store, this one may well be a symbolic link, or a pipe that a shell made. */
static int read_config(const char *path, Buffer *b) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        for (;;) {
                int r = buffer_reserve(b, 4096);
                if (r < 0)
                        return r;
                ssize_t n = read(fd, b->data + b->size, 4096);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                b->size += (size_t) n;
                b->data[b->size] = 0;
                if (n == 0)
                        return 0;
                if (b->size > CONFIG_FILE_MAX)
                        return -E2BIG;
        }
}

/* "file:line", the file alone where the line is not known. */
static char *origin_of(ConfigFile *f, const char *name) {
        unsigned line = config_positions_line(&f->positions, name);

        return line > 0 ? xasprintf("%s:%u", f->path, line) : strdup(f->path);
}

static int fail_at(ConfigFile *f, const char *name, const char *text) {
        _cleanup_free_ char *origin = origin_of(f, name);

        return origin ? config_fail(f->loader, origin, name, "%s", text) : -ENOMEM;
}

/* 1: the string was changed, *ret is the new one; 0: take the old one. */
static int expand_string(ConfigFile *f, const char *name, Json *value, Json **ret) {
        _cleanup_free_ char *text = NULL, *why = NULL;
        const char *s = json_object_get_string(value);
        int r;

        if (strlen(s) != (size_t) json_object_get_string_len(value))
                return fail_at(f, name, "must not contain a NUL character");
        r = config_expand(f->loader->env, s, &text, &why);
        if (r == -EINVAL)
                return fail_at(f, name, why);
        if (r <= 0)
                return r;
        *ret = json_object_new_string(text);
        return *ret ? 1 : -ENOMEM;
}

/* Expands strings, and strings in an array; *ret is a reference of its own. Returns 1 where something was replaced. */
static int expand_value(ConfigFile *f, const char *name, Json *value, Json **ret) {
        _cleanup_json_ Json *list = NULL;
        int r, changed = 0;

        *ret = NULL;
        if (json_object_is_type(value, json_type_string)) {
                r = expand_string(f, name, value, ret);
                if (r == 0)
                        *ret = json_object_get(value);
                return r;
        }
        if (!json_object_is_type(value, json_type_array)) {
                *ret = json_object_get(value);
                return 0;
        }
        list = json_object_new_array();
        for (size_t i = 0; list && i < json_object_array_length(value); i++) {
                Json *item = json_object_array_get_idx(value, i), *copy = NULL;

                r = json_object_is_type(item, json_type_string) ? expand_string(f, name, item, &copy) : 0;
                if (r < 0)
                        return r;
                changed |= r;
                if (r == 0)
                        copy = json_object_get(item);
                if (json_object_array_add(list, copy) < 0) {
                        json_object_put(copy);
                        return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(list);
        return *ret ? changed : -ENOMEM;
}

static int
apply_value(ConfigFile *f, const ConfigPath *path, const char *name, const ConfigKey *key, Json *given) {
        _cleanup_json_ Json *expanded = NULL, *value = NULL;
        _cleanup_free_ char *why = NULL, *origin = NULL;
        int r;

        if (!given)
                return config_reset_value(f->loader, path, key);
        r = expand_value(f, name, given, &expanded);
        if (r < 0)
                return r;
        r = config_key_check(key, expanded, r > 0, f->dir, &value, &why);
        if (r == -EINVAL)
                return fail_at(f, name, why);
        if (r < 0)
                return r;
        origin = origin_of(f, name);
        return origin ? config_set_value(f->loader, path, TAKE_PTR(value), origin) : -ENOMEM;
}

static int fail_unknown(ConfigFile *f, const ConfigPath *path, const char *name) {
        _cleanup_free_ char *similar = config_key_similar(path), *text = NULL;

        if (streq(name, "token") || streq(name, "runnerToken"))
                return fail_at(
                        f,
                        name,
                        "the token must not be set in this file; use the credential runner-token, "
                        "NORTHFLARE_RUNNER_TOKEN or tokenFile");
        if (!similar)
                return fail_at(f, name, "unknown key");
        text = xasprintf("unknown key, did you mean %s?", similar);
        return text ? fail_at(f, name, text) : -ENOMEM;
}

/* Names that the administrator makes up: of an agent, a variable, a label. */
static const char *name_problem(const ConfigPath *path) {
        const char *name = path->part[path->n - 1];

        if (path->n == 2 && streq(path->part[0], "agents") && !ident_is_valid(name))
                return "the name of an agent has letters, digits, '_', '.' and '-', 64 at most";
        if (path->n == 4 &&
            (name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] ||
             !*name || (*name >= '0' && *name <= '9')))
                return "not the name of an environment variable";
        if (path->n == 2 && streq(path->part[0], "labels") && (!*name || strlen(name) > IDENT_MAX))
                return "the name of a label has 1 to 64 bytes";
        return NULL;
}

static int apply_object(ConfigFile *f, ConfigPath *path, Json *object);

static int apply_member(ConfigFile *f, ConfigPath *path, Json *value) {
        _cleanup_free_ char *name = config_path_text(path);
        const ConfigKey *key = config_key_find(path);
        const char *problem;

        if (!name)
                return -ENOMEM;
        if (!key && !config_key_is_group(path))
                return fail_unknown(f, path, name);
        problem = name_problem(path);
        if (problem)
                return fail_at(f, name, problem);
        if (key)
                return apply_value(f, path, name, key, value);
        if (!json_object_is_type(value, json_type_object))
                return fail_at(f, name, "must be an object");
        return apply_object(f, path, value);
}

static int apply_object(ConfigFile *f, ConfigPath *path, Json *object) {
        json_object_object_foreach(object, name, value) {
                assert(path->n < CONFIG_DEPTH_MAX);
                path->part[path->n++] = name;
                int r = apply_member(f, path, value);
                path->n--;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_file(ConfigFile *f, const Buffer *text, Json **ret) {
        _cleanup_free_ char *why = NULL, *origin = NULL;
        int r;

        r = config_positions_scan(text->data, text->size, &f->positions);
        if (r == -EBADMSG) {
                origin = xasprintf("%s:%u", f->path, f->positions.error_line);
                return origin ? config_fail(f->loader, origin, NULL, "%s", f->positions.error) : -ENOMEM;
        }
        if (r < 0)
                return r;
        r = json_parse_from(JSON_OF_ADMINISTRATOR, text->data, text->size, ret, &why);
        if (r == -EBADMSG)
                return config_fail(f->loader, f->path, NULL, "%s", strempty(why));
        if (r >= 0 && !json_object_is_type(*ret, json_type_object))
                return config_fail(f->loader, f->path, NULL, "must be one JSON object");
        return r;
}

static int load_file(ConfigLoader *l, const char *path, bool optional) {
        _cleanup_(config_file_done) ConfigFile f = { .loader = l, .path = path };
        _cleanup_buffer_ Buffer text = {};
        _cleanup_json_ Json *object = NULL;
        ConfigPath at = {};
        int r;

        r = read_config(path, &text);
        if (r == -ENOENT && optional)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return config_fail(
                        l, path, NULL, "%s", r == -E2BIG ? "is larger than 1 MiB" : strerrordesc_np(-r));
        const char *slash = strrchr(path, '/');
        f.dir = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        if (!f.dir)
                return -ENOMEM;
        r = parse_file(&f, &text, &object);
        return r < 0 ? r : apply_object(&f, &at, object);
}

/* ---- drop-ins ---- */

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int list_dropins(ConfigLoader *l, const char *dir, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        size_t n = 0;
        DIR *d = opendir(dir);
        int r = 0;

        if (!d)
                return errno == ENOENT || errno == ENOTDIR ?
                        0 :
                        config_fail(l, dir, NULL, "%s", strerrordesc_np(errno));
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                if (e->d_name[0] == '.' || !endswith(e->d_name, ".json"))
                        continue;
                if (++n > CONFIG_DROPINS_MAX)
                        r = config_fail(l, dir, NULL, "has more than %d files", CONFIG_DROPINS_MAX);
                else
                        r = strv_extend(&names, e->d_name);
        }
        (void) closedir(d);
        if (r < 0)
                return r;
        if (n > 0)
                qsort(names, n, sizeof(*names), compare_names);
        *ret = TAKE_PTR(names);
        return 0;
}

int config_load_files(ConfigLoader *l) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *dir = NULL;
        size_t n = strlen(l->main_file);
        int r;

        r = load_file(l, l->main_file, !l->options->config_file);
        if (r < 0)
                return r;
        /* runner.json has its drop-ins in runner.d beside it. */
        dir = xasprintf(
                "%.*s.d", (int) (endswith(l->main_file, ".json") ? n - strlen(".json") : n), l->main_file);
        if (!dir)
                return -ENOMEM;
        r = list_dropins(l, dir, &names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = xasprintf("%s/%s", dir, *name);

                r = path ? load_file(l, path, false) : -ENOMEM;
                if (r < 0)
                        break;
        }
        return r;
}
