#!/usr/bin/env bash
# Runs doctor and bench on this machine's GPU and leaves JSON in a folder: what to send when comparing machines.
#
#     benches/gpu.sh DIR [MODEL.gguf]
#
# Without a model the one inside the binary is measured. TL_BACKEND and TL_ADAPTER choose the device.
set -euo pipefail
out=${1:?usage: benches/gpu.sh DIR [MODEL.gguf]}
model=${2:-}
mkdir -p "$out"
cd "$(dirname "$0")/.."
cargo build --release --locked
tl="${CARGO_TARGET_DIR:-target}/release/tl"
"$tl" devices > "$out/devices.txt"
"$tl" doctor --json > "$out/doctor.json"
"$tl" bench ${model:+"$model"} --json > "$out/bench.json"
"$tl" bench ${model:+"$model"} --kernels --json > "$out/kernels.json"
echo "wrote $out/devices.txt doctor.json bench.json kernels.json"
