#!/usr/bin/env bash
# Train under Slurm: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [flags of train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK, PORT and SRUN_ARGS are read from the environment.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
export MASTER_PORT=${PORT:-29500}
read -ra extra <<<"${SRUN_ARGS:-}"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec srun --partition="$1" --job-name="$2" --ntasks="$GPUS" --ntasks-per-node="$GPUS_PER_NODE" \
    --gres="gpu:$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-4}" --kill-on-bad-exit=1 "${extra[@]}" \
    "${PYTHON:-python}" -u "$tools/train.py" "$3" --launcher slurm "${@:4}"
