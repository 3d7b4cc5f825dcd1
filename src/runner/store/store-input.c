/* SPDX-License-Identifier: MIT */
#include "runner/store/store-change.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

static int set_size(Store *s, const char *conversation, unsigned run, uint64_t total, uint64_t written) {
        return store_execute(
                s,
                STATEMENT_INPUT_SET_SIZE,
                "INSERT INTO input_size (conversation, run, total, written) VALUES (?1, ?2, ?3, ?4) "
                "ON CONFLICT (conversation, run) DO UPDATE SET total = ?3, written = ?4",
                "siuu",
                conversation,
                (int64_t) run,
                total,
                written);
}

int store_input_size(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t *ret_total,
        uint64_t *ret_written) {
        _cleanup_statement_ Statement st = {};
        uint64_t total = 0, written = 0;
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_INPUT_SIZE,
                "SELECT total, written FROM input_size WHERE conversation = ? AND run = ?",
                "si",
                conversation,
                (int64_t) run);
        if (r < 0)
                return r;
        if (r > 0) {
                total = statement_u64(&st, 0);
                written = statement_u64(&st, 1);
        }
        if (ret_total)
                *ret_total = total;
        if (ret_written)
                *ret_written = written;
        return 0;
}

int store_adopt_input(Store *s, const char *conversation, unsigned run, uint64_t size) {
        int r = set_size(s, conversation, run, size, size);

        return r < 0 ? r : 0;
}

static int append_row(
        Store *s,
        const char *conversation,
        unsigned run,
        const void *data,
        size_t size,
        uint64_t *ret_offset) {
        uint64_t total, written, end;
        int r;

        r = store_input_size(s, conversation, run, &total, &written);
        if (r < 0)
                return r;
        *ret_offset = total;
        if (size == 0)
                return 0;
        if (__builtin_add_overflow(total, (uint64_t) size, &end) || end > INT64_MAX)
                return -EFBIG;
        r = store_execute(
                s,
                STATEMENT_INPUT_ADD,
                "INSERT INTO input (conversation, run, at, size, data) VALUES (?, ?, ?, ?, ?)",
                "siuub",
                conversation,
                (int64_t) run,
                total,
                (uint64_t) size,
                data,
                size);
        return r < 0 ? r : set_size(s, conversation, run, end, written);
}

int store_render(
        Store *s,
        const char *conversation,
        unsigned run,
        const void *data,
        size_t size,
        int64_t inbound_seq,
        uint64_t *ret_offset) {
        _cleanup_(transaction_done) Transaction t = {};
        uint64_t offset = 0;
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = append_row(s, conversation, run, data, size, &offset);
        if (r >= 0 && inbound_seq > 0)
                r = store_inbound_done(s, inbound_seq);
        r = transaction_finish(&t, r);
        if (r < 0)
                return r;
        if (ret_offset)
                *ret_offset = offset;
        return 0;
}

int store_unwritten_input(
        Store *s,
        const char *conversation,
        unsigned run,
        InputCallback cb,
        void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_open(
                s,
                &st,
                STATEMENT_INPUT_UNWRITTEN,
                "SELECT at, data FROM input WHERE conversation = ? AND run = ? ORDER BY at",
                "si",
                conversation,
                (int64_t) run);
        if (r < 0)
                return r;
        while ((r = statement_step(&st)) > 0) {
                const void *data = sqlite3_column_blob(st.stmt, 1);
                int size = sqlite3_column_bytes(st.stmt, 1);

                if (!data && size > 0)
                        return -ENOMEM;
                r = cb(statement_u64(&st, 0), data, (size_t) size, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

/* Where the first row begins that is still there. */
static int
first_offset(Store *s, const char *conversation, unsigned run, uint64_t otherwise, uint64_t *ret) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_INPUT_FIRST,
                "SELECT at FROM input WHERE conversation = ? AND run = ? ORDER BY at LIMIT 1",
                "si",
                conversation,
                (int64_t) run);
        if (r < 0)
                return r;
        *ret = r > 0 ? statement_u64(&st, 0) : otherwise;
        return 0;
}

static int written_upto(Store *s, const char *conversation, unsigned run, uint64_t upto) {
        uint64_t total, written, first = 0;
        int r;

        r = store_input_size(s, conversation, run, &total, &written);
        if (r < 0)
                return r;
        if (upto > total)
                return -ERANGE;
        if (upto <= written)
                return 0;
        r = store_execute(
                s,
                STATEMENT_INPUT_WRITTEN,
                "DELETE FROM input WHERE conversation = ? AND run = ? AND at + size <= ?",
                "siu",
                conversation,
                (int64_t) run,
                upto);
        if (r >= 0)
                r = first_offset(s, conversation, run, total, &first);
        return r < 0 ? r : set_size(s, conversation, run, total, first);
}

int store_input_written(Store *s, const char *conversation, unsigned run, uint64_t upto) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = transaction_finish(&t, written_upto(s, conversation, run, upto));
        return r < 0 ? r : 0;
}
