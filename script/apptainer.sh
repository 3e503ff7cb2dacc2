#!/usr/bin/env bash
# The server with Apptainer, without root: what the Makefile's targets apptainer-... do. docs/how-to/hpc.md
#
# usage: script/apptainer.sh build | start | stop | run | access
#
# `start` starts it in the background and returns when it answers; `run` stays, as a job of a scheduler wants it.
# Settings are variables, or lines NAME=value of a file .env in the checkout; the variable wins. All that begin with
# ELEPHANT_ go into the container, and nothing else of this machine's environment. These matter here:
#   ELEPHANT_APPTAINER      how Apptainer is called (apptainer); singularity is the same by another name
#   ELEPHANT_SIF            the image's file (elephant.sif)
#   ELEPHANT_INSTANCE       name of what runs in the background (elephant)
#   ELEPHANT_TORCH          cuda, or cpu for an image without CUDA that is some GB smaller (cuda)
#   ELEPHANT_BASE           image to begin with (debian:bookworm-slim)
#   ELEPHANT_WORKSPACE      folder of datasets, models and logs (workspace in the checkout)
#   ELEPHANT_GPU            all, an index, a list (0,1), or empty for none (all; none where there is none)
#   ELEPHANT_HTTP_PORT, ELEPHANT_RABBITMQ_NODE_PORT, ELEPHANT_REDIS_PORT, ELEPHANT_RABBITMQ_CLUSTER_PORT
#                           ports of this machine (8080, 5672, 6379, 5673)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=script/environment.sh
source script/environment.sh

read_env_file
read -ra APPTAINER <<<"${ELEPHANT_APPTAINER:-apptainer}"
SIF=${ELEPHANT_SIF:-elephant.sif}
NAME=${ELEPHANT_INSTANCE:-elephant}
START_SECONDS=180
STOP_SECONDS=60
PRIVATE=""

need_apptainer() {
    command -v "${APPTAINER[0]}" >/dev/null ||
        fail "Apptainer is not installed: see https://apptainer.org/docs/admin/main/installation.html, ask for the \
cluster's module, or run the server without it: make serve"
}

build() {
    need_apptainer
    "${APPTAINER[@]}" build --build-arg "TORCH=${ELEPHANT_TORCH:-cuda}" \
        --build-arg "BASE=${ELEPHANT_BASE:-debian:bookworm-slim}" "$@" "$SIF" elephant.def
}

