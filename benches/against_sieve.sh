#!/bin/sh
# Compares linjevei with Dovecot Pigeonhole on the same messages and the same keyword rules. Installs sieve-filter when it is missing.
set -eu
cd "$(dirname "$0")/.."
if ! command -v sieve-filter >/dev/null; then
    if [ "$(id -u)" -eq 0 ]; then elevate=; else elevate=sudo; fi
    $elevate apt-get update
    $elevate apt-get install --yes --no-install-recommends dovecot-sieve
fi
exec cargo bench --bench rules -- against-sieve
