-- +goose Up
-- Text that lists sort and filter by compares by its bytes: the same order on
-- every server, for ever, and prefixes can use an index.
ALTER TABLE "users"
  ALTER COLUMN "name" TYPE character varying COLLATE "C",
  ALTER COLUMN "email" TYPE character varying COLLATE "C";
ALTER TABLE "roles"
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "api_keys"
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "service_accounts"
  ALTER COLUMN "name" TYPE character varying COLLATE "C";
ALTER TABLE "operations"
  ALTER COLUMN "kind" TYPE character varying COLLATE "C",
  ALTER COLUMN "reason" TYPE character varying COLLATE "C";
-- One index for every order of the list.
-- create index "apikey_name_id" to table: "api_keys"
CREATE INDEX "apikey_name_id" ON "api_keys" ("name", "id");
-- create index "serviceaccount_name_id" to table: "service_accounts"
CREATE INDEX "serviceaccount_name_id" ON "service_accounts" ("name", "id");
-- create index "serviceaccount_updated_at_id" to table: "service_accounts"
CREATE INDEX "serviceaccount_updated_at_id" ON "service_accounts" ("updated_at", "id");
-- create index "user_email_id" to table: "users"
CREATE INDEX "user_email_id" ON "users" ("email", "id");
-- create index "user_login_count_id" to table: "users"
CREATE INDEX "user_login_count_id" ON "users" ("login_count", "id");
-- create index "user_name_id" to table: "users"
CREATE INDEX "user_name_id" ON "users" ("name", "id");
-- create index "user_updated_at_id" to table: "users"
CREATE INDEX "user_updated_at_id" ON "users" ("updated_at", "id");
-- By hand: null sorts as infinity, so that one row comparison finds a place.
CREATE INDEX "apikey_expires_at_id" ON "api_keys" (coalesce("expires_at", 'infinity'), "id");
CREATE INDEX "apikey_last_used_at_id" ON "api_keys" (coalesce("last_used_at", 'infinity'), "id");
CREATE INDEX "user_last_login_at_id" ON "users" (coalesce("last_login_at", 'infinity'), "id");
CREATE INDEX "user_deleted_at_id" ON "users" (coalesce("deleted_at", 'infinity'), "id");
-- By hand: the search (U7). internal/users has the same expressions, and a
-- test that Postgres takes these indexes for them.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX "user_search_words" ON "users" USING gin (
  to_tsvector('simple', translate("name" || ' ' || "email", '@.+-_/\''":&~#,;!?()[]{}<>=*%$|^`', repeat(' ', 32))));
CREATE INDEX "user_search_text" ON "users" USING gin (("name" || ' ' || "email") gin_trgm_ops);
