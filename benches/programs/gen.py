#!/usr/bin/env python3
"""Writes NAME.bin, the 8 KiB of memory that each program beside it starts with, into a folder:

    gen.py [FOLDER]     (init, beside this file, if not given)
"""
import os
import random
import struct
import sys
from decimal import Decimal, getcontext

SIZE = 8192


def noise(n, seed):
    r = random.Random(seed)
    return bytes(r.randrange(256) for _ in range(n))


def first_primes(count):
    found, x = [], 2
    while len(found) < count:
        if all(x % p for p in found):
            found.append(x)
        x += 1
    return found


def memory(name):
    b = bytearray(noise(SIZE, sum(map(ord, name))))
    r = random.Random(7)

    def put(offset, data):
        b[offset:offset + len(data)] = data

    if name == 'log2':
        put(0, b''.join(struct.pack('<I', r.getrandbits(r.randint(1, 32))) for _ in range(256)))
    if name == 'strcmp':
        s = bytes(r.randrange(1, 256) for _ in range(1000))
        put(0, s + b'\0')
        put(2048, s[:999] + bytes([s[999] ^ 1 or 2]) + b'\0')
    if name == 'sha256':
        getcontext().prec = 60
        k = [int((Decimal(p) ** (Decimal(1) / 3) % 1) * 2 ** 32) for p in first_primes(64)]
        put(4096, struct.pack('<64I', *k))
    if name == 'bsearch':
        a = sorted(r.getrandbits(32) for _ in range(512))
        a[0] = 0
        put(0, struct.pack('<512I', *a))
        put(4096 + 256, bytes(4))
    return b


here = os.path.dirname(os.path.abspath(__file__))
folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, 'init')
os.makedirs(folder, exist_ok=True)
for f in sorted(os.listdir(here)):
    if f.endswith('.c') and not f.startswith('linux_'):
        with open(f'{folder}/{f[:-2]}.bin', 'wb') as out:
            out.write(memory(f[:-2]))