# Others have accounts on such machines, too: those who may use this server know its token.
make_token() {
    local file=$1
    [ ! -s "$file" ] || return 0
    (umask 077; head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' >"$file.new" && mv "$file.new" "$file")
}

# Find the folders that the container sees, and make what is missing.
prepare() {
    need_apptainer
    mkdir -p "${ELEPHANT_WORKSPACE:-workspace}/.run"
    WORKSPACE=$(realpath "${ELEPHANT_WORKSPACE:-workspace}")
    [ -n "${ELEPHANT_TOKEN:-}${ELEPHANT_TOKEN_FILE:-}" ] || make_token "$WORKSPACE/.run/token"
    # What is passing stays on this machine: sockets cannot be on every network file system.
    SCRATCH=${TMPDIR:-/tmp}/elephant-$(id -u)-$NAME
    mkdir -m 700 "$SCRATCH" 2>/dev/null || [ -O "$SCRATCH" ] ||
        fail "$SCRATCH is another user's: set TMPDIR to a folder of yours."
    # In a file, so that no password is in the list of processes.
    PRIVATE=$(mktemp)
    trap 'rm -f "$PRIVATE"' EXIT
    environment >"$PRIVATE"
    options
}

# What the server gets.
environment() {
    local name
    for name in $(compgen -v ELEPHANT_); do
        case $name in
            ELEPHANT_APPTAINER | ELEPHANT_SIF | ELEPHANT_INSTANCE | ELEPHANT_TORCH | ELEPHANT_BASE) ;;
            ELEPHANT_HOME | ELEPHANT_WORKSPACE | ELEPHANT_TOKEN_FILE | ELEPHANT_TLS_CERT | ELEPHANT_TLS_KEY) ;;
            *) assign "$name" "${!name}" ;;
        esac
    done
    assign ELEPHANT_WORKSPACE "$WORKSPACE"
    # Redis and RabbitMQ have passwords, since others may be on this machine.
    assign ELEPHANT_CLUSTER_ADDRESS "${ELEPHANT_CLUSTER_ADDRESS:-127.0.0.1}"
    if [ -n "${ELEPHANT_TOKEN_FILE:-}" ]; then
        assign ELEPHANT_TOKEN_FILE "$(realpath "$ELEPHANT_TOKEN_FILE")"
    elif [ -z "${ELEPHANT_TOKEN:-}" ]; then
        assign ELEPHANT_TOKEN_FILE "$WORKSPACE/.run/token"
    fi
    for name in ELEPHANT_TLS_CERT ELEPHANT_TLS_KEY; do
        [ -z "${!name:-}" ] || assign "$name" "$(realpath "${!name}")"
    done
    # What a scheduler has chosen for this job.
    for name in CUDA_VISIBLE_DEVICES OMP_NUM_THREADS; do
        [ -z "${!name+set}" ] || assign "$name" "${!name}"
    done
}
assign() { printf "%s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }

# How the container is made: it sees the workspace, and of this machine's files nothing else.
options() {
    local name
    OPTIONS=(--cleanenv --contain --workdir "$SCRATCH" --pwd / --bind "$WORKSPACE" --env-file "$PRIVATE")
    for name in ELEPHANT_TLS_CERT ELEPHANT_TLS_KEY ELEPHANT_TOKEN_FILE; do
        [ -n "${!name:-}" ] || continue
        [ -f "${!name}" ] || fail "$name: ${!name} is no file."
        OPTIONS+=(--bind "$(realpath "${!name}"):$(realpath "${!name}"):ro")
    done
    ! has_gpu || OPTIONS+=(--nv)
}

is_running() { "${APPTAINER[@]}" instance list "$NAME" 2>/dev/null | awk 'NR > 1 {print $1}' | grep -qxF "$NAME"; }
inside() { "${APPTAINER[@]}" exec --cleanenv --env-file "$PRIVATE" --pwd / "instance://$NAME" "$@"; }

start() {
    local deadline=$((SECONDS + START_SECONDS))
    prepare
    [ -e "$SIF" ] || build
    ! is_running || fail "The instance $NAME is running already; make apptainer-stop ends it."
    "${APPTAINER[@]}" instance start "${OPTIONS[@]}" "$SIF" "$NAME"
    until inside python -m elephant_server.deploy.health >/dev/null 2>&1; do
        is_running || fail "The server has ended; ~/.apptainer/instances/logs has what it said."
        [ "$SECONDS" -lt "$deadline" ] || fail "It does not answer after $START_SECONDS s; $WORKSPACE/.run has its logs."
        sleep 1
    done
    say "Serving on http://localhost:${ELEPHANT_HTTP_PORT:-8080}/ as the instance $NAME; make apptainer-stop ends it."
    say "What to enter into the client, token and all: make apptainer-access"
}

stop() {
    need_apptainer
    is_running || fail "The instance $NAME is not running."
    "${APPTAINER[@]}" instance stop --signal SIGTERM --timeout "$STOP_SECONDS" "$NAME" >/dev/null
    rm -rf "${TMPDIR:-/tmp}/elephant-$(id -u)-$NAME"
    say "The instance $NAME is stopped."
}

run() {
    prepare
    [ -e "$SIF" ] || build
    "${APPTAINER[@]}" run "${OPTIONS[@]}" "$SIF" &
    # The shell passes on what asks it to end, and waits for the server to do so.
    trap 'kill -TERM $! 2>/dev/null' TERM INT
    local status=0
    wait $! || status=$?
    while kill -0 $! 2>/dev/null; do wait $! || status=$?; done
    rm -rf "$SCRATCH"
    return "$status"
}

access() {
    prepare
    is_running || fail "The instance $NAME is not running; make apptainer-start starts it."
    inside python -m elephant_server.deploy --access
}

case ${1:-} in
    build) shift; build "$@" ;;
    start) start ;;
    stop) stop ;;
    run) run ;;
    access) access ;;
    *) fail "usage: script/apptainer.sh build | start | stop | run | access" ;;
esac
