/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

/* To be loaded before User Mode Linux (LD_PRELOAD). A kernel wants the registers of a process back in one piece as large as
 * the processor can make them; User Mode Linux 6.1 knows of pieces up to AVX-512 and dies on a processor with more (AMX).
 * What it does not know is zero in a process that never asked for it, so zeros are put behind what it gives. */

#define XSTATE_MAX (64 * 1024)

typedef long PtraceFunction(int request, pid_t pid, void *address, void *data);

/* The size that the host's kernel uses, from the first time that registers are read. */
static size_t full_size;

static int is_xstate(int request, void *address) {
        return (request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) &&
                (uintptr_t) address == NT_X86_XSTATE;
}

static PtraceFunction *next_ptrace(void) {
        static PtraceFunction *next;

        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "ptrace");
        return next;
}

static long with_room(int request, pid_t pid, void *address, struct iovec *given) {
        static char room[XSTATE_MAX];
        struct iovec whole = { .iov_base = room, .iov_len = sizeof(room) };
        long r;

        if (request == PTRACE_GETREGSET) {
                r = next_ptrace()(request, pid, address, &whole);
                if (r < 0)
                        return r;
                full_size = whole.iov_len;
                if (given->iov_len > whole.iov_len)
                        given->iov_len = whole.iov_len;
                memcpy(given->iov_base, room, given->iov_len);
                return r;
        }
        if (full_size <= given->iov_len)
                return next_ptrace()(request, pid, address, given);
        memcpy(room, given->iov_base, given->iov_len);
        memset(room + given->iov_len, 0, full_size - given->iov_len);
        whole.iov_len = full_size;
        return next_ptrace()(request, pid, address, &whole);
}

long ptrace(enum __ptrace_request request, ...) {
        void *address, *data;
        va_list ap;
        pid_t pid;

        va_start(ap, request);
        pid = va_arg(ap, pid_t);
        address = va_arg(ap, void *);
        data = va_arg(ap, void *);
        va_end(ap);
        if (is_xstate((int) request, address) && data)
                return with_room((int) request, pid, address, data);
        return next_ptrace()((int) request, pid, address, data);
}
