/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <grp.h>
#include <inttypes.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

#include "common/fileio.h"
#include "common/log.h"
#include "orchestrator/http/admin-api.h"
#include "orchestrator/http/runner-api.h"
#include "orchestrator/hub/upkeep.h"
#include "orchestrator/serve.h"

#define BACKLOG 128
#define DEAD_AFTER_SEC 300
#define KEEP_DAYS 30
#define BODY_MAX_MIB 1024
/* What is larger has pages of its own, which go back when it is freed: bodies, answers and buffers of connections. In the heap
 * they would leave holes that are kept, beside which the next ones come, and by itself the allocator raises the threshold to
 * the largest body that it has seen. */
#define HEAP_BLOCK_MAX (32 * 1024)
#define FILES_WANTED ((rlim_t) 2 * HTTP_CONNECTIONS_MAX + 64)

typedef struct Server {
        int runners_fd, admin_fd;
        char *unlink_path;
        sd_event *event;
        Database *db;
        Hub *hub;
        Upkeep *upkeep;
        AdminApi admin;
        HttpServer *runners_http, *admin_http;
} Server;

/* What speaks to the hub goes before it. */
static void server_done(Server *s) {
        http_server_free(s->runners_http);
        http_server_free(s->admin_http);
        upkeep_free(s->upkeep);
        hub_free(s->hub);
        database_close(s->db);
        sd_event_unref(s->event);
        safe_close(s->runners_fd);
        safe_close(s->admin_fd);
        if (s->unlink_path)
                (void) unlink(s->unlink_path);
        free(s->unlink_path);
}

/* ---- sockets ---- */

static int take_activated(Server *s) {
        _cleanup_strv_free_ char **names = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        if (n < 0)
                return log_error_errno(n, "Failed to receive the sockets from systemd: %m");
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                int *where = streq(names[i], "runners") ? &s->runners_fd :
                        streq(names[i], "admin")        ? &s->admin_fd :
                                                          NULL;

                if (where && *where < 0 && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
                        *where = fd;
                else {
                        log_warning("Received an unexpected socket named %s, closing it.", names[i]);
                        safe_close(fd);
                }
        }
        return n;
}

typedef union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
} Address;

/* "127.0.0.1:8420" or "[::1]:8420". There is no TLS here: what is not loopback is refused. */
static int parse_listen(const char *text, Address *ret, socklen_t *ret_size) {
        const char *colon = strrchr(text, ':');
        char host[64];
        uint64_t port;

        if (!colon || (size_t) (colon - text) >= sizeof(host) || safe_atou64(colon + 1, &port) < 0 ||
            port > 65535)
                return -EINVAL;
        (void) snprintf(host, sizeof(host), "%.*s", (int) (colon - text), text);
        *ret = (Address){};
        if (host[0] == '[' && host[strlen(host) - 1] == ']') {
                host[strlen(host) - 1] = 0;
                ret->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                                 .sin6_port = htons((uint16_t) port) };
                *ret_size = sizeof(ret->v6);
                return inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1 &&
                                IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr) ?
                        0 :
                        -EINVAL;
        }
        ret->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        *ret_size = sizeof(ret->v4);
        return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 &&
                        (ntohl(ret->v4.sin_addr.s_addr) >> 24) == 127 ?
                0 :
                -EINVAL;
}

static int open_runners(Server *s, const char *listen_on) {
        _cleanup_close_ int fd = -EBADF;
        socklen_t size = 0;
        Address a;
        int on = 1;

        if (parse_listen(listen_on, &a, &size) < 0)
                return log_error_errno(
                        EINVAL, "--listen: not a loopback address with a port: %s", listen_on);
        fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, &a.any, size) < 0 || listen(fd, BACKLOG) < 0)
                return log_error_errno(errno, "Failed to listen on %s: %m", listen_on);
        if (getsockname(fd, &a.any, &size) < 0)
                return log_error_errno(errno, "Failed to query the address of the socket: %m");
        uint16_t port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
        (void) printf(
                "runners http://%.*s:%u\n", (int) (strrchr(listen_on, ':') - listen_on), listen_on, port);
        s->runners_fd = TAKE_FD(fd);
        return 0;
}

