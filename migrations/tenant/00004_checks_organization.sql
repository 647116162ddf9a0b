-- +goose Up
-- By hand: what ent cannot say.
ALTER TABLE "audit_log"
  DROP CONSTRAINT "audit_log_actor_kind",
  ADD CONSTRAINT "audit_log_actor_kind" CHECK ("actor_kind" IN ('user', 'api_key', 'operator', 'hook', 'system', 'anonymous'));
ALTER TABLE "roles"
  ADD CONSTRAINT "roles_version" CHECK ("version" > 0);
ALTER TABLE "service_accounts"
  ADD CONSTRAINT "service_accounts_version" CHECK ("version" > 0);
ALTER TABLE "api_keys"
  ADD CONSTRAINT "api_keys_version" CHECK ("version" > 0),
  -- A key that belongs to nobody would outlive its owner's rights.
  ADD CONSTRAINT "api_keys_owner" CHECK (num_nonnulls("user_id", "service_account_id") = 1),
  ADD CONSTRAINT "api_keys_hashes" CHECK (octet_length("secret_hash") = 32 AND octet_length("previous_hash") = 32),
  ADD CONSTRAINT "api_keys_overlap" CHECK (("previous_hash" IS NULL) = ("previous_expires_at" IS NULL));
ALTER TABLE "idempotency_marks"
  ADD CONSTRAINT "idempotency_marks_hashes" CHECK (octet_length("scope") = 32 AND octet_length("fingerprint") = 32);
