/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fileio.h"
#include "fuzz.h"

/* A fuzz target without a fuzzer: runs it over the files named and every file of the folders named, and over beginnings
 * of each. */

#define BEGINNINGS 1024

static void run(const char *text, size_t size) {
        /* In memory of exactly that size, so that a sanitizer sees a step beyond it. */
        uint8_t *copy = malloc(size > 0 ? size : 1);

        CHECK(copy);
        if (size > 0)
                memcpy(copy, text, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
        free(copy);
}

static unsigned run_file(int dirfd, const char *name) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;

        if (read_file_at(dirfd, name, 1024 * 1024, &text, &size) < 0)
                return 0;
        for (size_t i = 0; i < size; i += 1 + size / BEGINNINGS)
                run(text, i);
        run(text, size);
        return 1;
}

static unsigned run_folder(const char *path) {
        DIR *d = opendir(path);
        struct dirent *entry;
        unsigned n = 0;

        if (!d)
                return run_file(AT_FDCWD, path);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.')
                        n += run_file(dirfd(d), entry->d_name);
        closedir(d);
        return n;
}

int main(int argc, char *argv[]) {
        unsigned n = 0;

        for (int i = 1; i < argc; i++)
                n += run_folder(argv[i]);
        printf("%u inputs\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
