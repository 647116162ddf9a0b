#!/usr/bin/env bash
# Fetches the third-party protos that api/proto imports into the git-ignored
# folder .third_party/proto, so that generation and lint work offline after.
set -euo pipefail
cd "$(dirname "$0")/.."
out=.third_party/proto
stamp=$out/.google-proto-files-6.0.1.protovalidate-1.2.2
[ -e "$stamp" ] && exit 0
if ! command -v npm >/dev/null; then
  echo "npm is missing: installing it with apt-get" >&2
  apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null
fi
rm -rf .third_party && mkdir -p "$out/google/api" "$out/buf/validate"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$tmp" && npm pack --silent google-proto-files@6.0.1 >/dev/null && tar xzf google-proto-files-6.0.1.tgz)
cp "$tmp"/package/google/api/{annotations,http}.proto "$out/google/api/"
dir=$(go mod download -json github.com/bufbuild/protovalidate@v1.2.2 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp "$dir"/proto/protovalidate/buf/validate/validate.proto "$out/buf/validate/"
touch "$stamp"
