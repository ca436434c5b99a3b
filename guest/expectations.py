#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gathers the expectations that stand before programs in tests/objects/*.bpf.c as TOML on stdout.

A line of an expectation is one of
    // => RESULT                          the program returns RESULT
    // => RESULT, throws COOKIE           it throws COOKIE and its callback makes RESULT of it
    // @OFFSET=HEX[ @OFFSET=HEX]: => ...  the same with these bytes in the input
    // accepted                           only the verdict is known
    // refused: TEXT                      refused; TEXT is in the log's last lines; may be repeated
    // refused                            refused by the loader, before the verifier
    // refused, Linux accepts: REASON     refused here on purpose
    // accepted, Linux refuses: REASON    accepted here on purpose
and belongs to the next program, which is the function named in the first line after it that ends
a declarator (`int NAME(`), the first argument of a macro (`MACRO(NAME, ...)`) or the symbol of a
`.globl NAME` in assembly.
"""
import re
import sys
from pathlib import Path

INPUT_SIZE = 64
RESULT = re.compile(r"(?:(@[^:]*): )?=> (\S+?)(?:, throws (\S+))?$")
NAME = re.compile(r"^\s*(?:(?:\.globl\s+|[A-Z][A-Z0-9_]+\()(\w+)|(?:__\w+(?:\(\([^)]*\)\))? )*(?:int|u64|long) (\w+)\()")


def patched(patches):
    """64 zero bytes with the patches of an `@OFFSET=HEX` list; None if there are none."""
    if not patches:
        return None
    data = bytearray(INPUT_SIZE)
    for patch in patches.split():
        offset, value = patch.lstrip("@").split("=")
        value = bytes.fromhex(value)
        offset = int(offset)
        end = offset + len(value)
        if end > len(data):
            data.extend(bytes(end - len(data)))
        data[offset:end] = value
    return data.hex()


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def case(source, program, lines):
    """The TOML of one program's expectation."""
    runs, errors = [], []
    verdict, linux, reason = "accept", None, None
    for line in lines:
        if found := RESULT.match(line):
            runs.append((patched(found[1]), int(found[2], 0) & 0xFFFFFFFF,
                         None if found[3] is None else int(found[3], 0)))
        elif line == "refused":
            verdict = "reject"
        elif line.startswith("refused: "):
            verdict = "reject"
            errors.append(line.removeprefix("refused: "))
        elif line.startswith("refused, Linux accepts: "):
            verdict, linux, reason = "reject", "accept", line.split(": ", 1)[1]
        elif line.startswith("accepted, Linux refuses: "):
            linux, reason = "reject", line.split(": ", 1)[1]
        elif line != "accepted":
            raise SystemExit(f"{source}: {program}: not understood: {line}")
    out = ["[[program]]", f"object = {quoted(source.stem + '.o')}", f"name = {quoted(program)}",
           f'verdict = "{verdict}"']
    if linux:
        out += [f'linux = "{linux}"', f"reason = {quoted(reason)}"]
    if errors:
        out.append("error = [" + ", ".join(map(quoted, errors)) + "]")
    for data, retval, thrown in runs:
        out += ["", "[[program.run]]"]
        if data:
            out.append(f"input = {quoted(data)}")
        out.append(f"retval = {retval}")
        if thrown is not None:
            # TOML integers have 63 bits, cookies 64.
            out.append(f'thrown = "{thrown:#x}"')
    return "\n".join(out)


def cases(source):
    pending = []
    for line in source.read_text().splitlines():
        text = line.strip()
        if text.startswith(("// =>", "// @", "// accepted", "// refused")):
            pending.append(text.removeprefix("// "))
        elif pending and (found := NAME.match(line)):
            yield case(source, found[1] or found[2], pending)
            pending = []
    if pending:
        raise SystemExit(f"{source}: no program follows: {pending}")


def main():
    print("# Gathered by guest/build.sh from the comments in the sources beside this file: do not edit.")
    print("# input: hex, a packet, or the context of a syscall or tracing program; 64 zero bytes if absent.")
    print("# retval: the lower 32 bits. thrown: the cookie that the outermost boundary caught.")
    folder = Path(sys.argv[1])
    for source in sorted([*folder.glob("*.bpf.c"), *folder.glob("*.bpf.s")]):
        for text in cases(source):
            print()
            print(text)


main()
