/* SPDX-License-Identifier: MIT */
#include "ctl/metrics/http-answer.h"
#include "fuzz.h"

/* A request for metrics, from whoever connects: one status, which no byte that comes later changes. */

static unsigned check(const char *data, size_t size) {
        HttpRequest q;
        unsigned status = http_request_parse(data, size, &q);

        CHECK(status == 0 || status == 200 || status == 400 || status == 405 || status == 431 ||
              status == 505);
        if (status != 200)
                return status;
        CHECK(q.path && q.path >= data && q.path + q.path_size < data + size && q.path[0] == '/');
        for (size_t i = 0; i < q.path_size; i++)
                CHECK(q.path[i] > ' ' && q.path[i] != '?' && q.path[i] != 0x7f);
        return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* A copy of just that size: what is read behind its end is seen. */
        unsigned whole = check((const char *) data, size), status = 0;

        if (size > 2048)
                return 0;
        for (size_t n = 0; n <= size; n++) {
                _cleanup_free_ char *part = malloc(n > 0 ? n : 1);

                CHECK(part);
                memcpy(part, data, n);
                CHECK(status == 0 || check(part, n) == status);
                status = check(part, n);
        }
        CHECK(status == whole);
        return 0;
}
