/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

/* Calls Start of the launcher with whatever the command line says, right or wrong, as whoever runs it:
 *
 *     nf-start-client [OPTION…] KIND ID RUN WORKSPACE [ARGUMENT…]
 *
 * Prints "UNIT INVOCATION", or "ERROR-NAME: text" and exits 1. With --verb=SetLimits it calls that, for
 * the unit that is its argument. */

#define LIST_MAX 300

static const char *env[LIST_MAX], *limits[LIST_MAX];
static int extra[LIST_MAX];
static int n_env, n_limits, n_extra;

static int check(int r, const char *what) {
        if (r >= 0)
                return r;
        (void) fprintf(stderr, "%s: %s\n", what, strerror(-r));
        exit(3);
}

static int open_memory(const char *text) {
        int fd = memfd_create("private", MFD_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text)) {
                perror("memfd");
                exit(3);
        }
        return fd;
}

static int open_or_die(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC);

        if (fd < 0) {
                perror(path);
                exit(3);
        }
        return fd;
}

static void append_pairs(sd_bus_message *m) {
        check(sd_bus_message_open_container(m, 'a', "{ss}"), "env");
        for (int i = 0; i < n_env; i++) {
                char *name = strdup(env[i]), *value = strchr(name, '=');
                if (value)
                        *value++ = 0;
                check(sd_bus_message_append(m, "{ss}", name, value ? value : ""), "env");
                free(name);
        }
        check(sd_bus_message_close_container(m), "env");
}

static void append_limits(sd_bus_message *m) {
        check(sd_bus_message_open_container(m, 'a', "{st}"), "limits");
        for (int i = 0; i < n_limits; i++) {
                char *name = strdup(limits[i]), *value = strchr(name, '=');
                if (value)
                        *value++ = 0;
                check(sd_bus_message_append(m, "{st}", name, value ? strtoull(value, NULL, 10) : 0),
                      "limits");
                free(name);
        }
        check(sd_bus_message_close_container(m), "limits");
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "dir", required_argument, NULL, 'd' },
                { "env", required_argument, NULL, 'e' },
                { "limit", required_argument, NULL, 'l' },
                { "cwd", required_argument, NULL, 'c' },
                { "file", required_argument, NULL, 'f' },
                { "private", required_argument, NULL, 'p' },
                { "user", no_argument, NULL, 'u' },
                { "verb", required_argument, NULL, 'v' },
                {},
        };
        sd_bus_message *m, *reply;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *cwd = "", *unit, *verb = NULL;
        int dirfd = -1, c, r, user = 0;
        const void *id;
        size_t size;
        sd_bus *bus;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (c) {
                case 'd':
                        dirfd = open_or_die(optarg, O_RDONLY);
                        break;
                case 'e':
                        env[n_env++] = optarg;
                        break;
                case 'l':
                        limits[n_limits++] = optarg;
                        break;
                case 'c':
                        cwd = optarg;
                        break;
                case 'f':
                        extra[n_extra++] = open_or_die(optarg, O_RDONLY | O_NONBLOCK);
                        break;
                case 'p':
                        extra[n_extra++] = open_memory(optarg);
                        break;
                case 'u':
                        user = 1;
                        break;
                case 'v':
                        verb = optarg;
                        break;
                default:
                        return 3;
                }
        check(user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus), "bus");
        check(sd_bus_message_new_method_call(
                      bus,
                      &m,
                      "org.northflare.Launcher1",
                      "/org/northflare/Launcher1",
                      "org.northflare.Launcher1",
                      verb ? verb : "Start"),
              "message");
        if (verb) {
                /* SetLimits UNIT */
                check(sd_bus_message_append(m, "s", argv[optind]), "unit");
                append_limits(m);
        } else {
                if (argc - optind < 4 || dirfd < 0) {
                        (void) fprintf(stderr, "nf-start-client: wrong usage\n");
                        return 3;
                }
                check(sd_bus_message_append(
                              m,
                              "ssus",
                              argv[optind],
                              argv[optind + 1],
                              (uint32_t) strtoul(argv[optind + 2], NULL, 10),
                              argv[optind + 3]),
                      "arguments");
                check(sd_bus_message_append_strv(m, argv + optind + 4), "argv");
                append_pairs(m);
                check(sd_bus_message_append(m, "s", cwd), "cwd");
                append_limits(m);
                check(sd_bus_message_append(m, "h", dirfd), "dirfd");
                check(sd_bus_message_open_container(m, 'a', "h"), "extra");
                for (int i = 0; i < n_extra; i++)
                        check(sd_bus_message_append(m, "h", extra[i]), "extra");
                check(sd_bus_message_close_container(m), "extra");
        }
        r = sd_bus_call(bus, m, 60 * UINT64_C(1000000), &error, &reply);
        if (r < 0) {
                (void) printf(
                        "%s: %s\n",
                        error.name ? error.name : strerror(-r),
                        error.message ? error.message : "");
                return 1;
        }
        if (verb)
                return 0;
        check(sd_bus_message_read(reply, "s", &unit), "reply");
        check(sd_bus_message_read_array(reply, 'y', &id, &size), "reply");
        (void) printf("%s ", unit);
        for (size_t i = 0; i < size; i++)
                (void) printf("%02x", ((const unsigned char *) id)[i]);
        (void) puts("");
        return 0;
}
