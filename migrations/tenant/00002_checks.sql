-- +goose Up
-- By hand: what ent cannot say. A state nobody knows is refused by the
-- database, whoever writes it.
ALTER TABLE "users"
  ADD CONSTRAINT "users_counts" CHECK ("revision" > 0 AND "version" > 0 AND "login_count" >= 0);
ALTER TABLE "sessions"
  ADD CONSTRAINT "sessions_aal" CHECK ("aal" BETWEEN 1 AND 3);
ALTER TABLE "invitations"
  ADD CONSTRAINT "invitations_end" CHECK ("accepted_at" IS NULL OR "revoked_at" IS NULL);
ALTER TABLE "login_events"
  ADD CONSTRAINT "login_events_outcome" CHECK ("outcome" IN ('success', 'failure'));
ALTER TABLE "one_time_values"
  -- SHA-256: a token itself never lands here.
  ADD CONSTRAINT "one_time_values_token_hash" CHECK (octet_length("token_hash") = 32);
ALTER TABLE "operations"
  ADD CONSTRAINT "operations_state" CHECK ("state" IN ('pending', 'running', 'succeeded', 'failed')),
  ADD CONSTRAINT "operations_ended" CHECK (("state" IN ('succeeded', 'failed')) = ("ended_at" IS NOT NULL));
ALTER TABLE "outbox"
  ADD CONSTRAINT "outbox_kind" CHECK ("kind" IN ('event', 'mail', 'start')),
  ADD CONSTRAINT "outbox_attempts" CHECK ("attempts" >= 0);
ALTER TABLE "audit_log"
  ADD CONSTRAINT "audit_log_actor_kind" CHECK ("actor_kind" IN ('user', 'operator', 'hook', 'system', 'anonymous'));
