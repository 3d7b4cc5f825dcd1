/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "git/pack.h"

#define INDEX_MAGIC "\377tOc\0\0\0\2"
#define FANOUT_SIZE (256 * 4)
#define OID_SIZE 20
/* OFS_DELTA, REF_DELTA: the size is the delta's; that of what it makes is bounded where it is made. */
#define TYPE_DELTA 6

typedef struct Map {
        const uint8_t *data;
        size_t size;
} Map;

static void map_done(Map *m) {
        if (m->data)
                (void) munmap((void *) m->data, m->size);
}

static int map_file(int dirfd, const char *name, Map *ret) {
        _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        void *p;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size <= 0)
                return -EBADMSG;
        p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = (Map){ .data = p, .size = (size_t) st.st_size };
        return 0;
}

static uint32_t read_u32(const uint8_t *p) {
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return be32toh(v);
}

/* "tttssss" and then seven bits a byte, each but the last with its highest bit set. */
static int object_size(const Map *pack, uint64_t offset, bool *ret_delta, uint64_t *ret) {
        unsigned shift = 4;
        uint8_t byte;

        if (offset >= pack->size)
                return -EBADMSG;
        byte = pack->data[offset];
        *ret_delta = (byte >> 4 & 7) >= TYPE_DELTA;
        *ret = byte & 15;
        while (byte & 128) {
                if (++offset >= pack->size || shift > 57)
                        return -EBADMSG;
                byte = pack->data[offset];
                *ret |= (uint64_t) (byte & 127) << shift;
                shift += 7;
        }
        return 0;
}

static int
check_offset(const Map *index, const Map *pack, uint64_t at, uint64_t large_at, uint64_t *ret_size) {
        uint64_t offset = read_u32(index->data + at);
        bool delta;
        int r;

        if (offset & UINT32_C(0x80000000)) {
                large_at += (offset & 0x7fffffff) * 8;
                if (large_at + 8 > index->size)
                        return -EBADMSG;
                offset = (uint64_t) read_u32(index->data + large_at) << 32 |
                        read_u32(index->data + large_at + 4);
        }
        r = object_size(pack, offset, &delta, ret_size);
        if (r >= 0 && delta)
                *ret_size = 0;
        return r;
}

static int check_pack(int dirfd, const char *name, uint64_t max, uint64_t *ret_size) {
        _cleanup_free_ char *index_name = xasprintf(
                "%.*s.idx", (int) (strlen(name) - strlen(".pack")), name);
        _cleanup_(map_done) Map index = {}, pack = {};
        uint64_t n, offsets;
        int r;

        if (!index_name)
                return -ENOMEM;
        r = map_file(dirfd, index_name, &index);
        if (r >= 0)
                r = map_file(dirfd, name, &pack);
        if (r < 0)
                return r;
        if (index.size < 8 + FANOUT_SIZE || memcmp(index.data, INDEX_MAGIC, 8) != 0)
                return -EBADMSG;
        n = read_u32(index.data + 8 + FANOUT_SIZE - 4);
        offsets = 8 + FANOUT_SIZE + n * (OID_SIZE + 4);
        if (offsets + n * 4 > index.size)
                return -EBADMSG;
        for (uint64_t i = 0; i < n; i++) {
                r = check_offset(&index, &pack, offsets + i * 4, offsets + n * 4, ret_size);
                if (r < 0)
                        return r;
                if (*ret_size > max)
                        return 1;
        }
        return 0;
}

static int open_packs(int repository_fd) {
        return openat(repository_fd, "objects/pack", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int pack_list(int repository_fd, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_close_ int fd = open_packs(repository_fd);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        int r = 0;

        if (!d)
                return -errno;
        TAKE_FD(fd); /* it is d's */
        for (struct dirent *e; r >= 0 && (e = readdir(d));)
                if (startswith(e->d_name, "pack-") && endswith(e->d_name, ".pack"))
                        r = strv_extend(&names, e->d_name);
        (void) closedir(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

int pack_check_new(int repository_fd, char *const *known, uint64_t max, uint64_t *ret_size) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r = pack_list(repository_fd, &names);

        if (r < 0)
                return r;
        fd = open_packs(repository_fd);
        if (fd < 0)
                return -errno;
        STRV_FOREACH(name, names) {
                r = strv_contains(known, *name) ? 0 : check_pack(fd, *name, max, ret_size);
                if (r != 0)
                        return r;
        }
        return 0;
}

void pack_remove_new(int repository_fd, char *const *known) {
        static const char *const ends[] = { "pack", "idx" };
        _cleanup_strv_free_ char **names = NULL;

        if (pack_list(repository_fd, &names) < 0)
                return;
        STRV_FOREACH(name, names)
                for (size_t i = 0; i < ELEMENTSOF(ends) && !strv_contains(known, *name); i++) {
                        _cleanup_free_ char *path = xasprintf(
                                "objects/pack/%.*s%s",
                                (int) (strlen(*name) - strlen("pack")),
                                *name,
                                ends[i]);
                        if (path)
                                (void) unlinkat(repository_fd, path, 0);
                }
}
