-- +goose Up
-- create "audit_log" table
CREATE TABLE "audit_log" (
  "id" uuid NOT NULL,
  "seq" bigint NULL,
  "at" timestamptz NOT NULL,
  "actor_kind" character varying NOT NULL,
  "actor_id" uuid NULL,
  "action" character varying NOT NULL,
  "target_kind" character varying NOT NULL,
  "target_id" uuid NULL,
  "tenant_id" uuid NULL,
  "request_id" character varying NOT NULL DEFAULT '',
  "before" jsonb NULL,
  "after" jsonb NULL,
  "mac" bytea NOT NULL,
  PRIMARY KEY ("id")
);
-- create index "audit_at_id" to table: "audit_log"
CREATE INDEX "audit_at_id" ON "audit_log" ("at", "id");
-- create index "audit_seq" to table: "audit_log"
CREATE UNIQUE INDEX "audit_seq" ON "audit_log" ("seq");
-- create "hook_receipts" table
CREATE TABLE "hook_receipts" (
  "id" uuid NOT NULL,
  "source_id" uuid NOT NULL,
  "message_id" character varying NOT NULL,
  "body_hash" bytea NOT NULL,
  "operation_id" uuid NULL,
  "refusal" character varying NOT NULL DEFAULT '',
  "received_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create index "hookreceipt_received_at" to table: "hook_receipts"
CREATE INDEX "hookreceipt_received_at" ON "hook_receipts" ("received_at");
-- create index "hookreceipt_source_id_message_id" to table: "hook_receipts"
CREATE UNIQUE INDEX "hookreceipt_source_id_message_id" ON "hook_receipts" ("source_id", "message_id");
-- create "hook_secrets" table
CREATE TABLE "hook_secrets" (
  "id" uuid NOT NULL,
  "source_id" uuid NOT NULL,
  "secret" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "retired_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "hooksecret_source_id" to table: "hook_secrets"
CREATE INDEX "hooksecret_source_id" ON "hook_secrets" ("source_id");
-- create "hook_sources" table
CREATE TABLE "hook_sources" (
  "id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "callback_url" character varying NOT NULL DEFAULT '',
  "created_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create index "hook_sources_name_key" to table: "hook_sources"
CREATE UNIQUE INDEX "hook_sources_name_key" ON "hook_sources" ("name");
-- create index "hooksource_created_at_id" to table: "hook_sources"
CREATE INDEX "hooksource_created_at_id" ON "hook_sources" ("created_at", "id");
-- create "installation" table
CREATE TABLE "installation" (
  "id" character varying NOT NULL,
  "data_key" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create "operations" table
CREATE TABLE "operations" (
  "id" uuid NOT NULL,
  "kind" character varying NOT NULL,
  "tenant_id" uuid NOT NULL,
  "workflow_id" character varying NOT NULL,
  "source_id" uuid NULL,
  "state" character varying NOT NULL DEFAULT 'pending',
  "reason" character varying NOT NULL DEFAULT '',
  "cancel_requested" boolean NOT NULL DEFAULT false,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "ended_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "operation_created_at_id" to table: "operations"
CREATE INDEX "operation_created_at_id" ON "operations" ("created_at", "id");
-- create index "operation_source_id_created_at_id" to table: "operations"
CREATE INDEX "operation_source_id_created_at_id" ON "operations" ("source_id", "created_at", "id");
-- create index "operation_tenant_id" to table: "operations"
CREATE INDEX "operation_tenant_id" ON "operations" ("tenant_id");
-- create "operator_keys" table
CREATE TABLE "operator_keys" (
  "id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "secret_hash" bytea NOT NULL,
  "scopes" jsonb NOT NULL,
  "source_id" uuid NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "revoked_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "operator_keys_name_key" to table: "operator_keys"
CREATE UNIQUE INDEX "operator_keys_name_key" ON "operator_keys" ("name");
-- create index "operatorkey_created_at_id" to table: "operator_keys"
CREATE INDEX "operatorkey_created_at_id" ON "operator_keys" ("created_at", "id");
-- create "outbox" table
CREATE TABLE "outbox" (
  "id" uuid NOT NULL,
  "kind" character varying NOT NULL,
  "name" character varying NOT NULL,
  "tenant_id" uuid NULL,
  "operation_id" uuid NULL,
  "subject_id" uuid NULL,
  "address_hash" bytea NULL,
  "locale" character varying NOT NULL DEFAULT 'en',
  "payload" jsonb NULL,
  "sealed_token" bytea NULL,
  "attempts" bigint NOT NULL DEFAULT 0,
  "last_error" character varying NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "due_at" timestamptz NOT NULL DEFAULT now(),
  "done_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "outbox_done_at" to table: "outbox"
CREATE INDEX "outbox_done_at" ON "outbox" ("done_at") WHERE (done_at IS NOT NULL);
-- create index "outbox_due_at_id" to table: "outbox"
CREATE INDEX "outbox_due_at_id" ON "outbox" ("due_at", "id") WHERE (done_at IS NULL);
-- create "outbox_dirty" table
CREATE TABLE "outbox_dirty" (
  "tenant_id" uuid NOT NULL,
  "until" timestamptz NOT NULL,
  PRIMARY KEY ("tenant_id")
);
-- create index "outboxdirty_until" to table: "outbox_dirty"
CREATE INDEX "outboxdirty_until" ON "outbox_dirty" ("until");
-- create "tenants" table
CREATE TABLE "tenants" (
  "id" uuid NOT NULL,
  "slug" character varying NOT NULL,
  "name" character varying NOT NULL,
  "state" character varying NOT NULL DEFAULT 'reserved',
  "data_key" bytea NOT NULL,
  "database_name" character varying NOT NULL,
  "role_name" character varying NOT NULL,
  "role_password" bytea NOT NULL,
  "credential_revision" bigint NOT NULL DEFAULT 1,
  "owner_email" bytea NULL,
  "initial_settings" jsonb NOT NULL,
  "operation_id" uuid NOT NULL,
  "workflow_id" character varying NOT NULL DEFAULT '',
  "schema_version" bigint NOT NULL DEFAULT 0,
  "schema_error" character varying NOT NULL DEFAULT '',
  "version" bigint NOT NULL DEFAULT 1,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "activated_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "tenant_created_at_id" to table: "tenants"
CREATE INDEX "tenant_created_at_id" ON "tenants" ("created_at", "id");
-- create index "tenant_state" to table: "tenants"
CREATE INDEX "tenant_state" ON "tenants" ("state");
-- create index "tenants_database_name_key" to table: "tenants"
CREATE UNIQUE INDEX "tenants_database_name_key" ON "tenants" ("database_name");
-- create index "tenants_role_name_key" to table: "tenants"
CREATE UNIQUE INDEX "tenants_role_name_key" ON "tenants" ("role_name");
-- create index "tenants_slug_key" to table: "tenants"
CREATE UNIQUE INDEX "tenants_slug_key" ON "tenants" ("slug");
-- create "signing_keys" table
CREATE TABLE "signing_keys" (
  "id" uuid NOT NULL,
  "public_key" bytea NOT NULL,
  "private_key" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "retired_at" timestamptz NULL,
  "tenant_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "signing_keys_tenants_signing_keys" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "signingkey_tenant_id" to table: "signing_keys"
CREATE INDEX "signingkey_tenant_id" ON "signing_keys" ("tenant_id");
