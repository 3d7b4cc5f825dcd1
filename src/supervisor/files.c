/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "supervisor/files.h"

int started_claim(int dirfd) {
        int fd = openat(dirfd, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        return fd < 0 ? -errno : fd;
}

int started_write(int dirfd, int fd, pid_t agent, const char *cgroup, const char *cwd) {
        _cleanup_buffer_ Buffer b = {};
        int r;

        (void) buffer_printf(
                &b, "{\"version\":1,\"pid\":%d,\"agentPid\":%d,\"cgroup\":", (int) getpid(), (int) agent);
        (void) buffer_append_json_str(&b, strempty(cgroup));
        (void) buffer_append_str(&b, ",\"cwd\":");
        (void) buffer_append_json_str(&b, cwd);
        (void) buffer_append_str(&b, "}\n");
        if (b.failed)
                return -ENOMEM;
        r = pwrite_all(
                fd, b.data, b.size, 0); /* from the start, where a full disk took a part of it before */
        if (r < 0)
                return r;
        /* That it was started must outlast a crash of the machine: nothing may start it again. */
        return fsync(fd) < 0 || fsync(dirfd) < 0 ? -errno : 0;
}

static void append_number(Buffer *b, const char *name, int value) {
        (void) buffer_printf(b, value < 0 ? ",\"%s\":null" : ",\"%s\":%d", name, value);
}

int outcome_write(int dirfd, const Outcome *o) {
        static const char *const stoppers[] = { "null", "\"runner\"", "\"systemd\"", "\"supervisor\"" };
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, "{\"version\":1");
        append_number(&b, "exitCode", o->exit_code);
        append_number(&b, "signal", o->signal);
        (void) buffer_append_str(&b, ",\"stage\":");
        (void) (o->stage ? buffer_append_json_str(&b, o->stage) : buffer_append_str(&b, "null"));
        append_number(&b, "errno", o->error > 0 ? o->error : -1);
        (void) buffer_printf(
                &b,
                ",\"stoppedBy\":%s,\"outFull\":%s",
                stoppers[o->stopped_by],
                o->out_full ? "true" : "false");
        (void) buffer_printf(
                &b, ",\"outBytes\":%" PRIu64 ",\"inBytes\":%" PRIu64, o->out_bytes, o->in_bytes);
        (void) buffer_printf(
                &b, ",\"startedUsec\":%" PRIu64 ",\"endedUsec\":%" PRIu64, o->started_usec, o->ended_usec);
        if (o->oomd)
                (void) buffer_append_str(&b, ",\"oomd\":true");
        (void) buffer_append_str(&b, ",\"resources\":{");
        for (size_t i = 0; i < ELEMENTSOF(o->usage.values); i++) {
                const struct CgroupValue *f = &o->usage.values[i];

                (void) buffer_printf(&b, "%s\"%s\":", i > 0 ? "," : "", f->name);
                (void) (f->known ? buffer_printf(&b, "%" PRIu64, f->value) : buffer_append_str(&b, "null"));
        }
        (void) buffer_append_str(&b, "}}\n");
        if (b.failed)
                return -ENOMEM;
        return write_file_atomic_at(dirfd, "outcome.json", b.data, b.size, 0600);
}
