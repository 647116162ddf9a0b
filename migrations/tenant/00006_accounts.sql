-- +goose Up
-- modify "one_time_values" table
ALTER TABLE "one_time_values" ADD COLUMN "successor_id" uuid NULL, ADD COLUMN "successor" bytea NULL;
-- drop index "session_user_id" from table: "sessions"
DROP INDEX "session_user_id";
-- modify "sessions" table
ALTER TABLE "sessions" ADD COLUMN "device" character varying NOT NULL DEFAULT '', ADD COLUMN "last_used_at" timestamptz NOT NULL DEFAULT now();
-- create index "session_user_id_created_at_id" to table: "sessions"
CREATE INDEX "session_user_id_created_at_id" ON "sessions" ("user_id", "created_at", "id");
-- create index "session_user_id_last_used_at_id" to table: "sessions"
CREATE INDEX "session_user_id_last_used_at_id" ON "sessions" ("user_id", "last_used_at", "id");
-- modify "users" table
ALTER TABLE "users" ADD COLUMN "address_hash" bytea NULL, ADD COLUMN "password_short" boolean NOT NULL DEFAULT false, ADD COLUMN "password_locked" boolean NOT NULL DEFAULT false, ADD COLUMN "second_factor" boolean NOT NULL DEFAULT false, ADD COLUMN "factor_due_at" timestamptz NULL, ADD COLUMN "device_epoch" bigint NOT NULL DEFAULT 1;
-- create index "users_address_hash_key" to table: "users"
CREATE UNIQUE INDEX "users_address_hash_key" ON "users" ("address_hash");
-- create "login_counters" table
CREATE TABLE "login_counters" (
  "id" uuid NOT NULL,
  "kind" character varying NOT NULL,
  "subject_hash" bytea NOT NULL,
  "user_id" uuid NULL,
  "failures" bigint NOT NULL DEFAULT 0,
  "blocked_until" timestamptz NULL,
  "updated_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create index "logincounter_subject_hash_kind" to table: "login_counters"
CREATE UNIQUE INDEX "logincounter_subject_hash_kind" ON "login_counters" ("subject_hash", "kind");
-- create index "logincounter_updated_at" to table: "login_counters"
CREATE INDEX "logincounter_updated_at" ON "login_counters" ("updated_at");
-- create index "logincounter_user_id" to table: "login_counters"
CREATE INDEX "logincounter_user_id" ON "login_counters" ("user_id");
-- create "magic_links" table
CREATE TABLE "magic_links" (
  "id" uuid NOT NULL,
  "address_hash" bytea NOT NULL,
  "user_id" uuid NULL,
  "challenge" bytea NOT NULL,
  "code_hash" bytea NOT NULL,
  "tries" bigint NOT NULL DEFAULT 0,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "approved_at" timestamptz NULL,
  "exchanged_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "magiclink_expires_at" to table: "magic_links"
CREATE INDEX "magiclink_expires_at" ON "magic_links" ("expires_at");
-- create "backup_codes" table
CREATE TABLE "backup_codes" (
  "id" uuid NOT NULL,
  "row" character varying NOT NULL,
  "code_hash" character varying NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "used_at" timestamptz NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "backup_codes_users_backup_codes" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "backupcode_user_id_row" to table: "backup_codes"
CREATE UNIQUE INDEX "backupcode_user_id_row" ON "backup_codes" ("user_id", "row");
-- create "email_changes" table
CREATE TABLE "email_changes" (
  "id" uuid NOT NULL,
  "old_email" bytea NOT NULL,
  "new_email" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "confirmed_at" timestamptz NULL,
  "undone_at" timestamptz NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "email_changes_users_email_changes" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "emailchange_expires_at" to table: "email_changes"
CREATE INDEX "emailchange_expires_at" ON "email_changes" ("expires_at");
-- create index "emailchange_user_id" to table: "email_changes"
CREATE INDEX "emailchange_user_id" ON "email_changes" ("user_id");
-- create "factor_resets" table
CREATE TABLE "factor_resets" (
  "id" uuid NOT NULL,
  "requester_id" uuid NOT NULL,
  "confirmer_id" uuid NULL,
  "by_operator" boolean NOT NULL DEFAULT false,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "confirmed_at" timestamptz NULL,
  "cancelled_at" timestamptz NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "factor_resets_users_factor_resets" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "factorreset_created_at_id" to table: "factor_resets"
CREATE INDEX "factorreset_created_at_id" ON "factor_resets" ("created_at", "id");
-- create index "factorreset_user_id" to table: "factor_resets"
CREATE INDEX "factorreset_user_id" ON "factor_resets" ("user_id");
-- create "mfa_challenges" table
CREATE TABLE "mfa_challenges" (
  "id" uuid NOT NULL,
  "revision" bigint NOT NULL,
  "amr" jsonb NOT NULL,
  "enrolling" boolean NOT NULL DEFAULT false,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "mfa_challenges_users_challenges" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "mfachallenge_expires_at" to table: "mfa_challenges"
CREATE INDEX "mfachallenge_expires_at" ON "mfa_challenges" ("expires_at");
-- create index "mfachallenge_user_id" to table: "mfa_challenges"
CREATE INDEX "mfachallenge_user_id" ON "mfa_challenges" ("user_id");
-- create "totp_factors" table
CREATE TABLE "totp_factors" (
  "id" uuid NOT NULL,
  "secret" bytea NOT NULL,
  "last_step" bigint NOT NULL DEFAULT 0,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "confirmed_at" timestamptz NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "totp_factors_users_totp_factor" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "totp_factors_user_id_key" to table: "totp_factors"
CREATE UNIQUE INDEX "totp_factors_user_id_key" ON "totp_factors" ("user_id");
