# Sourced by dist_train.sh and dist_test.sh.

# Usage: launch TOOL CONFIG PROCESSES [arguments]
launch() {
    if [ $# -lt 3 ]; then
        sed -n '2,3s/^# //p' "$0" >&2
        exit 2
    fi
    local tools root python rendezvous
    tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
    root="$(dirname "$tools")"
    # An activated environment wins; else the one that uv made in the project; else whatever python is.
    if [ -z "${VIRTUAL_ENV:-}" ] && [ -x "$root/.venv/bin/python" ]; then
        python="$root/.venv/bin/python"
    else
        python="python"
    fi
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
        rendezvous=(--standalone)
    else
        rendezvous=(--nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}"
            --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}")
    fi
    exec "${PYTHON:-$python}" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node "$3" \
        "$tools/$1" "$2" "${@:4}" --launcher pytorch
}
