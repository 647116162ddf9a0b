#!/usr/bin/env bash
# Fetches the packages of the TypeScript client into its git-ignored folder, as
# its lockfile names them, and with "build" compiles it. Does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/../clients/typescript"
if ! command -v npm >/dev/null; then
  echo "npm is missing: installing it with apt-get" >&2
  apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null
fi
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --silent
  cp package-lock.json node_modules/.installed
fi
if [ "${1:-}" = build ]; then
  rm -rf dist && node_modules/.bin/tsc
fi
