#!/bin/sh
# Everything that is to be measured on a machine with an NVIDIA GPU, in one
# command: `sh benches/cuda.sh GOLDEN [PYTHON]`.
#
# GOLDEN is a golden folder (frontend/ and models/, see docs/ast-model.md).
# PYTHON has a CUDA build of torch 2.11, transformers, safetensors and numpy;
# without it the peer is left out of the comparison.
set -eu

golden=${1:?"name a golden folder: sh benches/cuda.sh GOLDEN [PYTHON]"}
python=${2:-}
out=target/bench/cuda
mkdir -p "$out"

# The table on standard output and in a file; the exit code is the command's.
keep() {
    file=$1
    shift
    "$@" >"$out/$file"
    cat "$out/$file"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/machine.csv"
cargo xtask libtorch --cuda
keep parity.md cargo xtask parity --golden "$golden" --device cuda
if [ -n "$python" ]; then
    keep step.md cargo xtask bench-peers step --device cuda --python "$python"
fi
keep quick.txt cargo xtask bench-all --profile quick -- --device cuda
cp target/bench/quick/report.html target/bench/quick/report.md "$out"
