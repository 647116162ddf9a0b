-- +goose Up
-- modify "invitations" table
ALTER TABLE "invitations" ADD COLUMN "version" bigint NOT NULL DEFAULT 1;
-- create index "invitation_created_at_id" to table: "invitations"
CREATE INDEX "invitation_created_at_id" ON "invitations" ("created_at", "id");
-- create "idempotency_marks" table
CREATE TABLE "idempotency_marks" (
  "id" uuid NOT NULL,
  "scope" bytea NOT NULL,
  "fingerprint" bytea NOT NULL,
  "reply" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create index "idempotency_marks_scope_key" to table: "idempotency_marks"
CREATE UNIQUE INDEX "idempotency_marks_scope_key" ON "idempotency_marks" ("scope");
-- create index "idempotencymark_created_at" to table: "idempotency_marks"
CREATE INDEX "idempotencymark_created_at" ON "idempotency_marks" ("created_at");
-- create "service_accounts" table
CREATE TABLE "service_accounts" (
  "id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "description" character varying NOT NULL DEFAULT '',
  "version" bigint NOT NULL DEFAULT 1,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "updated_at" timestamptz NOT NULL DEFAULT now(),
  "deleted_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "serviceaccount_created_at_id" to table: "service_accounts"
CREATE INDEX "serviceaccount_created_at_id" ON "service_accounts" ("created_at", "id");
-- create index "serviceaccount_name" to table: "service_accounts"
CREATE UNIQUE INDEX "serviceaccount_name" ON "service_accounts" ("name") WHERE (deleted_at IS NULL);
-- create "api_keys" table
CREATE TABLE "api_keys" (
  "id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "creator_id" uuid NULL,
  "secret_hash" bytea NOT NULL,
  "previous_hash" bytea NULL,
  "previous_expires_at" timestamptz NULL,
  "scopes" jsonb NOT NULL,
  "allowed_networks" jsonb NOT NULL,
  "version" bigint NOT NULL DEFAULT 1,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "updated_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NULL,
  "last_used_at" timestamptz NULL,
  "revoked_at" timestamptz NULL,
  "service_account_id" uuid NULL,
  "user_id" uuid NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "api_keys_service_accounts_keys" FOREIGN KEY ("service_account_id") REFERENCES "service_accounts" ("id") ON UPDATE NO ACTION ON DELETE CASCADE,
  CONSTRAINT "api_keys_users_keys" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "apikey_created_at_id" to table: "api_keys"
CREATE INDEX "apikey_created_at_id" ON "api_keys" ("created_at", "id");
-- create index "apikey_service_account_id" to table: "api_keys"
CREATE INDEX "apikey_service_account_id" ON "api_keys" ("service_account_id");
-- create index "apikey_user_id" to table: "api_keys"
CREATE INDEX "apikey_user_id" ON "api_keys" ("user_id");
-- modify "roles" table
ALTER TABLE "roles" ADD COLUMN "description" character varying NOT NULL DEFAULT '', ADD COLUMN "updated_at" timestamptz NOT NULL DEFAULT now();
-- create index "role_created_at_id" to table: "roles"
CREATE INDEX "role_created_at_id" ON "roles" ("created_at", "id");
-- create "service_account_roles" table
CREATE TABLE "service_account_roles" (
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "service_account_id" uuid NOT NULL,
  "role_id" uuid NOT NULL,
  PRIMARY KEY ("service_account_id", "role_id"),
  CONSTRAINT "service_account_roles_roles_role" FOREIGN KEY ("role_id") REFERENCES "roles" ("id") ON UPDATE NO ACTION ON DELETE NO ACTION,
  CONSTRAINT "service_account_roles_service_accounts_service_account" FOREIGN KEY ("service_account_id") REFERENCES "service_accounts" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "serviceaccountrole_role_id" to table: "service_account_roles"
CREATE INDEX "serviceaccountrole_role_id" ON "service_account_roles" ("role_id");
