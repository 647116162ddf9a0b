-- +goose Up
-- By hand: what ent cannot say. A state nobody knows is refused by the
-- database, whoever writes it.
CREATE UNIQUE INDEX "installation_only_row" ON "installation" ((true));
ALTER TABLE "installation"
  ADD CONSTRAINT "installation_id" CHECK ("id" ~ '^[a-z0-9]{6}$');
ALTER TABLE "tenants"
  ADD CONSTRAINT "tenants_state" CHECK ("state" IN ('reserved', 'provisioning', 'failing', 'active')),
  -- A host label (RFC 1035) of at most 63 characters: the product asks for more.
  ADD CONSTRAINT "tenants_slug" CHECK ("slug" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  -- These names reach CREATE and DROP: one tenant, one name, no quoting games.
  ADD CONSTRAINT "tenants_database_name" CHECK ("database_name" ~ '^tn_[a-z0-9]{6}_t_[0-9a-f]{32}$'
    AND right("database_name", 32) = replace("id"::text, '-', '')),
  ADD CONSTRAINT "tenants_role_name" CHECK ("role_name" = "database_name"),
  ADD CONSTRAINT "tenants_versions" CHECK ("version" > 0 AND "credential_revision" > 0 AND "schema_version" >= 0);
ALTER TABLE "signing_keys"
  ADD CONSTRAINT "signing_keys_public_key" CHECK (octet_length("public_key") = 32);
ALTER TABLE "operations"
  ADD CONSTRAINT "operations_state" CHECK ("state" IN ('pending', 'running', 'succeeded', 'failed')),
  ADD CONSTRAINT "operations_ended" CHECK (("state" IN ('succeeded', 'failed')) = ("ended_at" IS NOT NULL));
ALTER TABLE "outbox"
  ADD CONSTRAINT "outbox_kind" CHECK ("kind" IN ('event', 'mail', 'start')),
  ADD CONSTRAINT "outbox_attempts" CHECK ("attempts" >= 0);
ALTER TABLE "audit_log"
  ADD CONSTRAINT "audit_log_actor_kind" CHECK ("actor_kind" IN ('user', 'operator', 'hook', 'system', 'anonymous'));
