#!/bin/sh
# Says what is missing before a make verb needs it: need.sh docker|compose|cluster PROGRAM
# For any shell, and without GNU's programs: images are built on macOS too.
set -eu
program=${2##*/} variable=DOCKER
[ "$1" != cluster ] || variable=KUBECTL

missing() {
  printf '%s\n' "$@" >&2
  exit 2
}

# As long as it takes where there is no program to end it.
answers() {
  if command -v timeout >/dev/null; then
    timeout 20 "$@" >/dev/null 2>&1
  else
    "$@" >/dev/null 2>&1
  fi
}

command -v "$2" >/dev/null || missing \
  "$program is not installed on this machine." \
  "Install it, or name it: make VERB $variable=/path/to/$program. Without it: make demo, make run."

case $1 in
docker | compose)
  answers "$2" info || missing \
    "$program is installed, but no engine answers it." \
    "Start the engine (sudo systemctl start docker, or Docker Desktop), and see that this user may use it."
  [ "$1" = docker ] || answers "$2" compose version || missing \
    "$program has no compose plugin (docker compose, 2.24 or newer)." "Install docker-compose-plugin."
  ;;
cluster)
  answers "$2" cluster-info || missing \
    "$program is installed, but no cluster answers it." \
    "Choose one (kubectl config get-contexts, kubectl config use-context NAME) and see that it runs."
  ;;
esac
