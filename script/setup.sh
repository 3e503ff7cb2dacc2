#!/usr/bin/env bash
# Set up what the server needs: the virtual environment .venv and the pinned packages. It does only what is missing,
# and nothing in well under a second.
#
# usage: script/setup.sh [--stack] [--dev]
#   --stack   adds the services of the whole stack, from the distribution (Debian, Ubuntu)
#   --dev     adds what the tests and checks need, and the services where they can be installed without asking
#
# PYTHON chooses the interpreter (3.11 or newer). pip's own variables are honoured, such as PIP_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
VENV=.venv
DEV="" STACK=""
for option in "$@"; do
    case $option in
        --dev) DEV="-dev" ;;
        --stack) STACK=yes ;;
        *) printf 'usage: script/setup.sh [--stack] [--dev]\n' >&2; exit 2 ;;
    esac
done

say() { printf '%s\n' "$*"; }
SERVICES="" # the process that installs them, beside pip
fail() {
    printf 'Cannot set up: %s\n' "$*" >&2
    [ -z "$SERVICES" ] || wait "$SERVICES" || true # dpkg is not left alone, half-way
    exit 1
}

# Two at a time, as `make serve` and `make test` in two terminals, run one after the other.
exec 9<script/setup.sh
! command -v flock >/dev/null || flock 9 # macOS has none

# --- Debian's packages ------------------------------------------------------------------------------------------

# Run as root where that needs no password; say so where it does.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

# Install packages without starting what they bring: the server runs its own copies, on its own ports.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    apt_install "$@" || { as_root apt-get update -q && apt_install "$@"; } || status=$?
    if [ -n "$(trap -p EXIT)" ]; then
        as_root rm -f "$policy"
        trap - EXIT
    fi
    return "$status"
}
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# The services that were just installed would start with the machine and take the ports.
keep_stopped() {
    command -v systemctl >/dev/null || return 0
    local service
    for service in redis-server rabbitmq-server nginx; do
        [[ " $* " == *" ${service%-server}"* ]] && as_root systemctl disable -q "$service" 2>/dev/null || true
    done
}

missing_services() {
    command -v redis-server >/dev/null || printf 'redis-server '
    command -v rabbitmq-server >/dev/null || printf 'rabbitmq-server '
    command -v nginx >/dev/null || printf 'nginx-light '
}

# They are installed while pip installs its packages: dpkg and pip take a minute each, one core and the disk.
install_services() {
    # shellcheck disable=SC2086 # a list
    install_quietly $1 || fail "apt-get could not install $1"
    # shellcheck disable=SC2086
    keep_stopped $1
}

wait_for_services() {
    local process=$SERVICES
    SERVICES=""
    [ -z "$process" ] || wait "$process" || exit 1 # it has said why
}

set_up_services() {
    local packages
    packages=$(missing_services)
    [ -n "$packages" ] || return 0
    if ! may_install; then
        [ -n "$STACK" ] || { say "Tests of the whole stack will be left out, for want of: $packages"; return 0; }
        fail "these are not installed: $packages
Install them, keep the copies that start by themselves from taking the ports, then try again:
    sudo apt-get install --no-install-recommends $packages
    sudo systemctl disable --now redis-server rabbitmq-server nginx"
    fi
    say "Installing $packages..."
    install_services "$packages" &
    SERVICES=$!
}

# --- Python -----------------------------------------------------------------------------------------------------

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_new_enough "$candidate"; then command -v "$candidate"; return 0; fi
    done
    return 1
}

make_venv() {
    if [ -x "$VENV/bin/python" ] && is_new_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    local python version
    python=$(find_python) || fail "Python 3.11 or newer is not installed. On Debian 12, Ubuntu 24.04 or newer:
    sudo apt-get install python3 python3-venv
on Ubuntu 22.04:
    sudo apt-get install python3.11 python3.11-venv"
    if ! can_make_venv "$python"; then
        version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        may_install || fail "$python cannot make virtual environments. Install what it lacks, then try again:
    sudo apt-get install $version        (or python3-venv)"
        say "Installing $version ..."
        wait_for_services # dpkg does one thing at a time
        install_quietly "$version" || fail "apt-get could not install $version"
    fi
    say "Making the virtual environment $VENV with $python ..."
    "$python" -m venv --clear "$VENV"
}

# Packages' own tests, and what PyTorch compiles and exports networks with.
HARDLY_IMPORTED='site-packages/(.*/)?(tests?|_internal|_inductor|_dynamo|onnx|sympy|networkx|sqlalchemy)/'

hint_about_torch() {
    [ ! -e /dev/nvidia0 ] && ! command -v nvidia-smi >/dev/null || return 0
    "$VENV/bin/python" -m pip config list | grep -E 'extra-index-url|find-links' >/dev/null && return 0
    say "There is no NVIDIA GPU here, and by default PyTorch brings several GB of CUDA along. The smaller build without:
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make serve"
}

install_packages() {
    hint_about_torch
    say "Installing the pinned packages ..."
    local more=()
    [ -z "$DEV" ] || more+=(-r requirements-dev.txt)
    [ -t 1 ] || more+=(-q) # the progress is for a person
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-compile -c constraints.txt \
        -e ./elephant-models -e ./elephant-core -e ./app "${more[@]}" || fail "pip could not install the packages; its last lines say why"
    # pip compiles on one core. What is hardly ever imported, a third, is compiled when it is. Some packages bring files
    # for other versions of Python, which cannot be compiled.
    "$VENV/bin/python" -m compileall -qq -j 0 -x "$HARDLY_IMPORTED" "$VENV/lib" || true
}

# What the environment was made from; another Python, a moved checkout or a changed pin makes it anew.
fingerprint() {
    { pwd; readlink -f "$VENV/bin/python" || true
      cat constraints.txt elephant-models/pyproject.toml elephant-core/pyproject.toml app/pyproject.toml requirements-dev.txt docs/requirements.txt; } | cksum
}

set_up_packages() {
    local stamp now
    now=$(fingerprint)
    for stamp in "$VENV/.set-up$DEV" "$VENV/.set-up-dev"; do # what is enough for the tests is enough to serve
        [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && return 0
    done
    make_venv
    install_packages
    fingerprint >"$VENV/.set-up$DEV"
}

[ -z "$STACK$DEV" ] || set_up_services
set_up_packages
wait_for_services
