/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "git/output.h"
#include "git/request.h"

#define REQUEST_MAX (64 * 1024)

void request_done(Request *r) {
        giturl_done(&r->parsed);
        json_putp(&r->json);
        *r = (Request){};
}

static int read_line(int fd, Buffer *b) {
        for (;;) {
                char chunk[4096];
                ssize_t n = read(fd, chunk, sizeof(chunk));

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return output_fail("request", "failed to read the request: %s", strerror(errno));
                }
                if (buffer_append(b, chunk, (size_t) n) < 0 || b->size > REQUEST_MAX)
                        return output_fail("request", "the request is too long");
                if (n == 0 || memchr(chunk, '\n', (size_t) n))
                        return 0;
        }
}

/* A bound that is not there is the default one. */
static int read_bounds(Request *q) {
        for (GitBoundId i = 0; i < _GIT_BOUND_MAX; i++) {
                const char *name = git_bound_infos[i].name;

                q->bounds[i] = git_bound_infos[i].fallback;
                if (json_get_u64(q->json, name, &q->bounds[i]) < 0 || q->bounds[i] == 0)
                        return output_fail("request", "%s is not a positive number", name);
        }
        return 0;
}

static bool is_bound(const char *name) {
        for (GitBoundId i = 0; i < _GIT_BOUND_MAX; i++)
                if (streq(name, git_bound_infos[i].name))
                        return true;
        return false;
}

static int check_members(Json *json) {
        static const char *const known[] = {
                "verb",           "url",      "branch",     "baseBranch",
                "commit",         "cache",    "directory",  "caFile",
                "knownHostsFile", "username", "credential", "allowLoopback",
                "force",          "key",      NULL,
        };

        json_object_object_foreach(json, name, value) {
                if (is_bound(name))
                        continue;
                if (!strv_contains((char *const *) known, name))
                        return output_fail("request", "the request has an unknown member");
                if (!value)
                        continue;
                if (json_object_get_type(value) !=
                    (streq(name, "allowLoopback") || streq(name, "force") ? json_type_boolean :
                                                                            json_type_string))
                        return output_fail("request", "%s has the wrong type", name);
                if (json_object_is_type(value, json_type_string) && isempty(json_get_string(json, name)))
                        return output_fail("request", "%s is empty or holds a NUL byte", name);
        }
        return 0;
}

static bool path_is_safe(const char *path) {
        return path[0] == '/' && strlen(path) < 4000 && !strchr(path, '\n') && !strstr(path, "/../") &&
                !endswith(path, "/..");
}

static int check_values(Request *q) {
        _cleanup_free_ char *error = NULL;

        if (q->branch && !gitref_branch_is_valid(q->branch))
                return output_fail("request", "branch is not a valid name of a branch");
        if (q->base_branch && !gitref_branch_is_valid(q->base_branch))
                return output_fail("request", "baseBranch is not a valid name of a branch");
        if (q->commit && !gitref_commit_is_valid(q->commit))
                return output_fail("request", "commit is not 40 hex digits");
        if (q->cache && !path_is_safe(q->cache))
                return output_fail("request", "cache is not an absolute path");
        if (q->ca_file && !path_is_safe(q->ca_file))
                return output_fail("request", "caFile is not an absolute path");
        if (q->known_hosts_file && !path_is_safe(q->known_hosts_file))
                return output_fail("request", "knownHostsFile is not an absolute path");
        if (q->url &&
            (giturl_parse(q->url, &q->parsed, &error) < 0 ||
             (q->verb == VERB_FETCH && giturl_check(&q->parsed, q->allow_loopback, &error) < 0)))
                return output_fail(
                        "url", "the address of the repository cannot be used: %s", strempty(error));
        return 0;
}

static int check_verb(Request *q) {
        if (q->verb == VERB_FETCH && (!q->url || !q->cache))
                return output_fail("request", "url and cache are needed");
        if (q->verb == VERB_CHECKOUT && (!q->cache || !q->commit || !q->branch || !q->directory || !q->url))
                return output_fail("request", "url, cache, commit, branch and directory are needed");
        if (q->verb == VERB_STATUS && !q->directory)
                return output_fail("request", "directory is needed");
        if ((q->verb == VERB_MEASURE || q->verb == VERB_REMOVE) && !q->key)
                return output_fail("request", "key is needed");
        if (q->verb != VERB_FETCH && q->credential)
                return output_fail("request", "credentials are for fetch alone");
        if (q->credential && !streq(q->credential, "token") && !streq(q->credential, "sshKey"))
                return output_fail("request", "credential is neither token nor sshKey");
        return 0;
}

int request_read(int fd, const char *verb, Request *ret) {
        static const char *const verbs[] = { "fetch", "checkout", "status", "measure", "remove" };
        _cleanup_(request_done) Request q = {};
        _cleanup_buffer_ Buffer line = {};
        _cleanup_free_ char *error = NULL;
        const char *name;
        size_t v;
        int r;

        r = read_line(fd, &line);
        if (r < 0)
                return r;
        if (json_parse_from(JSON_OF_PRODUCT, strempty(line.data), line.size, &q.json, &error) < 0)
                return output_fail("request", "the request is %s", strempty(error));
        if (!json_object_is_type(q.json, json_type_object))
                return output_fail("request", "the request is not a JSON object");
        r = check_members(q.json);
        if (r < 0)
                return r;
        name = strempty(json_get_string(q.json, "verb"));
        for (v = 0; v < ELEMENTSOF(verbs); v++)
                if (streq(name, verbs[v]))
                        break;
        if (v == ELEMENTSOF(verbs) || (verb && !streq(verb, name)))
                return output_fail(
                        "request",
                        "verb is not fetch, checkout, status, measure or remove, or not that of the command line");
        q.verb = (RequestVerb) v;
        q.url = json_get_string(q.json, "url");
        q.branch = json_get_string(q.json, "branch");
        q.base_branch = json_get_string(q.json, "baseBranch");
        q.commit = json_get_string(q.json, "commit");
        q.cache = json_get_string(q.json, "cache");
        q.directory = json_get_string(q.json, "directory");
        q.ca_file = json_get_string(q.json, "caFile");
        q.known_hosts_file = json_get_string(q.json, "knownHostsFile");
        q.username = json_get_string(q.json, "username");
        q.credential = json_get_string(q.json, "credential");
        q.key = json_get_string(q.json, "key");
        (void) json_get_bool(q.json, "force", &q.force);
        (void) json_get_bool(q.json, "allowLoopback", &q.allow_loopback);
        r = read_bounds(&q);
        if (r >= 0)
                r = check_verb(&q);
        if (r >= 0)
                r = check_values(&q);
        if (r < 0)
                return r;
        *ret = q;
        q = (Request){};
        return 0;
}
