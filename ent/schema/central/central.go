// Package central is the schema of the central database: the installation,
// its tenants, operators and hooks. Nothing of a tenant's people stays here.
package central

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"

	"tenantry/ent/annotations"
	"tenantry/ent/schema/shared"
)

// Installation is the one row that names this installation.
type Installation struct{ ent.Schema }

// Fields of the installation.
func (Installation) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").MaxLen(12).Immutable().Comment("in every role, database and template name"),
		field.Bytes("data_key").Comment("sealed under the key-encryption key"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
	}
}

// Annotations names the table.
func (Installation) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("installation")}
}

// Tenant is an organization, from reservation to purge.
type Tenant struct{ ent.Schema }

// Fields of a tenant.
func (Tenant) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("slug").Unique().Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("name").Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("state").Default("reserved").Comment("reserved, provisioning, failing, active, suspended or resuming").
			Annotations(annotations.Listed().Filter("reserved", "provisioning", "failing", "active", "suspended", "resuming")),
		field.Bytes("data_key").Comment("sealed under the key-encryption key"),
		field.String("database_name").Unique(),
		field.String("role_name").Unique(),
		field.Bytes("role_password").Comment("sealed under the data key").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Int64("credential_revision").Default(1),
		field.Bytes("owner_email").Optional().Nillable().
			Comment("sealed under the data key; wiped once the invitation is written").
			Annotations(annotations.Personally(annotations.Sealed)),
		field.JSON("initial_settings", map[string]any{}),
		field.Int("max_users").Default(0).Comment("what operators want the limit to be; 0: none").Annotations(annotations.Listed()),
		field.UUID("operation_id", uuid.UUID{}).Immutable(),
		field.String("workflow_id").Default(""),
		field.Int64("schema_version").Default(0).Annotations(annotations.Listed().Filter()),
		field.String("schema_error").Default("").Comment("code of the last failed migration"),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("activated_at").Optional().Nillable().Annotations(annotations.Listed().Filter().Sort()),
	}
}

// Edges of a tenant.
func (Tenant) Edges() []ent.Edge {
	return []ent.Edge{edge.To("signing_keys", SigningKey.Type).Annotations(entsql.OnDelete(entsql.Cascade))}
}

// Indexes of tenants.
func (Tenant) Indexes() []ent.Index {
	return []ent.Index{index.Fields("created_at", "id"), index.Fields("name", "id"), index.Fields("state")}
}

// Annotations names the table.
func (Tenant) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("tenants")} }

// SigningKey signs a tenant's access tokens (A5).
type SigningKey struct{ ent.Schema }

// Fields of a signing key.
func (SigningKey) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Comment("the kid"),
		field.UUID("tenant_id", uuid.UUID{}).Immutable(),
		field.Bytes("public_key").Immutable().Comment("Ed25519, 32 bytes"),
		field.Bytes("private_key").Immutable().Comment("Ed25519 seed, sealed under the data key").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("activates_at").Default(time.Now).Immutable().Comment("signs from then on; published before, so that every verifier knows it").
			Annotations(shared.Now()),
		field.Time("expires_at").Optional().Nillable().Comment("verifies no more: the last token it signed has expired"),
		field.Time("retired_at").Optional().Nillable().Comment("signs no more"),
	}
}

// Edges of a signing key.
func (SigningKey) Edges() []ent.Edge {
	return []ent.Edge{edge.From("tenant", Tenant.Type).Ref("signing_keys").Field("tenant_id").Unique().Required().Immutable()}
}

// Indexes of signing keys.
func (SigningKey) Indexes() []ent.Index { return []ent.Index{index.Fields("tenant_id")} }

// Annotations names the table.
func (SigningKey) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("signing_keys")}
}

// HookSource is an external system that may provision (T4).
type HookSource struct{ ent.Schema }

// Fields of a hook source.
func (HookSource) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("name").Unique().Immutable().Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("callback_url").Default("").Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
	}
}

// Indexes of hook sources.
func (HookSource) Indexes() []ent.Index { return []ent.Index{index.Fields("created_at", "id")} }

