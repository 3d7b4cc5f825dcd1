/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"

/* What every target has: the entry that libFuzzer and replay.c call, and a check that no build option takes out. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                 \
        do {                                     \
                if (!(x))                        \
                        fuzz_fail(__LINE__, #x); \
        } while (false)

/* Says which promise was broken, and aborts. */
__attribute__((noreturn)) void fuzz_fail(int line, const char *what);

/* A cursor over the input. A piece ends before the next separator, or where the input does. */
typedef struct FuzzInput {
        const char *at, *end;
} FuzzInput;

static inline FuzzInput input_of(const uint8_t *data, size_t size) {
        return (FuzzInput){ (const char *) data, (const char *) data + size };
}
uint8_t input_byte(FuzzInput *in); /* 0 at the end */
/* False at the end. The piece is borrowed, without its separator. */
bool input_piece(FuzzInput *in, char separator, const char **ret, size_t *ret_size);
/* The same as a string of its own, which ends at a NUL where the piece has one; "" at the end. */
char *input_string(FuzzInput *in, char separator);

/* A folder for files that a parser wants to open by name: made at the first call, gone at exit. */
int fuzz_folder(void);
const char *fuzz_folder_path(void);
void fuzz_file(int dirfd, const char *name, const char *text, size_t size);
/* A file without a name, from its beginning. */
int fuzz_memory(const char *text, size_t size);

/* Takes it over: it has to be one valid JSON text. */
void check_json_consume(char *text);
void check_json(const char *text, size_t size);
/* A sentence for people, if there is one; frees it. */
void check_sentence_consume(char *text);
