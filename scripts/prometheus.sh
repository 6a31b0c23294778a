#!/usr/bin/env bash
# Prints the folder that has prometheus and promtool: an installed one, or one fetched from the system's packages into .cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  dirname "$(command -v promtool)"
  exit
fi
folder=$PWD/.cache/prometheus
if [[ ! -x $folder/usr/bin/promtool ]]; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo "There is no prometheus on this machine, and no apt-get to fetch it with: install Prometheus 2.42 or newer." >&2
    exit 2
  }
  aside=$(mktemp -d)
  trap 'rm -rf "$aside"' EXIT
  cd "$aside"
  apt-get download -qq prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq prometheus; } >&2
  dpkg -x prometheus_*.deb tree
  mkdir -p "${folder%/*}"
  rm -rf "$folder"
  mv tree "$folder"
fi
echo "$folder/usr/bin"
