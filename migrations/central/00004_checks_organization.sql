-- +goose Up
-- By hand: what ent cannot say.
ALTER TABLE "tenants"
  DROP CONSTRAINT "tenants_state",
  ADD CONSTRAINT "tenants_state" CHECK ("state" IN ('reserved', 'provisioning', 'failing', 'active', 'suspended', 'resuming')),
  ADD CONSTRAINT "tenants_max_users" CHECK ("max_users" BETWEEN 0 AND 1000000);
-- The limit lived in the initial settings only.
UPDATE "tenants" SET "max_users" = coalesce(("initial_settings"->>'max_users')::bigint, 0);
ALTER TABLE "audit_log"
  DROP CONSTRAINT "audit_log_actor_kind",
  ADD CONSTRAINT "audit_log_actor_kind" CHECK ("actor_kind" IN ('user', 'api_key', 'operator', 'hook', 'system', 'anonymous'));
ALTER TABLE "idempotency_marks"
  ADD CONSTRAINT "idempotency_marks_hashes" CHECK (octet_length("scope") = 32 AND octet_length("fingerprint") = 32);
