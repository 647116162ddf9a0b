-- +goose Up
-- create "registrations" table
CREATE TABLE "registrations" (
  "id" uuid NOT NULL,
  "subject_key_id" uuid NOT NULL,
  "name" bytea NOT NULL,
  "email" bytea NOT NULL,
  "password_hash" bytea NOT NULL,
  "address_hash" bytea NOT NULL,
  "locale" character varying NOT NULL DEFAULT 'en',
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
-- create index "registration_address_hash_created_at" to table: "registrations"
CREATE INDEX "registration_address_hash_created_at" ON "registrations" ("address_hash", "created_at");
-- create index "registration_expires_at" to table: "registrations"
CREATE INDEX "registration_expires_at" ON "registrations" ("expires_at");
-- create "invitations" table
CREATE TABLE "invitations" (
  "id" uuid NOT NULL,
  "subject_key_id" uuid NOT NULL,
  "email" bytea NOT NULL,
  "address_hash" bytea NOT NULL,
  "role_ids" jsonb NOT NULL,
  "inviter_id" uuid NULL,
  "locale" character varying NOT NULL DEFAULT 'en',
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "accepted_at" timestamptz NULL,
  "revoked_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "invitation_address_hash" to table: "invitations"
CREATE UNIQUE INDEX "invitation_address_hash" ON "invitations" ("address_hash") WHERE ((accepted_at IS NULL) AND (revoked_at IS NULL));
-- create "login_events" table
CREATE TABLE "login_events" (
  "id" uuid NOT NULL,
  "user_id" uuid NULL,
  "address_hash" bytea NULL,
  "outcome" character varying NOT NULL,
  "method" character varying NOT NULL,
  "ip_hash" bytea NULL,
  "at" timestamptz NOT NULL,
  PRIMARY KEY ("id")
);
-- create index "loginevent_at" to table: "login_events"
CREATE INDEX "loginevent_at" ON "login_events" ("at");
-- create index "loginevent_user_id_at" to table: "login_events"
CREATE INDEX "loginevent_user_id_at" ON "login_events" ("user_id", "at");
-- create "one_time_values" table
CREATE TABLE "one_time_values" (
  "id" uuid NOT NULL,
  "purpose" character varying NOT NULL,
  "subject_id" uuid NOT NULL,
  "token_hash" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "used_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "one_time_values_token_hash_key" to table: "one_time_values"
CREATE UNIQUE INDEX "one_time_values_token_hash_key" ON "one_time_values" ("token_hash");
-- create index "onetimevalue_expires_at" to table: "one_time_values"
CREATE INDEX "onetimevalue_expires_at" ON "one_time_values" ("expires_at");
-- create index "onetimevalue_subject_id" to table: "one_time_values"
CREATE INDEX "onetimevalue_subject_id" ON "one_time_values" ("subject_id");
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
-- create "settings" table
CREATE TABLE "settings" (
  "id" bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
  "document" jsonb NOT NULL,
  "version" bigint NOT NULL DEFAULT 1,
  "updated_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id"),
  CONSTRAINT "one_row" CHECK (id = 1)
);
-- create "subject_keys" table
CREATE TABLE "subject_keys" (
  "id" uuid NOT NULL,
  "sealed_key" bytea NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create "users" table
CREATE TABLE "users" (
  "id" uuid NOT NULL,
  "subject_key_id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "email" character varying NOT NULL,
  "email_normalized" character varying NOT NULL,
  "password_hash" character varying NOT NULL,
  "locale" character varying NOT NULL DEFAULT 'en',
  "revision" bigint NOT NULL DEFAULT 1,
  "version" bigint NOT NULL DEFAULT 1,
  "login_count" bigint NOT NULL DEFAULT 0,
  "last_login_at" timestamptz NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "updated_at" timestamptz NOT NULL DEFAULT now(),
  "deleted_at" timestamptz NULL,
  PRIMARY KEY ("id")
);
-- create index "user_created_at_id" to table: "users"
CREATE INDEX "user_created_at_id" ON "users" ("created_at", "id");
-- create index "users_email_normalized_key" to table: "users"
CREATE UNIQUE INDEX "users_email_normalized_key" ON "users" ("email_normalized");
-- create "sessions" table
CREATE TABLE "sessions" (
  "id" uuid NOT NULL,
  "authenticated_at" timestamptz NOT NULL,
  "amr" jsonb NOT NULL,
  "aal" bigint NOT NULL DEFAULT 1,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "expires_at" timestamptz NOT NULL,
  "revoked_at" timestamptz NULL,
  "user_id" uuid NOT NULL,
  PRIMARY KEY ("id"),
  CONSTRAINT "sessions_users_sessions" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "session_expires_at" to table: "sessions"
CREATE INDEX "session_expires_at" ON "sessions" ("expires_at");
-- create index "session_user_id" to table: "sessions"
CREATE INDEX "session_user_id" ON "sessions" ("user_id");
-- create "roles" table
CREATE TABLE "roles" (
  "id" uuid NOT NULL,
  "name" character varying NOT NULL,
  "builtin" boolean NOT NULL DEFAULT false,
  "permissions" jsonb NOT NULL,
  "version" bigint NOT NULL DEFAULT 1,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("id")
);
-- create index "roles_name_key" to table: "roles"
CREATE UNIQUE INDEX "roles_name_key" ON "roles" ("name");
-- create "user_roles" table
CREATE TABLE "user_roles" (
  "created_at" timestamptz NOT NULL DEFAULT now(),
  "user_id" uuid NOT NULL,
  "role_id" uuid NOT NULL,
  PRIMARY KEY ("user_id", "role_id"),
  CONSTRAINT "user_roles_roles_role" FOREIGN KEY ("role_id") REFERENCES "roles" ("id") ON UPDATE NO ACTION ON DELETE NO ACTION,
  CONSTRAINT "user_roles_users_user" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE CASCADE
);
-- create index "userrole_role_id" to table: "user_roles"
CREATE INDEX "userrole_role_id" ON "user_roles" ("role_id");