/* A socket file that no process listens on any more is removed; one that answers is left. */
static int clear_stale(const struct sockaddr_un *a) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st;

        if (lstat(a->sun_path, &st) < 0)
                return 0;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) a, sizeof(*a)) >= 0 || errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(a->sun_path) < 0 ? -errno : 0;
}

static int open_admin(Server *s, const char *path) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *copy = strdup(path), *dir = strdup(path);
        char *slash = dir ? strrchr(dir, '/') : NULL;
        int r;

        if (!copy || !dir)
                return log_oom();
        if (strlen(path) >= sizeof(a.sun_path))
                return log_error_errno(ENAMETOOLONG, "Failed to listen on %s: %m", path);
        memcpy(a.sun_path, path, strlen(path) + 1);
        if (slash && slash != dir) {
                *slash = 0;
                r = mkdir_parents(dir, 0755);
                if (r < 0)
                        return log_error_errno(r, "Failed to create the directory %s: %m", dir);
        }
        r = clear_stale(&a);
        if (r < 0)
                return log_error_errno(r, "Failed to listen on %s: %m", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        mode_t mask = umask(0117);
        r = fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0 ? -errno :
                                                                                                   0;
        (void) umask(mask);
        if (r < 0)
                return log_error_errno(r, "Failed to listen on %s: %m", path);
        s->unlink_path = TAKE_PTR(copy);
        if (s->admin.group != (gid_t) -1 && chown(path, (uid_t) -1, s->admin.group) < 0)
                log_debug_errno(
                        errno, "Failed to give the administration socket to the group %s: %m", ADMIN_GROUP);
        (void) printf("admin %s\n", path);
        s->admin_fd = TAKE_FD(fd);
        return 0;
}

static int open_sockets(Server *s, const Options *o) {
        _cleanup_free_ char *memory = NULL;
        const char *run = getenv("XDG_RUNTIME_DIR"), *path = o->admin_socket;
        int r;

        r = take_activated(s);
        if (r < 0)
                return r;
        if (r > 0 && !o->listen && !o->admin_socket) {
                if (s->runners_fd >= 0 && s->admin_fd >= 0)
                        return 0;
                return log_error_errno(
                        ENOTSOCK,
                        "Both sockets \"runners\" and \"admin\" are needed: start %s.",
                        "northflare-orchestrator.socket and northflare-orchestrator-admin.socket");
        }
        if (!path) {
                memory = xasprintf(
                        "%s/northflare-orchestrator/admin.socket",
                        geteuid() != 0 && !isempty(run) ? run : "/run");
                if (!memory)
                        return log_oom();
                path = memory;
        }
        r = open_runners(s, o->listen ? o->listen : "127.0.0.1:8420");
        if (r < 0)
                return r;
        r = open_admin(s, path);
        if (r >= 0)
                (void) fflush(stdout);
        return r;
}

/* ---- the rest ---- */

static char *data_dir(const Options *o) {
        const char *e = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

        if (o->data_dir)
                return strdup(o->data_dir);
        if (!isempty(e))
                return strndup(e, strcspn(e, ":"));
        if (geteuid() == 0)
                return strdup(NF_STATEDIR "-orchestrator");
        if (!isempty(state))
                return xasprintf("%s/northflare-orchestrator", state);
        return isempty(home) ? NULL : xasprintf("%s/.local/state/northflare-orchestrator", home);
}

static void raise_files(void) {
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_WANTED)
                return;
        l.rlim_cur = MIN(FILES_WANTED, l.rlim_max);
        (void) setrlimit(RLIMIT_NOFILE, &l);
}

