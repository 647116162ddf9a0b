-- +goose Up
-- create index "signingkey_tenant_id" to table: "signing_keys"
CREATE INDEX "signingkey_tenant_id" ON "signing_keys" ("tenant_id");
