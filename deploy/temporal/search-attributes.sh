#!/bin/sh
# Registers the search attributes Tenantry's workflows set. Safe to repeat. The
# namespace appears a little after the server is healthy, hence the tries.
set -eu
tries=60
until temporal operator namespace describe --namespace default >/dev/null 2>&1; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "the default namespace did not appear" >&2; exit 1; }
  sleep 1
done
for name in TenantryTenant TenantryOperation TenantryKind; do
  if ! temporal operator search-attribute list --namespace default | grep -q "$name"; then
    temporal operator search-attribute create --namespace default --name "$name" --type Keyword
  fi
done
