/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/rpc-error.h"
#include "runner/config/config-dump.h"
#include "runner/config/config-keys.h"
#include "runner/config/options.h"

/* For check-docs.py: what the runner's command line, configuration and errors really are, as one JSON object. */

static const char *const types[] = {
        [CONFIG_STRING] = "string",
        [CONFIG_IDENT] = "word",
        [CONFIG_PATH] = "path",
        [CONFIG_URL] = "address",
        [CONFIG_URL_PATH] = "url path",
        [CONFIG_ENUM] = "word",
        [CONFIG_UINT] = "number",
        [CONFIG_BYTES] = "size",
        [CONFIG_BOOL] = "truth value",
        [CONFIG_IDENT_LIST] = "list of words",
        [CONFIG_ENV_LIST] = "list of names",
        [CONFIG_REPOSITORY_LIST] = "list of repositories",
};

static void print_keys(void) {
        (void) printf("{\"keys\":[");
        for (size_t i = 0; i < config_n_keys; i++) {
                const ConfigKey *k = &config_keys[i];

                (void) printf(
                        "%s{\"name\":\"%s\",\"type\":\"%s\",\"default\":%s",
                        i > 0 ? "," : "",
                        k->name,
                        types[k->type],
                        k->fallback ? k->fallback : "null");
                if (k->env)
                        (void) printf(",\"env\":\"%s\"", k->env);
                (void) printf(",\"live\":%s", k->live ? "true" : "false");
                if (k->option)
                        (void) printf(",\"option\":\"%s\"", k->option);
                (void) printf("}");
        }
        (void) printf("],\"options\":[");
        for (const struct option *o = options_long; o->name; o++)
                (void) printf(
                        "%s{\"name\":\"%s\",\"argument\":%s,\"short\":\"%c\"}",
                        o == options_long ? "" : ",",
                        o->name,
                        o->has_arg == required_argument ? "true" : "false",
                        o->val < 0x80 ? (char) o->val : ' ');
        (void) printf("],\"errors\":[");
        for (size_t i = 0; i < error_codes_n; i++)
                (void) printf(
                        "%s{\"code\":%d,\"bus\":\"%s\"}",
                        i > 0 ? "," : "",
                        error_codes[i].code,
                        strempty(error_codes[i].bus_error));
        (void) printf("]}\n");
}

int main(int argc, char *argv[]) {
        RunnerOptions options = { .command = COMMAND_CONFIG, .user = true };
        char *text = NULL, *error = NULL, *env[] = { (char *) "HOME=/nonexistent", NULL };
        int code = 0, r;

        if (argc == 2 && streq(argv[1], "help")) {
                options_help();
                return 0;
        }
        if (argc == 2 && streq(argv[1], "interface")) {
                print_keys();
                return 0;
        }
        if (argc != 3 || !streq(argv[1], "config"))
                return 2;
        options.config_file = argv[2];
        r = config_dump(&options, env, true, &text, &code, &error);
        if (r < 0)
                (void) fprintf(stderr, "%s\n", strempty(error));
        else
                (void) fputs(text, stdout);
        free(text);
        free(error);
        return code;
}
