# shellcheck shell=bash
# What the scripts that start containers have in common; to be sourced in the checkout.

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Take the lines of .env for which there is no variable.
read_env_file() {
    local line name
    [ -f .env ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        [[ "$line" =~ ^[[:space:]]*(export[[:space:]]+)?(ELEPHANT_[A-Z_]+)=(.*)$ ]] || continue
        name=${BASH_REMATCH[2]}
        [ -n "${!name+set}" ] || export "$name=$(unquoted "${BASH_REMATCH[3]}")"
    done <.env
}
unquoted() {
    if [[ "$1" =~ ^\"(.*)\"$ || "$1" =~ ^\'(.*)\'$ ]]; then printf '%s' "${BASH_REMATCH[1]}"; else printf '%s' "$1"; fi
}

# Say whether an NVIDIA GPU is there and wanted; a person is told where one is missing.
has_gpu() {
    local wanted=${ELEPHANT_GPU-all}
    [ -n "$wanted" ] && [ "$wanted" != none ] || return 1
    nvidia-smi -L >/dev/null 2>&1 && return 0
    say "No NVIDIA GPU is to be seen on this machine: the server runs on the CPU." >&2
    return 1
}
