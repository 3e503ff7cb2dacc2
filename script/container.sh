#!/usr/bin/env bash
# The server in a container: what the Makefile's targets of the same names do.
#
# usage: script/container.sh build | rebuild | launch | stop | bash | bashroot
#
# Settings are variables, or lines NAME=value of a file .env in the checkout; the variable wins. All that begin with
# ELEPHANT_ go into the container. These matter here:
#   ELEPHANT_DOCKER       how Docker is called (docker); "sudo docker" where your user may not
#   ELEPHANT_IMAGE_NAME   name of the image and of the container (elephant-server)
#   ELEPHANT_TORCH        cuda, or cpu for an image without CUDA that is some GB smaller (cuda)
#   ELEPHANT_BASE         image to begin with (debian:bookworm-slim)
#   ELEPHANT_WORKSPACE    folder of datasets, models and logs (workspace in the checkout)
#   ELEPHANT_GPU          all, an index, a list (0,1), or empty for none (all; none where there is none)
#   ELEPHANT_BIND_ADDRESS address of this machine on which the ports are published (127.0.0.1)
#   ELEPHANT_TLS_CERT, ELEPHANT_TLS_KEY, ELEPHANT_TOKEN_FILE   files of this machine, which are mounted
#   ELEPHANT_HTTP_PORT, ELEPHANT_RABBITMQ_NODE_PORT (8080, 5672)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=script/environment.sh
source script/environment.sh
read_env_file
read -ra DOCKER <<<"${ELEPHANT_DOCKER:-docker}"
NAME=${ELEPHANT_IMAGE_NAME:-elephant-server}
WORKSPACE=${ELEPHANT_WORKSPACE:-workspace}
ADDRESS=${ELEPHANT_BIND_ADDRESS:-127.0.0.1}
HTTP_PORT=${ELEPHANT_HTTP_PORT:-8080}
RABBITMQ_PORT=${ELEPHANT_RABBITMQ_NODE_PORT:-5672}

need_docker() {
    command -v "${DOCKER[0]}" >/dev/null ||
        fail "Docker is not installed: see https://docs.docker.com/engine/install/, or run the server without it: make serve"
}

build() {
    need_docker
    "${DOCKER[@]}" build --build-arg "TORCH=${ELEPHANT_TORCH:-cuda}" \
        --build-arg "BASE=${ELEPHANT_BASE:-debian:bookworm-slim}" -t "$NAME" "$@" .
}

has_image() { "${DOCKER[@]}" image inspect "$NAME" >/dev/null 2>&1; }
is_running() { [ -n "$("${DOCKER[@]}" ps -q --filter "name=^$NAME\$")" ]; }

# The GPUs as Docker wants to hear of them; nothing where there is none.
gpu_options() {
    has_gpu || return 0
    printf '%s\n' --gpus
    if [ "${ELEPHANT_GPU-all}" = all ]; then printf 'all\n'; else printf '"device=%s"\n' "$ELEPHANT_GPU"; fi
}

# What the server in the container gets: in a file, so that no password is in the list of processes.
environment() {
    local name
    for name in $(compgen -v ELEPHANT_); do
        case $name in
            ELEPHANT_DOCKER | ELEPHANT_IMAGE_NAME | ELEPHANT_TORCH | ELEPHANT_BASE | ELEPHANT_WORKSPACE) ;;
            ELEPHANT_TLS_CERT | ELEPHANT_TLS_KEY | ELEPHANT_TOKEN_FILE)
                [ -z "${!name}" ] || printf '%s=/run/elephant/%s\n' "$name" "${name,,}" ;;
            ELEPHANT_HOME | ELEPHANT_RUN_DIR | ELEPHANT_GPU | ELEPHANT_BIND_ADDRESS) ;;
            *) printf '%s=%s\n' "$name" "${!name}" ;;
        esac
    done
    # Docker has chosen the GPUs already: all that are to be seen inside are meant.
    printf 'ELEPHANT_GPU=%s\n' "$1"
    printf 'ELEPHANT_BIND_ADDRESS=%s\n' "$ADDRESS"
    printf 'LOCAL_UID=%s\nLOCAL_GID=%s\n' "${LOCAL_UID:-$(id -u)}" "${LOCAL_GID:-$(id -g)}"
}

# The files that settings name, as Docker mounts them: read only, where `environment` says.
mounted_files() {
    local name
    for name in ELEPHANT_TLS_CERT ELEPHANT_TLS_KEY ELEPHANT_TOKEN_FILE; do
        [ -n "${!name:-}" ] || continue
        [ -f "${!name}" ] || fail "$name: ${!name} is no file."
        printf -- '--volume\n%s:/run/elephant/%s:ro\n' "$(realpath "${!name}")" "${name,,}"
    done
}

launch() {
    local gpu file files mounts terminal=()
    need_docker
    [ -z "${ELEPHANT_ROLES:-}${ELEPHANT_CLUSTER_ADDRESS:-}" ] ||
        fail "ELEPHANT_ROLES and ELEPHANT_CLUSTER_ADDRESS are for servers on several machines, which Compose starts: \
docs/how-to/cluster.md"
    has_image || build
    ! is_running || fail "The container $NAME is running already; make stop ends it."
    mkdir -p "$WORKSPACE"
    mapfile -t gpu < <(gpu_options)
    mounts=$(mounted_files)
    mapfile -t files < <(printf '%s' "$mounts")
    file=$(mktemp)
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -f '$file'" EXIT
    environment "${gpu[*]:+all}" >"$file"
    [ ! -t 0 ] || terminal=(-it)
    "${DOCKER[@]}" run --rm --init "${terminal[@]}" --name "$NAME" "${gpu[@]}" --env-file "$file" \
        --publish "$ADDRESS:$HTTP_PORT:$HTTP_PORT" --publish "$ADDRESS:$RABBITMQ_PORT:$RABBITMQ_PORT" \
        --volume "$(realpath "$WORKSPACE"):/workspace" "${files[@]}" "$NAME"
}

stop() {
    need_docker
    is_running || fail "The container $NAME is not running."
    "${DOCKER[@]}" stop --time 60 "$NAME" >/dev/null
    say "The container $NAME is stopped."
}

enter() {
    need_docker
    is_running || fail "The container $NAME is not running; make launch starts it."
    "${DOCKER[@]}" exec -it --user "$1" "$NAME" bash
}

case ${1:-} in
    build) build ;;
    rebuild) build --no-cache --pull ;;
    launch) launch ;;
    stop) stop ;;
    bash) enter "$(id -u):$(id -g)" ;;
    bashroot) enter 0:0 ;;
    *) fail "usage: script/container.sh build | rebuild | launch | stop | bash | bashroot" ;;
esac
