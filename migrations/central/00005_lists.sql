-- +goose Up
-- Text that lists sort and filter by compares by its bytes (see the tenant's).
ALTER TABLE "tenants"
  ALTER COLUMN "slug" TYPE character varying COLLATE "C",
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "hook_sources"
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "operator_keys"
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "operations"
  ALTER COLUMN "kind" TYPE character varying COLLATE "C",
  ALTER COLUMN "reason" TYPE character varying COLLATE "C";
-- create index "operatorkey_expires_at_id" to table: "operator_keys"
CREATE INDEX "operatorkey_expires_at_id" ON "operator_keys" ("expires_at", "id");
-- create index "tenant_name_id" to table: "tenants"
CREATE INDEX "tenant_name_id" ON "tenants" ("name", "id");
-- By hand: null sorts as infinity, so that one row comparison finds a place.
CREATE INDEX "tenant_activated_at_id" ON "tenants" (coalesce("activated_at", 'infinity'), "id");
