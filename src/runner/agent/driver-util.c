/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "runner/agent/driver-internal.h"

#define NOTICE_QUOTE_MAX 200
#define OVERSIZE_HEAD_BYTES ((size_t) 4096)
/* Types and ids of requests are far shorter. */
#define HEAD_STRING_MAX 256

int refuse(char **ret_error, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(ret_error, format, ap);
        va_end(ap);
        if (r < 0) {
                *ret_error = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

/* ---- events ---- */

void feed_done(DriverFeed *f) {
        buffer_clear(f->scratch, FEED_SCRATCH_KEPT);
}

void feed_open(DriverFeed *f, const char *method) {
        if (f->sink->open)
                f->b = f->sink->open(f->sink->userdata, method);
        else {
                f->b = f->scratch;
                buffer_clear(f->b, FEED_SCRATCH_KEPT);
        }
        f->begin = f->b->size;
}

void feed_begin(DriverFeed *f, const char *type) {
        feed_open(f, "message.agent");
        (void) buffer_append_str(f->b, "\"event\":{\"type\":\"");
        (void) buffer_append_str(f->b, type);
        (void) buffer_append(f->b, "\"", 1);
}

static void name_member(Buffer *b, const char *name) {
        (void) buffer_append(b, ",\"", 2);
        (void) buffer_append_str(b, name);
        (void) buffer_append(b, "\":", 2);
}

void feed_json(DriverFeed *f, const char *name, Slice value) {
        if (value.size == 0 || !feed_wants_events(f))
                return;
        name_member(f->b, name);
        (void) buffer_append(f->b, value.data, value.size);
}

void feed_text(DriverFeed *f, const char *name, const char *text, size_t size) {
        if (!feed_wants_events(f))
                return;
        name_member(f->b, name);
        (void) buffer_append_json(f->b, text, size);
}

int feed_end(DriverFeed *f) {
        int r;

        f->n++;
        if (!f->sink->event)
                return 0;
        r = buffer_append(f->b, "}", 1);
        if (r < 0)
                return r;
        return f->sink->event(
                        f->sink->userdata, "message.agent", f->b->data + f->begin, f->b->size - f->begin);
}

int feed_notice_line(DriverFeed *f, const char *what, const char *line, size_t size) {
        size_t quoted = MIN(size, (size_t) NOTICE_QUOTE_MAX);
        _cleanup_buffer_ Buffer text = {};

        /* Not in the middle of a character. */
        for (unsigned i = 0; i < 3 && quoted < size && ((unsigned char) line[quoted] & 0xc0) == 0x80; i++)
                quoted--;
        (void) buffer_printf(&text, "%s (%zu bytes): ", what, size);
        (void) buffer_append(&text, line, quoted);
        if (quoted < size)
                (void) buffer_append_str(&text, "…");
        if (text.failed)
                return -ENOMEM;
        feed_begin(f, "notice");
        feed_text(f, "text", text.data, text.size);
        return feed_end(f);
}

int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied) {
        size_t n = MIN(line.size, OVERSIZE_HEAD_BYTES);

        feed_begin(f, "oversize");
        feed_json(f, "lineType", slice_head_string(line, "type"));
        (void) buffer_printf(f->b, ",\"size\":%" PRIu64, size);
        feed_text(f, "head", line.data, n);
        if (denied)
                feed_json(f, "denied", (Slice){ "true", 4 });
        return feed_end(f);
}

Slice slice_head_string(Slice head, const char *name) {
        Slice v;

        return json_scan_head_member(head, name, &v) && json_scan_type(v) == SCAN_STRING &&
                                        v.size <= HEAD_STRING_MAX && json_scan_valid(v.data, v.size) ?
                        v :
                        (Slice){};
}

/* ---- doubles ---- */

static bool value_is_ambiguous(Slice value, const LineShapeMember *m) {
        Slice name, v;
        size_t iter = 0;

        if (!m->each)
                return line_is_ambiguous(value, m->shape);
        while (json_scan_type(value) == SCAN_ARRAY ? json_scan_element(value, &iter, &v) :
                                                     json_scan_next_member(value, &iter, &name, &v))
                if (line_is_ambiguous(v, m->shape))
                        return true;
        return false;
}

bool line_is_ambiguous(Slice line, const LineShape *shape) {
        Slice v;

        if (json_scan_type(line) != SCAN_OBJECT)
                return false;
        if (json_scan_is_ambiguous(line, shape->names))
                return true;
        for (const LineShapeMember *m = shape->members; m && m->name; m++)
                if (json_scan_member(line, m->name, &v) && value_is_ambiguous(v, m))
                        return true;
        return false;
}

int feed_ambiguous(DriverFeed *f, const char *line, size_t size) {
        return feed_notice_line(f, "the agent wrote a line in which a member stands twice", line, size);
}

Slice slice_member(Slice o, const char *name, ScanType type) {
        Slice v;

        return json_scan_member(o, name, &v) && json_scan_type(v) == type ? v : (Slice){};
}

/* ---- plans ---- */

static bool is_program(const char *path) {
        struct stat st;

        return stat(path, &st) >= 0 && S_ISREG(st.st_mode) && access(path, X_OK) >= 0;
}

int plan_executable(
                Json *agent_config,
                const char *const *paths,
                const char *advice,
                char **ret_path,
                char **ret_error) {
        const char *configured = json_get_string(agent_config, "executable");
        const char *found = NULL;

        if (configured) {
                if (configured[0] != '/' || !is_program(configured)) {
                        *ret_error = xasprintf(
                                        "the configured executable %.*s is no program that can be run; %s",
                                        utf8_cut(configured, 200),
                                        configured,
                                        advice);
                        return -ENOENT;
                }
                found = configured;
        }
        for (; !found && *paths; paths++)
                if (is_program(*paths))
                        found = *paths;
        if (!found) {
                *ret_error = strdup(advice);
                return -ENOENT;
        }
        if (ret_path) {
                *ret_path = strdup(found);
                if (!*ret_path)
                        return -ENOMEM;
        }
        return 0;
}

static bool env_name_is_valid(const char *name) {
        if (!*name || (*name >= '0' && *name <= '9'))
                return false;
        for (; *name; name++)
                if (!(*name == '_' || (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z') ||
                      (*name >= 'a' && *name <= 'z')))
                        return false;
        return true;
}

static int set_env(char ***env, const char *name, const char *value) {
        char *entry = xasprintf("%s=%s", name, value);
        size_t n = strlen(name);

        if (!entry)
                return -ENOMEM;
        for (char **e = *env; e && *e; e++)
                if (strncmp(*e, entry, n + 1) == 0) {
                        free(*e);
                        *e = entry;
                        return 0;
                }
        return strv_consume(env, entry);
}

static int add_env(char ***env, Json *o, const char *where, char **ret_error) {
        int r;

        if (!o)
                return 0;
        if (!json_object_is_type(o, json_type_object))
                return refuse(ret_error, "%s is not an object", where);
        json_object_object_foreach(o, name, value) {
                const char *text = json_get_string(o, name);

                if (!env_name_is_valid(name))
                        return refuse(ret_error,
                                      "%s has an invalid name: %.*s",
                                      where,
                                      utf8_cut(name, 64),
                                      name);
                if (!value)
                        continue;
                if (!text)
                        return refuse(ret_error, "%s.%s is no string", where, name);
                r = set_env(env, name, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

int plan_env(Json *spec,
             Json *agent_config,
             const char *const *defaults,
             char ***ret_env,
             char **ret_error) {
        _cleanup_strv_free_ char **env = new0(char *, 1);
        int r;

        if (!env)
                return -ENOMEM;
        for (; defaults && *defaults; defaults++) {
                r = strv_extend(&env, *defaults);
                if (r < 0)
                        return r;
        }
        r = add_env(&env, json_get(agent_config, "env"), "the agent's configured env", ret_error);
        if (r < 0)
                return r;
        r = add_env(&env, json_get(spec, "env"), "env", ret_error);
        if (r < 0)
                return r;
        *ret_env = TAKE_PTR(env);
        return 0;
}

int plan_string(Json *o, const char *name, size_t max, const char **ret, char **ret_error) {
        Json *v = json_get(o, name);
        const char *s;

        if (!v)
                return 0;
        s = json_get_string(o, name);
        if (!s)
                return refuse(ret_error, "%s is no string", name);
        if (strlen(s) > max)
                return refuse(ret_error, "%s is longer than %zu bytes", name, max);
        for (const char *p = s; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return refuse(ret_error, "%s has a control character", name);
        *ret = s;
        return 1;
}
