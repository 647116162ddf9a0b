-- +goose Up
-- modify "signing_keys" table
ALTER TABLE "signing_keys" ADD COLUMN "activates_at" timestamptz NOT NULL DEFAULT now(), ADD COLUMN "expires_at" timestamptz NULL;
