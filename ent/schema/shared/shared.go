// Package shared holds the tables that have one shape in the central and in
// every tenant database: outbox, operations, idempotency marks and the audit
// log.
package shared

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"entgo.io/ent/schema/mixin"
	"github.com/google/uuid"

	"tenantry/ent/annotations"
)

// Table names a table.
func Table(name string) schema.Annotation { return entsql.Annotation{Table: name} }

// Now is the column default of creation times.
func Now() schema.Annotation { return entsql.DefaultExpr("now()") }

// Bytewise makes a text column compare by its bytes, on every server alike:
// lists sort and filter by it (docs/decisions/0006).
func Bytewise() schema.Annotation { return entsql.Annotation{Collation: "C"} }

// Outbox rows are what must happen after a commit: written only in the
// transaction of their change (W1).
type Outbox struct{ mixin.Schema }

// Fields of an outbox row.
func (Outbox) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("kind").Comment("event, mail or start").Immutable(),
		field.String("name").Comment("workflow name, mail template or event type").Immutable(),
		field.UUID("tenant_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.UUID("operation_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.UUID("subject_id", uuid.UUID{}).Optional().Nillable().Immutable().
			Comment("what the row is about: a registration, an invitation, a user"),
		field.Bytes("address_hash").Optional().Nillable().Immutable().
			Annotations(annotations.Personally(annotations.Pseudonym)),
		field.String("locale").Default("en").Immutable(),
		field.JSON("payload", map[string]any{}).Optional().Comment("ids and public facts only"),
		field.Bytes("sealed_token").Optional().Nillable().
			Annotations(annotations.Personally(annotations.Secret)),
		field.Int("attempts").Default(0),
		field.String("last_error").Optional().Comment("a code, never a text of the other side"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(Now()),
		field.Time("due_at").Default(time.Now).Annotations(Now()),
		field.Time("done_at").Optional().Nillable(),
	}
}

// Indexes of the outbox: the relay reads what is due and open.
func (Outbox) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("due_at", "id").Annotations(entsql.IndexWhere("done_at IS NULL")),
		index.Fields("done_at").Annotations(entsql.IndexWhere("done_at IS NOT NULL")),
	}
}

// Operation rows stand for workflow-backed calls (E11).
type Operation struct{ mixin.Schema }

// Fields of an operation.
func (Operation) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("kind").Immutable().Annotations(Bytewise(), annotations.Listed().Filter()),
		field.UUID("tenant_id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("workflow_id").Immutable().Annotations(annotations.Listed()),
		field.UUID("source_id", uuid.UUID{}).Optional().Nillable().Immutable().
			Comment("the hook source that asked, if one did"),
		field.String("state").Default("pending").Comment("pending, running, succeeded or failed").
			Annotations(annotations.Listed().Filter("pending", "running", "succeeded", "failed")),
		field.String("reason").Default("").Annotations(Bytewise(), annotations.Listed().Filter()),
		field.Bool("cancel_requested").Default(false),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(Now(), annotations.Listed().Filter().Sort()),
		field.Time("ended_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
	}
}

// Indexes of operations.
func (Operation) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at", "id"),
		index.Fields("source_id", "created_at", "id"),
		index.Fields("tenant_id"),
	}
}

// Audit rows record one effect each, in its transaction (P4).
type Audit struct{ mixin.Schema }

// Fields of an audit row.
func (Audit) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.Int64("seq").Optional().Nillable().Comment("given by the sealer, without gaps"),
		field.Time("at").Immutable(),
		field.String("actor_kind").Immutable().Comment("user, api_key, operator, hook, system or anonymous"),
		field.UUID("actor_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.String("action").Immutable(),
		field.String("target_kind").Immutable(),
		field.UUID("target_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.UUID("tenant_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.String("request_id").Default("").Immutable(),
		field.JSON("before", map[string]any{}).Optional().Immutable(),
		field.JSON("after", map[string]any{}).Optional().Immutable(),
		field.Bytes("mac").Immutable().Comment("HMAC-SHA256 under a key outside the tenant database"),
	}
}

// Indexes of the audit log.
func (Audit) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("seq").Unique(),
		index.Fields("at", "id"),
	}
}

// IdempotencyMark remembers a keyed call beside its effect (E4), so that a
// repetition gets the first answer even when Redis has lost it.
type IdempotencyMark struct{ mixin.Schema }

// Fields of a mark.
func (IdempotencyMark) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.Bytes("scope").Unique().Immutable().Comment("HMAC of principal, procedure and key"),
		field.Bytes("fingerprint").Immutable().Comment("HMAC of the request message"),
		field.Bytes("reply").Immutable().Comment("the reply's message, sealed under the data key"),
		field.Time("created_at").Immutable().Annotations(Now()),
	}
}

// Indexes of marks: the sweep takes the oldest.
func (IdempotencyMark) Indexes() []ent.Index { return []ent.Index{index.Fields("created_at")} }
