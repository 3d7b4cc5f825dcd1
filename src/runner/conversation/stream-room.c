/* SPDX-License-Identifier: MIT */
#include "runner/conversation/stream-room.h"

void stream_share_open(StreamShare *s, StreamRoom *room, uint64_t now) {
        *s = (StreamShare){ .room = room, .next = room->shares, .taken_usec = now };
        room->shares = s;
}

void stream_share_close(StreamShare *s) {
        for (StreamShare **p = &s->room->shares; *p; p = &(*p)->next)
                if (*p == s) {
                        *p = s->next;
                        break;
                }
        s->room->held -= s->held;
        s->held = s->wanted = 0;
}

void stream_share_hold(StreamShare *s, size_t bytes) {
        s->room->held = s->room->held - s->held + bytes;
        s->held = bytes;
}

bool stream_share_ask(StreamShare *s, size_t bytes) {
        size_t others = s->room->held - s->held;

        /* A reader does not wait for room that only itself uses. */
        bool granted = bytes <= STREAM_SHORT_BYTES || others == 0 ||
                s->room->held + bytes <= EVENT_STREAMS_BYTES_MAX;
        s->wanted = granted ? 0 : bytes;
        return granted;
}

StreamShare *stream_share_stalled(const StreamShare *s, uint64_t now) {
        for (StreamShare *other = s->room->shares; other; other = other->next)
                if (other != s && other->held > STREAM_SHORT_BYTES &&
                    now >= other->taken_usec + STREAM_ROOM_USEC)
                        return other;
        return NULL;
}
