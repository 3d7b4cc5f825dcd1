/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fileio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A fuzz target without a fuzzer: runs it over every file of the folders named, and over every beginning of each. */

static unsigned run_folder(const char *path) {
        DIR *d = opendir(path);
        struct dirent *entry;
        unsigned n = 0;

        if (!d)
                return 0;
        while ((entry = readdir(d))) {
                _cleanup_free_ char *text = NULL;
                size_t size = 0;

                if (entry->d_name[0] == '.' ||
                    read_file_at(dirfd(d), entry->d_name, 1024 * 1024, &text, &size) < 0)
                        continue;
                for (size_t i = 0; i <= size; i++) {
                        /* In memory of exactly that size, so that a sanitizer sees a step beyond it. */
                        uint8_t *copy = malloc(i > 0 ? i : 1);

                        if (!copy)
                                abort();
                        if (i > 0)
                                memcpy(copy, text, i);
                        (void) LLVMFuzzerTestOneInput(copy, i);
                        free(copy);
                }
                n++;
        }
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
