-- +goose Up
-- By hand: what ent cannot say.
ALTER TABLE "login_events"
  DROP CONSTRAINT "login_events_outcome",
  ADD CONSTRAINT "login_events_outcome" CHECK ("outcome" IN ('success', 'failure', 'challenge', 'blocked'));
ALTER TABLE "users"
  ADD CONSTRAINT "users_address_hash" CHECK (octet_length("address_hash") = 32),
  ADD CONSTRAINT "users_device_epoch" CHECK ("device_epoch" > 0);
ALTER TABLE "one_time_values"
  ADD CONSTRAINT "one_time_values_successor" CHECK (("successor" IS NULL) = ("successor_id" IS NULL) AND ("successor" IS NULL OR "used_at" IS NOT NULL));
ALTER TABLE "login_counters"
  ADD CONSTRAINT "login_counters_kind" CHECK ("kind" IN ('stranger', 'known', 'mfa')),
  ADD CONSTRAINT "login_counters_subject_hash" CHECK (octet_length("subject_hash") = 32),
  -- 100 is the most that an account takes; nothing counts on from there.
  ADD CONSTRAINT "login_counters_failures" CHECK ("failures" BETWEEN 0 AND 100);
ALTER TABLE "totp_factors"
  ADD CONSTRAINT "totp_factors_last_step" CHECK ("last_step" >= 0);
ALTER TABLE "magic_links"
  ADD CONSTRAINT "magic_links_hashes" CHECK (octet_length("challenge") = 32 AND octet_length("code_hash") = 32 AND octet_length("address_hash") = 32),
  ADD CONSTRAINT "magic_links_tries" CHECK ("tries" BETWEEN 0 AND 5);
ALTER TABLE "factor_resets"
  ADD CONSTRAINT "factor_resets_end" CHECK ("confirmed_at" IS NULL OR "cancelled_at" IS NULL),
  -- Two people agree; asking and confirming is never one's own.
  ADD CONSTRAINT "factor_resets_two" CHECK ("confirmer_id" IS NULL OR "by_operator" OR ("confirmer_id" <> "requester_id" AND "confirmer_id" <> "user_id")),
  ADD CONSTRAINT "factor_resets_confirmed" CHECK (("confirmed_at" IS NULL) = ("confirmer_id" IS NULL));
