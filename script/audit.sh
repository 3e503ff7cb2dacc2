#!/usr/bin/env bash
# Look for known vulnerabilities in the pinned packages, with pip-audit in an environment of its own.
#
# It asks a database on the network. Where that cannot be reached, or does not know a package, it says so and ends with 2: then
# nothing was found out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

AUDIT=.venv/audit
if [ ! -x "$AUDIT/bin/pip-audit" ]; then
    .venv/bin/python -m venv "$AUDIT"
    "$AUDIT/bin/python" -m pip install -q --disable-pip-version-check pip-audit || {
        printf 'Cannot audit: pip-audit could not be installed. It needs a network.\n' >&2
        exit 2
    }
fi

# Strict: a package that the database does not know counts as not looked at, and not as fine.
status=0
output=$("$AUDIT/bin/pip-audit" --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off 2>&1) || status=$?
printf '%s\n' "$output"
if [ "$status" != 0 ] && ! grep -q 'Found .* known vulnerabilit' <<<"$output"; then
    printf 'Cannot audit: the database of vulnerabilities was not reached, or does not know all packages.\n' >&2
    exit 2
fi
exit "$status"
