/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "fuzz.h"
#include "runner/config/config-expand.h"
#include "runner/config/config-file.h"
#include "runner/config/config-load.h"
#include "runner/config/config-position.h"

/* A runner.json, with ${} in it. What is refused is refused in one sentence that names the file; what is taken, written
 * down as a file of its own, is taken again and means the same. The scanner of positions and the parser agree on what
 * JSON is, and every line exists. */

#define TOKEN "NORTHFLARE_RUNNER_TOKEN="
#define SECRET "9d1c8f0e55aa47e1b0c63f72"

static char *const environment[] = {
        (char *) "A=a",
        (char *) "N=60",
        (char *) "EMPTY=",
        (char *) "HOME=/home/somebody",
        (char *) "BYTES=4G",
        (char *) TOKEN SECRET,
        (char *) "BRACES=${A}$${",
        NULL,
};

/* All bytes at once: a fuzzer learns the words that strstr() looks for, and puts them together from pieces. */
static bool has_secret(const char *data, size_t size) {
        for (size_t i = 0; i + strlen(SECRET) <= size; i++) {
                int differ = 0;

                for (size_t k = 0; k < strlen(SECRET); k++)
                        differ |= data[i + k] ^ SECRET[k];
                if (differ == 0)
                        return true;
        }
        return false;
}

/* Which folder relative paths are below is the same for every file here. */
static int load(ConfigLoader *l, const char *text, size_t size) {
        _cleanup_close_ int fd = fuzz_memory(text, size);
        static char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        const RunnerOptions options = { .config_file = path, .user = true };
        int r = config_loader_run(l, &options, environment);
        l->options = NULL;
        CHECK(r >= 0 || r == -EINVAL);
        if (r < 0) {
                CHECK(!isempty(l->error));
                CHECK(!has_secret(l->error, strlen(l->error)));
        }
        return r;
}

/* The same with each literal "${" written "$${". Names are not expanded. */
static Json *escaped(Json *v) {
        Json *copy = NULL;

        if (json_object_is_type(v, json_type_object)) {
                copy = json_object_new_object();
                json_object_object_foreach(v, name, member)
                        CHECK(json_object_object_add(copy, name, escaped(member)) >= 0);
        } else if (json_object_is_type(v, json_type_array)) {
                copy = json_object_new_array();
                for (size_t i = 0; i < json_object_array_length(v); i++)
                        CHECK(json_object_array_add(copy, escaped(json_object_array_get_idx(v, i))) >= 0);
        } else if (json_object_is_type(v, json_type_string)) {
                _cleanup_buffer_ Buffer b = {};

                for (const char *p = json_object_get_string(v); *p; p++)
                        (void) buffer_append_str(&b, p[0] == '$' && p[1] == '{' ? "$$" : (char[]){ *p, 0 });
                copy = json_object_new_string(strempty(b.data));
        } else
                copy = json_object_get(v);
        return copy;
}

static void check_round_trip(ConfigLoader *l) {
        _cleanup_(config_loader_done) ConfigLoader again = {};
        _cleanup_json_ Json *literal = escaped(l->values);
        const char *text = json_text(literal);

        CHECK(!has_secret(text, strlen(text)));
        check_json(text, strlen(text));
        if (strlen(text) > CONFIG_FILE_MAX)
                return;
        CHECK(load(&again, text, strlen(text)) >= 0);
        CHECK(json_object_equal(l->values, again.values));
}

static void check_positions(const char *text, size_t size) {
        unsigned lines = 1;
        ConfigPositions p;

        for (size_t i = 0; i < size; i++)
                lines += text[i] == '\n';
        int r = config_positions_scan(text, size, &p);
        CHECK(r == 0 || r == -EBADMSG);
        if (r < 0)
                CHECK(!isempty(p.error) && p.error_line >= 1 && p.error_line <= lines);
        for (size_t i = 0; i < p.n; i++)
                CHECK(config_positions_line(&p, p.items[i].path) >= 1 && p.items[i].line <= lines);
        if (r == 0) {
                _cleanup_json_ Json *o = NULL;
                CHECK(json_parse(text, size, &o, NULL) >= 0);
        }
        config_positions_done(&p);
}

/* With another token the same comes out: it can be put together from pieces of the text, so that finding it there says
 * nothing. */
static void check_expand(const char *text) {
        _cleanup_free_ char *out = NULL, *why = NULL, *other_out = NULL, *other_why = NULL;
        char *other[ELEMENTSOF(environment)];
        int r = config_expand(environment, text, &out, &why);

        CHECK(r == 0 || r == 1 || r == -EINVAL);
        CHECK((r == -EINVAL) == !!why && (r >= 0) == !!out);
        CHECK(r != 0 || streq(out, text));
        CHECK(strstr(text, "${") || r == 0);
        for (size_t i = 0; i < ELEMENTSOF(environment); i++)
                other[i] = environment[i] && startswith(environment[i], TOKEN) ? (char *) TOKEN "another" :
                                                                                 environment[i];
        CHECK(config_expand(other, text, &other_out, &other_why) == r);
        CHECK(streq_ptr(out, other_out) && streq_ptr(why, other_why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_loader_done) ConfigLoader l = {};
        _cleanup_free_ char *text = strndup((const char *) data, size);

        if (!text || has_secret((const char *) data, size))
                return 0;
        check_expand(text);
        check_positions((const char *) data, size);
        if (load(&l, (const char *) data, size) >= 0)
                check_round_trip(&l);
        return 0;
}
