/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/fileio.h"
#include "common/json-scan.h"
#include "fuzz.h"

static char folder[256];
static int folder_fd = -EBADF;

void fuzz_fail(int line, const char *what) {
        (void) fprintf(stderr, "line %d: not so: %s\n", line, what);
        abort();
}

uint8_t input_byte(FuzzInput *in) {
        return in->at < in->end ? (uint8_t) *in->at++ : 0;
}

bool input_piece(FuzzInput *in, char separator, const char **ret, size_t *ret_size) {
        if (in->at >= in->end)
                return false;
        const char *stop = memchr(in->at, separator, (size_t) (in->end - in->at));
        *ret = in->at;
        *ret_size = (size_t) ((stop ? stop : in->end) - in->at);
        in->at = stop ? stop + 1 : in->end;
        return true;
}

char *input_string(FuzzInput *in, char separator) {
        const char *piece = "";
        size_t size = 0;

        (void) input_piece(in, separator, &piece, &size);
        char *s = strndup(piece, size);
        CHECK(s);
        return s;
}

static void remove_folder(void) {
        safe_close(folder_fd);
        (void) remove_tree_at(AT_FDCWD, folder);
}

int fuzz_folder(void) {
        const char *tmp = getenv("TMPDIR");

        if (folder_fd >= 0)
                return folder_fd;
        /* In memory where there is such a place: it is written anew for each input. */
        if (isempty(tmp))
                tmp = access("/dev/shm", W_OK) >= 0 ? "/dev/shm" : "/tmp";
        CHECK(snprintf(folder, sizeof(folder), "%.200s/nf-fuzz-XXXXXX", tmp) > 0 && mkdtemp(folder));
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(folder_fd >= 0);
        (void) atexit(remove_folder);
        return folder_fd;
}

const char *fuzz_folder_path(void) {
        return folder;
}

void fuzz_file(int dirfd, const char *name, const char *text, size_t size) {
        _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CHECK(fd >= 0 && write_all(fd, text, size) >= 0);
}

int fuzz_memory(const char *text, size_t size) {
        int fd = memfd_create("fuzz", MFD_CLOEXEC);

        CHECK(fd >= 0 && pwrite_all(fd, text, size, 0) >= 0);
        return fd;
}

void check_json(const char *text, size_t size) {
        _cleanup_json_ Json *o = NULL;

        CHECK(text && json_scan_valid(text, size));
        CHECK(json_parse(text, size, &o, NULL) >= 0);
}

void check_json_consume(char *text) {
        CHECK(text);
        check_json(text, strlen(text));
        free(text);
}

void check_sentence_consume(char *text) {
        CHECK(!isempty(text));
        CHECK(utf8_is_valid(text, strlen(text)));
        free(text);
}
