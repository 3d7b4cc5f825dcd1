/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "common/buffer.h"
#include "runner/workspace/git-call.h"

#define LINE_MAX_BYTES (64 * 1024)
#define TEXT_MAX 800
#define PROGRESS_INTERVAL_USEC (200 * USEC_PER_MSEC)
#define PHASE_CHANGES_MAX 32

struct GitCall {
        Operation *operation;
        CheckoutProgress progress;
        GitCallDone done;
        void *userdata;
        const char *phase; /* of phases[] */
        uint64_t progress_usec;
        unsigned phase_changes;
        Json *answer; /* the first result or error line */
};

GitCall *git_call_free(GitCall *c) {
        if (!c)
                return NULL;
        operation_free(c->operation);
        json_putp(&c->answer);
        free(c);
        return NULL;
}

static const char *known_phase(const char *name) {
        static const char *const phases[] = {
                "waiting", "connecting", "preparing", "receiving", "resolving", "checkout",
        };

        for (size_t i = 0; name && i < ELEMENTSOF(phases); i++)
                if (streq(name, phases[i]))
                        return phases[i];
        return NULL;
}

static void on_progress(GitCall *c, Json *line) {
        _cleanup_json_ Json *o = NULL;
        const char *phase = known_phase(json_get_string(line, "phase"));
        uint64_t received = 0, total = 0, bytes = 0, now = now_usec(CLOCK_MONOTONIC);

        if (!c->progress || !phase)
                return;
        if (phase != c->phase) {
                if (++c->phase_changes > PHASE_CHANGES_MAX)
                        return;
        } else if (now - c->progress_usec < PROGRESS_INTERVAL_USEC)
                return;
        c->phase = phase;
        c->progress_usec = now;
        (void) json_get_u64(line, "received", &received);
        (void) json_get_u64(line, "total", &total);
        (void) json_get_u64(line, "bytes", &bytes);
        o = json_object_new_object();
        if (o && json_set_string(o, "phase", phase) >= 0 && json_set_u64(o, "received", received) >= 0 &&
            json_set_u64(o, "total", total) >= 0 && json_set_u64(o, "bytes", bytes) >= 0)
                c->progress(o, c->userdata);
}

static void on_line(Operation *o, const char *line, size_t size, void *userdata) {
        GitCall *c = userdata;
        _cleanup_json_ Json *json = NULL;
        const char *type;

        if (c->answer || size > LINE_MAX_BYTES ||
            json_parse_from(JSON_OF_REPOSITORY, line, size, &json, NULL) < 0)
                return;
        type = json_get_string(json, "type");
        if (!type)
                return;
        if (streq(type, "progress"))
                on_progress(c, json);
        else if (streq(type, "result") || streq(type, "error"))
                c->answer = TAKE_PTR(json);
}

static int errno_of_code(const char *code) {
        static const struct {
                const char *code;
                int error;
        } codes[] = {
                { "request", -EINVAL },        { "url", -EPERM },
                { "auth", -EACCES },           { "certificate", -EKEYREJECTED },
                { "host-key", -EKEYREJECTED }, { "redirect", -EREMCHG },
                { "network", -EHOSTUNREACH },  { "not-found", -ENOENT },
                { "empty", -ENODATA },         { "no-space", -ENOSPC },
                { "too-large", -EFBIG },       { "stopped", -ECANCELED },
                { "unsaved", -ENOTEMPTY },
        };

        for (size_t i = 0; code && i < ELEMENTSOF(codes); i++)
                if (streq(code, codes[i].code))
                        return codes[i].error;
        return -EIO;
}

/* One sentence without line ends, of bounded length. */
static char *clean_text(const char *text) {
        char *copy = strndup(text, TEXT_MAX);
        size_t n = copy ? strlen(copy) : 0;

        while (n > 0 && !utf8_is_valid(copy, n))
                copy[--n] = 0; /* cut inside a character */
        for (char *p = copy; p && *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = ' ';
        return copy;
}

static void on_done(Operation *o, int error, const char *text, int status, void *userdata) {
        GitCall *c = userdata;
        _cleanup_json_ Json *answer = TAKE_PTR(c->answer);
        _cleanup_free_ char *sentence = NULL;
        const char *type = answer ? json_get_string(answer, "type") : NULL;
        GitCallDone done = c->done;
        void *data = c->userdata;

        if (type && streq(type, "error") && error != -ETIMEDOUT) {
                const char *words = json_get_string(answer, "text");
                sentence = clean_text(isempty(words) ? "git failed without a reason" : words);
                done(errno_of_code(json_get_string(answer, "code")), strempty(sentence), NULL, data);
        } else if (error < 0) {
                sentence = xasprintf("failed to run git: %s", isempty(text) ? strerror(-error) : text);
                done(error, strempty(sentence), NULL, data);
        } else if (!type || status != 0) {
                sentence = status > 128 ? xasprintf(
                                                  "git was ended by signal %d%s%s",
                                                  status - 128,
                                                  isempty(text) ? "" : ": ",
                                                  strempty(text)) :
                                          xasprintf("git exited with status %d without a result", status);
                done(status > 128 ? -ECHILD : -EIO, strempty(sentence), NULL, data);
        } else
                done(0, NULL, answer, data);
}

static int add_bounds(Json *request, const uint64_t *bounds) {
        for (GitBoundId i = 0; i < _GIT_BOUND_MAX; i++)
                if (bounds[i] > 0 && json_set_u64(request, git_bound_infos[i].name, bounds[i]) < 0)
                        return -ENOMEM;
        return 0;
}

int git_call_start(const OperationContext *context, const GitCallParams *p, GitCall **ret) {
        _cleanup_(git_call_freep) GitCall *c = new0(GitCall, 1);
        _cleanup_buffer_ Buffer input = {};
        char *const argv[] = { (char *) NF_LIBEXECDIR "/northflare-git", (char *) p->verb, NULL };
        char *const env[] = { NULL };
        int r;

        if (!c)
                return -ENOMEM;
        *c = (GitCall){ .progress = p->progress, .done = p->done, .userdata = p->userdata };
        if (json_set_string(p->request, "verb", p->verb) < 0 || add_bounds(p->request, p->bounds) < 0)
                return -ENOMEM;
        (void) buffer_append_str(&input, json_text(p->request));
        r = buffer_append_str(&input, "\n");
        if (r < 0)
                return r;
        r = operation_start(
                context,
                &(OperationParams){
                        .kind = p->kind,
                        .id = p->id,
                        .workspace = p->workspace,
                        .argv = argv,
                        .env = env,
                        .cwd = "",
                        .input = input.data,
                        .input_size = input.size,
                        .extra = { p->credential_fd, -EBADF },
                        .n_extra = p->credential_fd >= 0 ? 1 : 0,
                        .timeout_usec = p->timeout_usec,
                        .line = on_line,
                        .done = on_done,
                        .userdata = c,
                },
                &c->operation);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
