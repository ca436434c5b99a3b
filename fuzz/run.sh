#!/usr/bin/env bash
# Builds and runs a fuzz target with the stable toolchain.
#
#   fuzz/run.sh TARGET SECONDS [LIBFUZZER OPTIONS...]   fuzzes; new inputs go to fuzz/found/TARGET, failures to fuzz/artifacts/TARGET
#   fuzz/run.sh --build                                 builds all targets
#   fuzz/run.sh --replay                                runs the kept corpus through all targets
#   fuzz/run.sh --keep TARGET                           adds to the kept corpus the few inputs of fuzz/found/TARGET that reach the most
#
# SEED=N repeats a run. Coverage comes from the compiler's own sanitizer pass, which a stable compiler has but keeps behind
# RUSTC_BOOTSTRAP. There is no address sanitizer: compiled programs would not be instrumented, and the code arena reserves address
# space where the sanitizer keeps its shadow.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
targets=(btf codec elf_run embedding engines host_api open_object throw_unwind unproven verify)
build_dir=${CARGO_TARGET_DIR:-$here/../target}/fuzz
bin=$build_dir/release

build() {
	local flags="-Cpasses=sancov-module
		-Cllvm-args=-sanitizer-coverage-level=4
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters
		-Cllvm-args=-sanitizer-coverage-pc-table
		-Cllvm-args=-sanitizer-coverage-trace-compares
		-Ccodegen-units=16 -Cdebug-assertions --cfg fuzzing"
	# `--target` keeps the flags away from build scripts and procedural macros.
	local host
	host=$(rustc -vV | sed -n 's/^host: //p')
	bin=$build_dir/$host/release
	(
		cd "$here"
		RUSTC_BOOTSTRAP=1 RUSTFLAGS=$(echo $flags) CARGO_TARGET_DIR=$build_dir \
			cargo build --release --quiet -p backstop-fuzz --bins --target "$host"
	)
}

# Limits of one input: seconds and MiB.
limits=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024)

known() {
	local target
	for target in "${targets[@]}"; do
		[ "$target" = "$1" ] && return 0
	done
	echo "fuzz/run.sh: no target \`$1\`; there are: ${targets[*]}" >&2
	exit 2
}

case ${1-} in
'' | -h | --help)
	sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 2
	;;
--build)
	build
	;;
--replay)
	build
	for target in "${targets[@]}"; do
		echo "== $target: $(find "$here/corpus/$target" -type f | wc -l) kept inputs"
		"$bin/$target" "${limits[@]}" -runs=0 "$here/corpus/$target" 2>&1 | tail -n 2
	done
	;;
--keep)
	known "${2-}"
	build
	control=$(mktemp)
	sink=$(mktemp -d)
	trap 'rm -rf "$control" "$sink"' EXIT
	rm "$control"
	"$bin/$2" "${limits[@]}" -merge=1 -merge_control_file="$control" "$sink" "$here/corpus/$2" "$here/found/$2" 2>&1 | tail -n 2
	python3 "$here/keep.py" "$control" "$here/corpus/$2" "${KEEP_FILES:-60}" "${KEEP_BYTES:-36000}"
	;;
*)
	known "$1"
	target=$1
	seconds=${2:?how many seconds?}
	shift 2
	build
	mkdir -p "$here/found/$target" "$here/artifacts/$target"
	seed=${SEED:-$((RANDOM * 32768 + RANDOM + 1))}
	echo "== $target: seed $seed, $seconds s (SEED=$seed fuzz/run.sh $target $seconds)"
	"$bin/$target" "${limits[@]}" -seed="$seed" -max_total_time="$seconds" -print_final_stats=1 -len_control=10 -max_len=${MAX_LEN:-4096} \
		-artifact_prefix="$here/artifacts/$target/" "$@" \
		"$here/found/$target" "$here/corpus/$target"
	;;
esac
