package tenant

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

// ServiceAccount is a principal that is no person: it holds roles and acts
// through API keys (A12).
type ServiceAccount struct{ ent.Schema }

// Fields of a service account.
func (ServiceAccount) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("name").Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("description").Default("").Annotations(annotations.Listed()),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("deleted_at").Optional().Nillable(),
	}
}

// Edges of a service account.
func (ServiceAccount) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("roles", Role.Type).Through("service_account_roles", ServiceAccountRole.Type),
		edge.To("keys", APIKey.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of service accounts: a name is free again once its account is
// deleted.
func (ServiceAccount) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("name").Unique().Annotations(entsql.IndexWhere("deleted_at IS NULL")),
		index.Fields("created_at", "id"), index.Fields("updated_at", "id"), index.Fields("name", "id"),
	}
}

// Annotations names the table.
func (ServiceAccount) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("service_accounts")}
}

// ServiceAccountRole is a grant to a service account.
type ServiceAccountRole struct{ ent.Schema }

// Fields of a grant.
func (ServiceAccountRole) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("service_account_id", uuid.UUID{}).Immutable(),
		field.UUID("role_id", uuid.UUID{}).Immutable(),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
	}
}

// Edges of a grant.
func (ServiceAccountRole) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("service_account", ServiceAccount.Type).Unique().Required().Immutable().Field("service_account_id").
			Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("role", Role.Type).Unique().Required().Immutable().Field("role_id"),
	}
}

// Indexes of grants.
func (ServiceAccountRole) Indexes() []ent.Index { return []ent.Index{index.Fields("role_id")} }

// Annotations names the table and its composite key.
func (ServiceAccountRole) Annotations() []schema.Annotation {
	return []schema.Annotation{field.ID("service_account_id", "role_id"), shared.Table("service_account_roles")}
}

// APIKey is a credential for programs (A12). It belongs to a person or to a
// service account and never does more than its owner may at that moment.
type APIKey struct{ ent.Schema }

// Fields of an API key.
func (APIKey) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("name").Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable().Immutable().Comment("the owner, if a person").
			Annotations(annotations.Listed().Filter()),
		field.UUID("service_account_id", uuid.UUID{}).Optional().Nillable().Immutable().Comment("the owner otherwise").
			Annotations(annotations.Listed().Filter()),
		field.UUID("creator_id", uuid.UUID{}).Optional().Nillable().Immutable().
			Comment("the person who made it; empty when a key did"),
		field.Bytes("secret_hash").Comment("SHA-256 of 256 random bits").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Bytes("previous_hash").Optional().Nillable().Comment("good until previous_expires_at, after a rotation").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("previous_expires_at").Optional().Nillable().Annotations(annotations.Listed()),
		field.JSON("scopes", []string{}).Comment("permissions").Annotations(annotations.Listed()),
		field.JSON("allowed_networks", []string{}).Comment("CIDRs; none: from everywhere").Annotations(annotations.Listed()),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now()),
		field.Time("expires_at").Optional().Nillable().Annotations(annotations.Listed().Filter().Sort()),
		field.Time("last_used_at").Optional().Nillable().Comment("to the minute").Annotations(annotations.Listed().Filter().Sort()),
		field.Time("revoked_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
	}
}

// Edges of an API key.
func (APIKey) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("user", User.Type).Ref("keys").Field("user_id").Unique().Immutable(),
		edge.From("service_account", ServiceAccount.Type).Ref("keys").Field("service_account_id").Unique().Immutable(),
	}
}

// Indexes of API keys.
func (APIKey) Indexes() []ent.Index {
	return []ent.Index{index.Fields("user_id"), index.Fields("service_account_id"), index.Fields("created_at", "id"), index.Fields("name", "id")}
}

// Annotations names the table.
func (APIKey) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("api_keys")} }
