#!/usr/bin/env bash
# Does with plain processes what Apptainer does with containers, as far as the server can tell: an environment of its
# own, the sections of the definition, a home and a folder for passing files, and instances that are listed and stopped.
# An image is a folder: an installation that its user cannot write, and the definition.
#
# Needs STAND_IN (folder of instances) and STAND_IN_PYTHON (folder of the Python that stands for the image's).
set -euo pipefail

section() {
    awk -v name="%$1" '/^%/ { on = ($1 == name); next } on' "$IMAGE/elephant.def" |
        sed "s#/opt/elephant/.venv/bin#$STAND_IN_PYTHON#g; s#/opt/elephant#$IMAGE#g"
}

# Become a command, or a section, in an environment in which nothing of the caller's is left.
inside() {
    mkdir -p "$WORKDIR/tmp" "$WORKDIR/home"
    local script
    script=$(section environment; printf 'set -a\n. %q\nset +a\ncd /\n' "$VARIABLES"; printf '%s\n' "$1")
    shift
    exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$WORKDIR/home" TMPDIR="$WORKDIR/tmp" bash -c "$script" inside "$@"
}

WORDS=()
CLEAN=""
parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --cleanenv) CLEAN=yes ;;
            --contain | --nv) ;;
            --workdir) WORKDIR=$2; shift ;;
            --env-file) VARIABLES=$2; shift ;;
            --bind | --pwd | --signal | --timeout) shift ;;
            --*) echo "no such option: $1" >&2; exit 255 ;;
            *) WORDS=("$@"); return ;;
        esac
        shift
    done
}
alive() { kill -0 "$(cat "$STAND_IN/$1.pid" 2>/dev/null)" 2>/dev/null; }

case "$1 $2" in
    "instance start")
        shift 2; parse "$@"
        IMAGE=$(realpath "${WORDS[0]}") NAME=${WORDS[1]}
        [ -n "$CLEAN" ]
        # The file of variables is gone when the start has returned.
        cp "$VARIABLES" "$STAND_IN/$NAME.env"; VARIABLES=$STAND_IN/$NAME.env
        printf '%s\n' "$IMAGE" >"$STAND_IN/$NAME.image"; printf '%s\n' "$WORKDIR" >"$STAND_IN/$NAME.workdir"
        (inside "$(section startscript)") >"$STAND_IN/$NAME.out" 2>&1 </dev/null &
        echo $! >"$STAND_IN/$NAME.pid" ;;
    "instance list")
        echo "INSTANCE NAME    PID    IP    IMAGE"
        ! alive "$3" || echo "$3    $(cat "$STAND_IN/$3.pid")    image" ;;
    "instance stop")
        name=${*: -1}
        [ "$3 $4" = "--signal SIGTERM" ]
        kill -TERM "$(cat "$STAND_IN/$name.pid")"
        while alive "$name"; do sleep 0.2; done ;;
    "exec "*)
        shift; parse "$@"
        NAME=${WORDS[0]#instance://}
        alive "$NAME"
        IMAGE=$(cat "$STAND_IN/$NAME.image") WORKDIR=$(cat "$STAND_IN/$NAME.workdir")
        inside '"$@"' "${WORDS[@]:1}" ;;
    "run "*)
        shift; parse "$@"
        IMAGE=$(realpath "${WORDS[0]}")
        inside "$(section runscript)" ;;
    *) echo "not known: $*" >&2; exit 255 ;;
esac
