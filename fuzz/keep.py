#!/usr/bin/env python3
"""Chooses from a libFuzzer merge the few inputs that reach the most.

usage: keep.py CONTROL_FILE CORPUS MAX_FILES MAX_BYTES

CONTROL_FILE is what `-merge=1 -merge_control_file=FILE` writes: the inputs, then what each one reaches. Inputs that are in
CORPUS stay; the others are added, the one with the most new features a byte first, until either limit is met.
"""

import hashlib
import pathlib
import sys


def read(control):
    lines = control.read_text().splitlines()
    count = int(lines[0])
    names = [pathlib.Path(line) for line in lines[2 : 2 + count]]
    reached = {}
    for line in lines[2 + count :]:
        words = line.split()
        if words[0] in ("FT", "COV"):
            kind = words[0]
            reached.setdefault(int(words[1]), set()).update((kind, feature) for feature in words[2:])
    return [(names[n], features) for n, features in sorted(reached.items()) if features]


def main():
    control, corpus, max_files, max_bytes = sys.argv[1:]
    corpus = pathlib.Path(corpus).resolve()
    inputs = read(pathlib.Path(control))
    known, files, size = set(), 0, 0
    for path in sorted(corpus.iterdir()):
        files, size = files + 1, size + path.stat().st_size
    for path, features in inputs:
        if path.resolve().parent == corpus:
            known |= features
    left = [(path, features) for path, features in inputs if path.resolve().parent != corpus]
    added = 0
    while left:
        # A file costs something even if it is short.
        best = max(left, key=lambda item: len(item[1] - known) / (64 + item[0].stat().st_size))
        left.remove(best)
        path, features = best
        if not features - known or files >= int(max_files):
            break
        data = path.read_bytes()
        if size + len(data) > int(max_bytes):
            continue
        (corpus / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)
        known |= features
        files, size, added = files + 1, size + len(data), added + 1
    print(f"{corpus.name}: {added} inputs added, {files} files of {size} bytes")


main()
