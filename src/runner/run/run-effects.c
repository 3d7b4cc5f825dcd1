/* SPDX-License-Identifier: MIT */
#include "runner/run/position.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-internal.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"

void run_effects_done(RunEffects *e) {
        buffer_done(&e->lines);
        e->n_parts = 0;
}

int run_effects_add(RunEffects *e, int64_t seq, size_t begun) {
        if (e->n_parts >= ELEMENTSOF(e->parts))
                return -ENOBUFS;
        e->parts[e->n_parts++] = (RunInputPart){ .seq = seq, .size = e->lines.size - begun };
        return 0;
}

static int store_position(Run *r) {
        _cleanup_free_ char *state = NULL;
        int k;

        k = position_save(r->driver, r->output.lines.lines, &state);
        if (k < 0)
                return k;
        k = store_set_driven(r->ctx->store, r->row.conversation, r->row.run, r->row.driven, state);
        if (k < 0)
                return k;
        r->output.stored = r->row.driven;
        return 0;
}

int run_store_effects(const RunEffects *e) {
        Store *store = e->run->ctx->store;
        const RunRow *row = &e->run->row;
        const char *lines = e->lines.data;
        uint64_t offset;
        int k = 0;

        for (size_t i = 0; i < e->n_parts && k >= 0; i++) {
                const RunInputPart *p = &e->parts[i];

                if (p->size > 0)
                        k = store_render(
                                store, row->conversation, row->run, lines, p->size, p->seq, &offset);
                else if (p->seq > 0)
                        k = store_inbound_done(store, p->seq);
                lines += p->size;
        }
        return k < 0 ? k : store_position(e->run);
}

int run_store_driven(Run *r) {
        return r->output.stored == r->row.driven ? 0 : store_position(r);
}

bool run_is_behind(const Run *r) {
        return r->output.stored != r->row.driven;
}

void run_store_undone(Run *r) {
        r->output.stored = UINT64_MAX;
}
