#!/usr/bin/env bash
# Check nstbench on a GPU machine, with or without a network: tests, speed, memory, determinism.
# Takes about 9 minutes. Run it from anywhere inside the repository:
#
#   bash tests/gpu/first_run.sh
#
# Torch must be installed. Optional inputs are read from the folder .gpu, which git ignores:
#   .gpu/weights/*.safetensors, *.pth   pretrained weights: vgg19*, squeezenet1_1*, alexnet*
#   .gpu/mirror/                        copies of the suites' images, as for --mirror
#   .gpu/photos/                        photographs for the training of feed-forward networks
#   .gpu/whl/*.whl                      wheels of missing dependencies, for example from
#       pip download --no-deps --only-binary=:all: -d .gpu/whl pydantic pydantic_core annotated-types \
#           typing-inspection pebble lpips platformdirs psutil
#
# Results are written to $OUT: summary.txt, log.txt, machine.txt, profile.txt, records.tar.gz.
#
# Environment variables:
#   NST_DEVICE  device for --device (default: cuda); NST_DEVICE=cpu NST_SMALL=1 is a dry run
#   NST_SMALL   if set, use small images and few steps
#   LIMIT       seconds for the whole script (default: 575; 1500 in a dry run)
#   INPUTS, OUT folders for inputs (default: .gpu) and results (default: .gpu/out)
#   PY          Python interpreter (default: python3)
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
ROOT=$PWD
INPUTS=${INPUTS:-$ROOT/.gpu}
OUT=${OUT:-$ROOT/.gpu/out}; mkdir -p "$OUT"
WORK=$(mktemp -d)
LIMIT=${LIMIT:-${NST_SMALL:+1500}}; LIMIT=${LIMIT:-575}
PY=${PY:-python3}
export NST_DEVICE=${NST_DEVICE:-cuda} NST_SMALL=${NST_SMALL:-} OUT WORK INPUTS PY
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export NSTBENCH_OFFLINE=1 NSTBENCH_NO_MLFLOW=1 NSTBENCH_CACHE=$WORK/cache
LOG=$OUT/log.txt; SUMMARY=$OUT/summary.txt; : >"$LOG"; : >"$SUMMARY"
FAILED=0
say() { echo "$*" | tee -a "$SUMMARY"; }

# step NAME SECONDS COMMAND...: run a command; write its output to the log, its result to the summary
step() {
    local name=$1 limit=$2; shift 2
    [ -n "$NST_SMALL" ] && ((limit *= 3))  # a CPU may be slow
    local left=$((LIMIT - SECONDS))
    if ((left < 15)); then say "== $name: skipped, no time left"; return 0; fi
    ((limit > left - 5)) && limit=$((left - 5))
    echo "===== $name" >>"$LOG"
    local start=$SECONDS
    timeout -k 5 "$limit" "$@" >"$WORK/step.txt" 2>&1
    local code=$?
    cat "$WORK/step.txt" >>"$LOG"
    say "== $name: exit code $code, $((SECONDS - start)) s (at $SECONDS s)"
    grep -E '^(# |! |FAILED|ERROR|E  |.*(passed|failed))' "$WORK/step.txt" | cut -c1-210 | head -34 | tee -a "$SUMMARY"
    if ((code != 0 && code != 3)); then  # 3: some cells failed; the lines above name them
        FAILED=1
        tail -12 "$WORK/step.txt" | cut -c1-300 | sed 's/^/    | /' | tee -a "$SUMMARY"
    fi
}
finish() {
    tar -C "$WORK" -czf "$OUT/records.tar.gz" --exclude=cache --exclude='*.png' --exclude='*.webp' \
        --exclude=fits --exclude=checkpoints --exclude=site . 2>/dev/null
    rm -rf "$WORK"
}
trap finish EXIT

# ---- the machine ---------------------------------------------------------------------------------
{
    uname -a; nproc; free -g; df -h /tmp /dev/shm; $PY --version; nvidia-smi
    nvidia-smi --query-gpu=name,memory.total,driver_version,compute_mode,clocks.max.sm,power.limit --format=csv
} >"$OUT/machine.txt" 2>&1
if ! $PY -c 'import torch' 2>>"$LOG"; then
    say "! $PY cannot import torch. Install torch, or pass another interpreter as PY=PATH."
    exit 1