static int setup_event(Server *s) {
        int r;

        r = sd_event_default(&s->event);
        if (r < 0)
                return log_error_errno(r, "Failed to create the event loop: %m");
        r = sd_event_set_signal_exit(s->event, true);
        if (r < 0)
                return log_error_errno(r, "Failed to set up signal handling: %m");
        r = sd_event_set_watchdog(s->event, true);
        if (r < 0)
                log_warning_errno(r, "Failed to set up the watchdog, ignoring: %m");
        return 0;
}

static size_t max_body_of(const Options *o) {
        return o->max_body_mib > 0 ? (size_t) o->max_body_mib * 1024 * 1024 : RUNNER_BODY_MAX_DEFAULT;
}

static int setup_hub(Server *s, const Options *o) {
        _cleanup_free_ char *dir = data_dir(o), *error = NULL;
        HubConfig config = {
                .dead_after_usec = (o->dead_after_sec > 0 ? o->dead_after_sec : DEAD_AFTER_SEC) *
                        USEC_PER_SEC,
                .keep_usec = (o->keep_days > 0 ? o->keep_days : KEEP_DAYS) * 24 * 3600 * USEC_PER_SEC,
                .heartbeat_msec = o->heartbeat_sec * 1000,
                .max_body_bytes = max_body_of(o),
        };
        int r;

        if (!dir)
                return log_error_errno(ENOENT, "No directory for the state is known: use --data-dir.");
        r = database_open(dir, &s->db, &error);
        if (r < 0)
                return log_error_errno(r, "%s.", error ? error : "Out of memory");
        r = hub_new(s->db, &config, &s->hub);
        if (r >= 0)
                r = upkeep_new(s->event, s->hub, &s->upkeep);
        return r < 0 ? log_error_errno(r, "Failed to read the state in %s: %m", dir) : 0;
}

static int setup_http(Server *s, const Options *o) {
        int r;

        s->admin.event = s->event;
        s->admin.hub = s->hub;
        r = http_server_new(
                s->event, TAKE_FD(s->runners_fd), max_body_of(o), &runner_api_ops, s->hub, &s->runners_http);
        if (r >= 0)
                r = http_server_new(
                        s->event,
                        TAKE_FD(s->admin_fd),
                        ADMIN_BODY_MAX,
                        &admin_api_ops,
                        &s->admin,
                        &s->admin_http);
        return r < 0 ? log_error_errno(r, "Failed to start the HTTP server: %m") : 0;
}

static int check_options(const Options *o) {
        if (o->max_body_mib > BODY_MAX_MIB || o->dead_after_sec > 365 * 24 * 3600 || o->keep_days > 36500 ||
            o->heartbeat_sec > 24 * 3600) {
                log_error("A number on the command line is too large.");
                return EXIT_USAGE;
        }
        if (o->log_level) {
                int level = log_level_from_string(o->log_level);

                if (level < 0) {
                        log_error("--log-level: unknown level %s.", o->log_level);
                        return EXIT_USAGE;
                }
                log_set_max_level(level);
        }
        return 0;
}

int verb_serve(const Options *o, char *const *args) {
        _cleanup_(server_done)
                Server s = { .runners_fd = -EBADF, .admin_fd = -EBADF, .admin.group = (gid_t) -1 };
        const struct group *group;
        int r;

        log_open("northflare-orchestrator", LOG_TARGET_AUTO);
        r = check_options(o);
        if (r != 0)
                return r;
        (void) signal(SIGPIPE, SIG_IGN);
        raise_files();
        (void) mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
        group = getgrnam(ADMIN_GROUP);
        if (group)
                s.admin.group = group->gr_gid;
        if (setup_event(&s) < 0 || setup_hub(&s, o) < 0 || open_sockets(&s, o) < 0 || setup_http(&s, o) < 0)
                return EXIT_FAILURE;
        (void) sd_notify(false, "READY=1\nSTATUS=Serving runners and administration.");
        log_info("Northflare orchestrator %s is ready.", PROJECT_VERSION);
        r = sd_event_loop(s.event);
        (void) sd_notify(false, "STOPPING=1");
        if (r < 0)
                log_error_errno(r, "Failed to run the event loop: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
