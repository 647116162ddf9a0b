-- +goose Up
-- By hand: what ent cannot say.
ALTER TABLE "signing_keys"
  ADD CONSTRAINT "signing_keys_times" CHECK ("retired_at" IS NULL OR "expires_at" IS NOT NULL AND "expires_at" >= "retired_at");
