#!/usr/bin/env bash
# Test on several processes: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of test.py]
# One machine: a free port is chosen. Several: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
launch test.py "$1" "$3" "$2" "${@:4}"
