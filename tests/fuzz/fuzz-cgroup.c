/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>

#include "common/fileio.h"
#include "fuzz.h"
#include "launcher/sum.h"
#include "supervisor/files.h"

/* Files of the cgroup file system, as the supervisor and the launcher read them, with NULs between. The figures that are
 * made of them stand in an outcome that is JSON. */

static const char *const names[] = {
        "cpu.stat", "memory.peak", "pids.peak", "io.stat", "memory.events", "pids.events",
};

static void check_outcome(int dirfd, const Outcome *o) {
        _cleanup_json_ Json *root = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;

        CHECK(outcome_write(dirfd, o) >= 0);
        CHECK(read_file_at(dirfd, "outcome.json", 65536, &text, &size) >= 0);
        CHECK(json_parse(text, size, &root, NULL) >= 0);
        for (size_t i = 0; i < ELEMENTSOF(o->usage.values); i++) {
                uint64_t value = 0;
                int r = json_get_u64(json_get(root, "resources"), o->usage.values[i].name, &value);

                CHECK(r == o->usage.values[i].known);
                CHECK(r == 0 || value == o->usage.values[i].value);
        }
}

static void check_limit(int dirfd) {
        _cleanup_free_ char *text = NULL;
        uint64_t limit, value;
        static char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
        limit = sum_limit(path, ".", "memory.peak");
        if (limit == UINT64_MAX)
                return;
        CHECK(read_file_at(dirfd, "memory.peak", 1024 * 1024, &text, NULL) >= 0);
        /* The first line that is not empty. */
        char *line = text + strspn(text, "\n");
        line[strcspn(line, "\n")] = 0;
        CHECK(safe_atou64(line, &value) >= 0 && value == limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FuzzInput in = input_of(data, size);
        Outcome o = { .exit_code = 0, .signal = -1 };
        Scope s = { .fd = fuzz_folder() };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *text = "";
                size_t n = 0;

                (void) input_piece(&in, 0, &text, &n);
                fuzz_file(s.fd, names[i], text, n);
        }
        scope_usage(&s, &o.usage);
        check_outcome(s.fd, &o);
        check_limit(s.fd);
        return 0;
}
