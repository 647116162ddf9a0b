-- +goose Up
-- modify "tenants" table
ALTER TABLE "tenants" ADD COLUMN "max_users" bigint NOT NULL DEFAULT 0;
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
