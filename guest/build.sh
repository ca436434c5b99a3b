#!/bin/sh
# Rebuilds every committed object from its source beside it, or with --check compares.
#
#   guest/build.sh          writes the objects (and what is derived from them) in place
#   guest/build.sh --check  builds in a temporary folder, names each file that differs
#
# The same clang gives the same bytes from any checkout: paths in the objects are relative to the
# project's root. A source may ask for flags of its own in a line `build: FLAGS`.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
clang=${CLANG:-clang-19}
strip=${LLVM_STRIP:-llvm-strip-19}
objcopy=${LLVM_OBJCOPY:-llvm-objcopy-19}
python=${PYTHON:-python3}

mode=write
case ${1-} in
'') ;;
--check) mode=check ;;
*)
	echo "usage: guest/build.sh [--check]" >&2
	exit 2
	;;
esac

for tool in "$clang" "$strip" "$objcopy" "$python" wasm-ld-19; do
	if ! command -v "$tool" >/dev/null 2>&1; then
		echo "guest/build.sh: $tool is not installed (Debian: apt-get install clang-19 llvm-19 lld-19 python3)" >&2
		exit 2
	fi
done

out=$root
if [ $mode = check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
cd "$root"

built=
# Notes a file as built, and makes its folder.
place() {
	mkdir -p "$out/$(dirname "$1")"
	built="$built $1"
}

# The flags that a source asks for; cpu v3 unless it names another.
flags_of() {
	flags=$(sed -n 's/^.*build: \(-[^*]*\).*$/\1/p' "$1" | head -n 1)
	case $flags in
	*-mcpu=*) echo "$flags" ;;
	*) echo "-mcpu=v3 $flags" ;;
	esac
}

# compile SOURCE OBJECT [FLAGS...]
compile() {
	source=$1
	object=$2
	shift 2
	place "$object"
	case $source in
	*.s) debug= ;;
	*) debug=-g ;;
	esac
	# shellcheck disable=SC2046,SC2086
	"$clang" -target bpf -O2 $debug -Wall -Wextra -Wno-unused-parameter -Werror \
		-fno-ident -fno-addrsig -Wno-unused-command-line-argument \
		-fdebug-compilation-dir=. "-ffile-prefix-map=$root=." \
		-Iguest/include $(flags_of "$source") "$@" -c "$source" -o "$out/$object"
	# DWARF goes, .BTF and .BTF.ext stay.
	"$strip" -g "$out/$object"
}

for source in tests/objects/*.bpf.c tests/objects/*.bpf.s tests/libbpf/*.bpf.c cli/tests/objects/*.bpf.[cs] examples/*/*.bpf.c \
	benches/guest/*.bpf.c; do
	[ -e "$source" ] || continue
	compile "$source" "${source%.*}.o"
done

if [ -e benches/programs/core.h ]; then
	for program in benches/programs/*.c; do
		name=$(basename "$program" .c)
		case $name in
		linux_*) continue ;;
		esac
		# No builtins: a loop stays a loop, and needs no C library.
		compile "$program" "benches/programs/$name.bpf.o" -fno-builtin '-DSECTION="raw_mem"'
		compile benches/programs/linux_entry.c "benches/programs/$name.linux.bpf.o" -fno-builtin \
			"-DPROGRAM=\"$name.c\""
		place "benches/programs/$name.wasm"
		"$clang" --target=wasm32 -O2 -fno-builtin -nostdlib -fno-ident -ffile-prefix-map="$root"=. \
			-Wl,--no-entry -Wl,--export=bench -Wl,--export=__heap_base -Wl,--export-memory -Wl,--strip-all \
			-Wl,--initial-memory=131072 -o "$out/benches/programs/$name.wasm" "$program"
		place "benches/programs/init/$name.bin"
	done
	"$python" benches/programs/gen.py "$out/benches/programs/init"
fi

place vm/model/data/builtin.btf
"$clang" -target bpf -O2 -g -mcpu=v3 -fno-ident -fno-addrsig -fdebug-compilation-dir=. \
	"-ffile-prefix-map=$root=." -c guest/builtin/kernel_types.c -o "$out/kernel_types.o"
"$objcopy" --dump-section ".BTF=$out/vm/model/data/builtin.btf" "$out/kernel_types.o" /dev/null
rm -f "$out/kernel_types.o"

place tests/objects/expect.toml
"$python" guest/expectations.py tests/objects >"$out/tests/objects/expect.toml.new"
mv "$out/tests/objects/expect.toml.new" "$out/tests/objects/expect.toml"

if [ $mode = write ]; then
	echo "guest/build.sh: $(echo "$built" | wc -w) files written"
	exit 0
fi

differing=0
for file in $built; do
	if ! cmp -s "$out/$file" "$root/$file"; then
		echo "guest/build.sh: $file differs from what its source gives" >&2
		differing=1
	fi
done
if [ $differing = 0 ]; then
	echo "guest/build.sh: $(echo "$built" | wc -w) files are as their sources give them"
fi
exit $differing
