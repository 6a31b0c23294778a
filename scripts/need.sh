#!/usr/bin/env bash
# Says what is missing before a make verb needs it: need.sh docker|compose|cluster PROGRAM
set -euo pipefail
program=${2##*/}

missing() {
  printf '%s\n' "$@" >&2
  exit 2
}

command -v "$2" >/dev/null || missing \
  "$program is not installed on this machine." \
  "Install it, or name it: make VERB ${program^^}=/path/to/$program. Without it: make demo, make run."
case $1 in
docker | compose)
  timeout 20 "$2" info >/dev/null 2>&1 || missing \
    "$program is installed, but no engine answers it." \
    "Start the engine (sudo systemctl start docker, or Docker Desktop), and see that this user may use it."
  ;;&
compose)
  "$2" compose version >/dev/null 2>&1 || missing \
    "$program has no compose plugin (docker compose, 2.24 or newer)." "Install docker-compose-plugin."
  ;;
cluster)
  timeout 20 "$2" cluster-info >/dev/null 2>&1 || missing \
    "$program is installed, but no cluster answers it." \
    "Choose one (kubectl config get-contexts, kubectl config use-context NAME) and see that it runs."
  ;;
esac
