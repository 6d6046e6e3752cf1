#!/usr/bin/env bash
# Writes down what a node is and how it does, for those who are asked for help: no payloads, no secrets.
#
#   scripts/engram_diagnostics.sh [OUT] --config node.toml     or     --node URL
#
# OUT is a directory that is not there yet; its name is the last line of what is printed.
# ENGRAFT names the binary; without it, `engraft` is looked for in PATH, then in this checkout's target directory.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
engraft="${ENGRAFT:-}"
if [[ -z $engraft ]]; then
    for found in "$(command -v engraft || true)" "$here/target/release/engraft" "$here/target/debug/engraft"; do
        if [[ -n $found && -x $found ]]; then
            engraft="$found"
            break
        fi
    done
fi
if [[ -z $engraft ]]; then
    echo "error: there is no engraft in PATH; set ENGRAFT to the binary" >&2
    exit 1
fi

if [[ $# -gt 0 && $1 != -* ]]; then
    out="$1"
    shift
else
    out="engraft-diagnostics-$(hostname)-$(date -u +%Y%m%dT%H%M%SZ)"
fi
exec "$engraft" diagnostics "$out" "$@"
