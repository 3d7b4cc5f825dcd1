/* SPDX-License-Identifier: MIT */
#include "common/util.h"
#include "runner/run/runtime-clock.h"

bool runtime_clock_freeze(RuntimeClock *c, bool frozen, uint64_t now) {
        if (frozen == (c->frozen_since_usec > 0))
                return false;
        if (frozen)
                c->frozen_since_usec = now;
        else {
                c->frozen_usec += now > c->frozen_since_usec ? now - c->frozen_since_usec : 0;
                c->frozen_since_usec = 0;
        }
        return true;
}

uint64_t runtime_clock_left(const RuntimeClock *c, uint64_t now) {
        uint64_t ran;

        if (c->limit_usec == 0 || c->frozen_since_usec > 0)
                return USEC_INFINITY;
        ran = now > c->started_usec ? now - c->started_usec : 0;
        ran -= MIN(ran, c->frozen_usec);
        return c->limit_usec - MIN(ran, c->limit_usec);
}

Json *runtime_clock_to_json(const RuntimeClock *c) {
        _cleanup_json_ Json *o = json_object_new_object();

        if (!o || json_set_u64(o, "limitUsec", c->limit_usec) < 0 ||
            json_set_u64(o, "startedUsec", c->started_usec) < 0 ||
            json_set_u64(o, "frozenUsec", c->frozen_usec) < 0 ||
            json_set_u64(o, "frozenSinceUsec", c->frozen_since_usec) < 0)
                return NULL;
        return TAKE_PTR(o);
}

int runtime_clock_from_json(Json *o, uint64_t now, RuntimeClock *ret) {
        RuntimeClock c;

        if (json_get_u64(o, "limitUsec", &c.limit_usec) <= 0 ||
            json_get_u64(o, "startedUsec", &c.started_usec) <= 0 ||
            json_get_u64(o, "frozenUsec", &c.frozen_usec) <= 0 ||
            json_get_u64(o, "frozenSinceUsec", &c.frozen_since_usec) <= 0 || c.started_usec > now ||
            c.frozen_since_usec > now)
                return -EINVAL;
        *ret = c;
        return 0;
}