fi
if ls "$INPUTS"/whl/*.whl >/dev/null 2>&1; then
    $PY -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$WORK/site" \
        "$INPUTS"/whl/*.whl >>"$LOG" 2>&1 || say "! the wheels could not be installed, see log.txt"
fi
export PYTHONPATH=$ROOT:$WORK/site${PYTHONPATH:+:$PYTHONPATH}

WEIGHTS=()
for name in vgg19 squeezenet1_1 alexnet; do
    for file in "$INPUTS"/weights/"$name"*.safetensors "$INPUTS"/weights/"$name"*.pth; do
        [ -f "$file" ] && { WEIGHTS+=(--weights "$name=$file"); break; }
    done
done
MIRROR=(); [ -d "$INPUTS/mirror" ] && MIRROR=(--mirror "$INPUTS/mirror")

# nst OUT SUITE OPTIONS...: run a suite and print a line for each of its variants
nst() {
    local out=$1 suite=$2; shift 2
    $PY -m nstbench run "$suite" --out "$out" --device "$NST_DEVICE" "$@"
    local code=$?
    $PY tests/gpu/summarize.py "$out"
    return $code
}
export -f nst

# ---- tests and pieces ----------------------------------------------------------------------------
step "doctor" 40 bash -c '"$PY" -m nstbench doctor --offline --device "$NST_DEVICE" --out "$WORK/none" "$@" | sed "s/^/# /"; exit "${PIPESTATUS[0]}"' - "${WEIGHTS[@]}" "${MIRROR[@]}"
step "smoke suite" 90 bash -c 'nst "$WORK/smoke" suites/smoke.yaml'
if [ "$NST_DEVICE" = cpu ]; then
    step "tests on the CPU" 110 $PY -m pytest -q -x --no-header -p no:cacheprovider tests/methods/test_cuda_graphs.py
else
    step "tests on the GPU" 110 $PY -m pytest -q -x --no-header -p no:cacheprovider -m gpu tests
fi
step "precision, methods, profile" 200 $PY tests/gpu/pieces.py

# ---- suites --------------------------------------------------------------------------------------
# suite NAME ENCODER SIZES: print the head of a suite with two contents and two styles
suite() {
    printf 'version: 1\nname: %s\nencoder: %s\nsizes: %s\n' "$1" "$2" "$3"
    printf 'contents: {coffee: {builtin: coffee}, chelsea: {builtin: chelsea}}\n'
    printf 'styles: {hubble: {builtin: hubble_deep_field}, brick: {builtin: brick}}\n'
}
one_pair='exclude: [{content: chelsea}, {style: brick}]'
SIZES='[512, 1024]'; SIZE='[512]'; STEPS=300; LARGE='[4096, 256]'; HUGE='[8192]'; BITS=30; TRAINING=8
[ -n "$NST_SMALL" ] && { SIZES='[64]'; SIZE='[64]'; STEPS=6; LARGE='[64]'; HUGE='[64]'; BITS=3; TRAINING=1; }
{
    suite gatys auto "$SIZES"
    printf 'exclude: [{content: chelsea}]\nmethods:\n  gatys: {params: {iterations: %s}, axes: {optimizer: [lbfgs, adam]}}\n' $STEPS
    printf 'metrics: [ssim, lpips, content_loss, style_loss, gram_distance]\n'
} >"$WORK/gatys.yaml"
{
    suite batch auto "$SIZE"
    printf 'methods:\n  gatys: {params: {iterations: %s}}\nmetrics: []\n' $STEPS
} >"$WORK/batch.yaml"
{
    suite memory random "$LARGE"
    printf '%s\nmethods:\n  gatys: {params: {iterations: 3, history: 700, scaling: uniform}}\nmetrics: []\n' "$one_pair"
} >"$WORK/memory.yaml"
{
    suite huge random "$HUGE"
    printf '%s\nmethods: {identity: }\nmetrics: []\n' "$one_pair"
} >"$WORK/huge.yaml"
{
    suite bits random "[64]"
    printf '%s\nmethods:\n' "$one_pair"
    printf '  gatys: {params: {iterations: %s}, axes: {pooling: [max, avg], optimizer: [lbfgs, adam]}}\n' $BITS
    printf '  johnson: {params: {width: 0.5, steps: %s, batch_size: 2}, axes: {norm: [instance, batch], padding: [reflect, replicate, zero], interpolation: [nearest, bilinear]}}\n' $TRAINING
    printf 'metrics: []\n'
} >"$WORK/bits.yaml"

step "gatys" 75 bash -c 'nst "$WORK/gatys" "$WORK/gatys.yaml" "$@"' - "${WEIGHTS[@]}"
step "out of memory, then a small cell" 75 bash -c 'nst "$WORK/memory" "$WORK/memory.yaml"'
step "8192 px" 45 bash -c 'nst "$WORK/huge" "$WORK/huge.yaml"'
step "deterministic, first run" 60 bash -c 'nst "$WORK/bits1" "$WORK/bits.yaml" --deterministic'
step "deterministic, second run" 60 bash -c 'nst "$WORK/bits2" "$WORK/bits.yaml" --deterministic'
step "deterministic, comparison" 20 $PY tests/gpu/summarize.py "$WORK/bits1" "$WORK/bits2"
step "batches of four" 45 bash -c 'nst "$WORK/batch4" "$WORK/batch.yaml" --batch-cells 4 "$@"' - "${WEIGHTS[@]}"
step "the same cells one by one" 45 bash -c 'nst "$WORK/batch1" "$WORK/batch.yaml" "$@"' - "${WEIGHTS[@]}"
SET=(--set gatys.iterations=200 --set johnson.steps=150 --set 'contents=[coffee,tubingen]' --set 'styles=[starry-night,seated-nude]')
[ -n "$NST_SMALL" ] && SET+=(--set 'sizes=[64]' --set gatys.iterations=4 --set johnson.steps=2)
step "artists suite, shortened" 150 bash -c 'sed "/^profiles:/,\$d" suites/artists.yaml >"$WORK/artists.yaml"; nst "$WORK/artists" "$WORK/artists.yaml" "$@"' - "${WEIGHTS[@]}" "${MIRROR[@]}" "${SET[@]}"
say "== end at $SECONDS s"
exit $FAILED