// Annotations names the table.
func (HookSource) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("hook_sources")}
}

// HookSecret signs a source's messages; several may be live.
type HookSecret struct{ ent.Schema }

// Fields of a hook secret.
func (HookSecret) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("source_id", uuid.UUID{}).Immutable(),
		field.Bytes("secret").Immutable().Comment("sealed under the installation's data key").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("retired_at").Optional().Nillable(),
	}
}

// Indexes of hook secrets.
func (HookSecret) Indexes() []ent.Index { return []ent.Index{index.Fields("source_id")} }

// Annotations names the table.
func (HookSecret) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("hook_secrets")}
}

// HookReceipt remembers a message so that its repetition gets its answer.
type HookReceipt struct{ ent.Schema }

// Fields of a hook receipt.
func (HookReceipt) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("source_id", uuid.UUID{}).Immutable(),
		field.String("message_id").Immutable(),
		field.Bytes("body_hash").Immutable().Comment("HMAC of the raw body: it holds an address"),
		field.UUID("operation_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.String("refusal").Default("").Immutable().Comment("the reason, when the answer was a refusal"),
		field.Time("received_at").Default(time.Now).Immutable().Annotations(shared.Now()),
	}
}

// Indexes of hook receipts.
func (HookReceipt) Indexes() []ent.Index {
	return []ent.Index{index.Fields("source_id", "message_id").Unique(), index.Fields("received_at")}
}

// Annotations names the table.
func (HookReceipt) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("hook_receipts")}
}

// OperatorKey opens the central API (A15).
type OperatorKey struct{ ent.Schema }

// Fields of an operator key.
func (OperatorKey) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("name").Unique().Immutable().Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.Bytes("secret_hash").Immutable().Comment("SHA-256 of 256 random bits").
			Annotations(annotations.Personally(annotations.Secret)),
		field.JSON("scopes", []string{}).Annotations(annotations.Listed()),
		field.UUID("source_id", uuid.UUID{}).Optional().Nillable().Immutable().
			Comment("reads only this hook source's operations"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("expires_at").Immutable().Annotations(annotations.Listed().Filter().Sort()),
		field.Time("revoked_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
	}
}

// Indexes of operator keys.
func (OperatorKey) Indexes() []ent.Index {
	return []ent.Index{index.Fields("created_at", "id"), index.Fields("expires_at", "id")}
}

// Annotations names the table.
func (OperatorKey) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("operator_keys")}
}

// OutboxDirty marks the tenants whose outbox may hold something (W1).
type OutboxDirty struct{ ent.Schema }

// Fields of a mark.
func (OutboxDirty) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("tenant_id").Immutable(),
		field.Time("until"),
	}
}

// Indexes of marks.
func (OutboxDirty) Indexes() []ent.Index { return []ent.Index{index.Fields("until")} }

// Annotations names the table.
func (OutboxDirty) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("outbox_dirty")}
}

// Outbox of the central database.
type Outbox struct{ ent.Schema }

// Mixin shares the shape.
func (Outbox) Mixin() []ent.Mixin { return []ent.Mixin{shared.Outbox{}} }

// Annotations names the table.
func (Outbox) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("outbox")} }

// Operation of the central database.
type Operation struct{ ent.Schema }

// Mixin shares the shape.
func (Operation) Mixin() []ent.Mixin { return []ent.Mixin{shared.Operation{}} }

// Annotations names the table.
func (Operation) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("operations")}
}

// Audit log of the central database; it survives a purge.
type Audit struct{ ent.Schema }

// Mixin shares the shape.
func (Audit) Mixin() []ent.Mixin { return []ent.Mixin{shared.Audit{}} }

// Annotations names the table.
func (Audit) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("audit_log")}
}

// IdempotencyMark of the central database.
type IdempotencyMark struct{ ent.Schema }

// Mixin shares the shape.
func (IdempotencyMark) Mixin() []ent.Mixin { return []ent.Mixin{shared.IdempotencyMark{}} }

// Annotations names the table.
func (IdempotencyMark) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("idempotency_marks")}
}
