// Package tenant is the schema of every tenant database: one organization's
// people, roles, sessions and everything that is about them.
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

// SubjectKey is a person's key: destroying it erases what it sealed.
type SubjectKey struct{ ent.Schema }

// Fields of a subject key.
func (SubjectKey) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.Bytes("sealed_key").Comment("under the tenant's data key").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
	}
}

// Annotations names the table.
func (SubjectKey) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("subject_keys")}
}

// User is an account; it exists only with a verified address (A1).
type User struct{ ent.Schema }

// Fields of a user.
func (User) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter().Sort()),
		field.UUID("subject_key_id", uuid.UUID{}).Immutable(),
		field.String("name").Annotations(annotations.Personally(annotations.Direct), shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("email").Annotations(annotations.Personally(annotations.Direct), shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("email_normalized").Unique().Annotations(annotations.Personally(annotations.Direct)),
		field.Bytes("address_hash").Optional().Nillable().Unique().Comment("keyed hash of email_normalized; filled by the worker where an older release left it empty").
			Annotations(annotations.Personally(annotations.Pseudonym)),
		field.String("password_hash").Sensitive().Annotations(annotations.Personally(annotations.Secret)),
		field.Bool("password_short").Default(false).Comment("under 15 characters: good only beside a second factor"),
		field.Bool("password_locked").Default(false).Comment("it opens nothing until it is reset by mail"),
		field.Bool("second_factor").Default(false).Comment("a confirmed factor exists: the highest level is 2"),
		field.Time("factor_due_at").Optional().Nillable().Comment("until when a required factor may still be missing"),
		field.Int64("device_epoch").Default(1).Comment("known devices of another epoch are strangers"),
		field.String("locale").Default("en").Annotations(annotations.Listed()),
		field.Int64("revision").Default(1).Comment("the credential revision, `ver` in tokens"),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Int64("login_count").Default(0).Annotations(annotations.Listed().Filter().Sort()),
		field.Time("last_login_at").Optional().Nillable().Annotations(annotations.Listed().Filter().Sort()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("deleted_at").Optional().Nillable().Annotations(annotations.Listed().Filter().Sort()),
	}
}

// Edges of a user.
func (User) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("roles", Role.Type).Through("user_roles", UserRole.Type),
		edge.To("sessions", Session.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("keys", APIKey.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("totp_factor", TOTPFactor.Type).Unique().Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("backup_codes", BackupCode.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("challenges", MFAChallenge.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("factor_resets", FactorReset.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("email_changes", EmailChange.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of users: one for every order of the list. Those on times that may
// be null and those of the search are written by hand.
func (User) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at", "id"), index.Fields("updated_at", "id"), index.Fields("login_count", "id"),
		index.Fields("name", "id"), index.Fields("email", "id"),
	}
}

// Annotations names the table.
func (User) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("users")} }

// Role is a named set of permissions (U1).
type Role struct{ ent.Schema }

// Fields of a role.
func (Role) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.String("name").Unique().Annotations(shared.Bytewise(), annotations.Listed().Filter().Sort()),
		field.String("description").Default("").Annotations(annotations.Listed()),
		field.Bool("builtin").Default(false).Immutable().Annotations(annotations.Listed().Filter()),
		field.JSON("permissions", []string{}).Annotations(annotations.Listed()),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now(), annotations.Listed().Filter()),
	}
}

// Edges of a role.
func (Role) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("users", User.Type).Ref("roles").Through("user_roles", UserRole.Type),
		edge.From("service_accounts", ServiceAccount.Type).Ref("roles").Through("service_account_roles", ServiceAccountRole.Type),
	}
}

// Indexes of roles.
func (Role) Indexes() []ent.Index { return []ent.Index{index.Fields("created_at", "id")} }

// Annotations names the table.
func (Role) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("roles")} }

// UserRole is a grant.
type UserRole struct{ ent.Schema }

// Fields of a grant.
func (UserRole) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.UUID("role_id", uuid.UUID{}).Immutable(),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
	}
}

// Edges of a grant.
func (UserRole) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Unique().Required().Immutable().Field("user_id").Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("role", Role.Type).Unique().Required().Immutable().Field("role_id"),
	}
}

// Indexes of grants.
func (UserRole) Indexes() []ent.Index { return []ent.Index{index.Fields("role_id")} }

// Annotations names the table and its composite key.
func (UserRole) Annotations() []schema.Annotation {
	return []schema.Annotation{field.ID("user_id", "role_id"), shared.Table("user_roles")}
}

// Session is a login (A4).
type Session struct{ ent.Schema }

// Fields of a session.
func (Session) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.String("device").Default("").Immutable().Comment("browser and system as the client named them, coarsely").
			Annotations(annotations.Listed()),
		field.Time("authenticated_at").Comment("`auth_time` in tokens").Annotations(annotations.Listed()),
		field.JSON("amr", []string{}).Comment("RFC 8176").Annotations(annotations.Listed()),
		field.Int("aal").Default(1).Comment("NIST SP 800-63B level").Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("last_used_at").Default(time.Now).Comment("the last login or refresh").
			Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("expires_at").Immutable().Annotations(annotations.Listed()),
		field.Time("revoked_at").Optional().Nillable(),
	}
}

// Edges of a session.
func (Session) Edges() []ent.Edge {
	return []ent.Edge{edge.From("user", User.Type).Ref("sessions").Field("user_id").Unique().Required().Immutable()}
}

// Indexes of sessions.
func (Session) Indexes() []ent.Index {
	return []ent.Index{index.Fields("user_id", "created_at", "id"), index.Fields("user_id", "last_used_at", "id"), index.Fields("expires_at")}
}

// Annotations names the table.
func (Session) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("sessions")}
}

// Registration waits for its address to be verified (A1).
type Registration struct{ ent.Schema }

// Fields of a registration.
func (Registration) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("subject_key_id", uuid.UUID{}).Immutable(),
		field.Bytes("name").Immutable().Annotations(annotations.Personally(annotations.Sealed)),
		field.Bytes("email").Immutable().Annotations(annotations.Personally(annotations.Sealed)),
		field.Bytes("password_hash").Immutable().Annotations(annotations.Personally(annotations.Secret)),
		field.Bytes("address_hash").Immutable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.String("locale").Default("en").Immutable(),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("expires_at").Immutable(),
	}
}

// Indexes of registrations.
func (Registration) Indexes() []ent.Index {
	return []ent.Index{index.Fields("address_hash", "created_at"), index.Fields("expires_at")}
}

// Annotations names the table.
func (Registration) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("registrations")}
}

// Invitation asks a person to join (U3).
type Invitation struct{ ent.Schema }

// Fields of an invitation.
func (Invitation) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.UUID("subject_key_id", uuid.UUID{}).Immutable(),
		field.Bytes("email").Immutable().Annotations(annotations.Personally(annotations.Sealed)),
		field.Bytes("address_hash").Immutable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.JSON("role_ids", []uuid.UUID{}).Immutable().Annotations(annotations.Listed()),
		field.UUID("inviter_id", uuid.UUID{}).Optional().Nillable().Immutable().
			Comment("empty for the owner's invitation, which stands for the owner (U8)").
			Annotations(annotations.Listed().Filter()),
		field.String("locale").Default("en").Immutable().Annotations(annotations.Listed()),
		field.Int64("version").Default(1).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("expires_at").Annotations(annotations.Listed().Filter()),
		field.Time("accepted_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
		field.Time("revoked_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
	}
}

// Indexes of invitations: one open invitation for an address.
func (Invitation) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at", "id"),
		index.Fields("address_hash").Unique().
			Annotations(entsql.IndexWhere("accepted_at IS NULL AND revoked_at IS NULL")),
	}
}

// Annotations names the table.
func (Invitation) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("invitations")}
}

// OneTimeValue is the primitive behind every link and code: hash stored, used
// once.
type OneTimeValue struct{ ent.Schema }

// Fields of a one-time value.
func (OneTimeValue) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("purpose").Immutable().Comment("what it is good for: internal/onetime"),
		field.UUID("subject_id", uuid.UUID{}).Immutable().Comment("the row it is about"),
		field.Bytes("token_hash").Unique().Immutable().Comment("SHA-256 of 256 random bits").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("expires_at").Immutable(),
		field.Time("used_at").Optional().Nillable(),
		field.UUID("successor_id", uuid.UUID{}).Optional().Nillable().Comment("of a refresh token: the one it was changed for"),
		field.Bytes("successor").Optional().Nillable().Comment("that token, sealed under a key that only this one's holder can derive").
			Annotations(annotations.Personally(annotations.Secret)),
	}
}

// Indexes of one-time values.
func (OneTimeValue) Indexes() []ent.Index {
	return []ent.Index{index.Fields("subject_id"), index.Fields("expires_at")}
}

// Annotations names the table.
func (OneTimeValue) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("one_time_values")}
}

// LoginEvent is an attempt that reached the credential check (N1).
type LoginEvent struct{ ent.Schema }

// Fields of a login event.
func (LoginEvent) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.Bytes("address_hash").Optional().Nillable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.String("outcome").Immutable().Comment("success, failure, challenge (a second factor is wanted) or blocked"),
		field.String("method").Immutable().Comment("password, magic_link, totp, backup_code"),
		field.Bytes("ip_hash").Optional().Nillable().Immutable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.Time("at").Immutable(),
	}
}

// Indexes of login events.
func (LoginEvent) Indexes() []ent.Index {
	return []ent.Index{index.Fields("at"), index.Fields("user_id", "at")}
}

// Annotations names the table.
func (LoginEvent) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("login_events")}
}

// Settings is the tenant's one settings document (U9).
type Settings struct{ ent.Schema }

// Fields of the settings row.
func (Settings) Fields() []ent.Field {
	return []ent.Field{
		field.Int("id").Immutable().Comment("always 1"),
		field.JSON("document", map[string]any{}),
		field.Int64("version").Default(1),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now()),
	}
}

// Annotations names the table and keeps it at one row.
func (Settings) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Annotation{Table: "settings", Checks: map[string]string{"one_row": "id = 1"}}}
}

// Outbox of a tenant database.
type Outbox struct{ ent.Schema }

// Mixin shares the shape.
func (Outbox) Mixin() []ent.Mixin { return []ent.Mixin{shared.Outbox{}} }

// Annotations names the table.
func (Outbox) Annotations() []schema.Annotation { return []schema.Annotation{shared.Table("outbox")} }

// Operation of a tenant database.
type Operation struct{ ent.Schema }

// Mixin shares the shape.
func (Operation) Mixin() []ent.Mixin { return []ent.Mixin{shared.Operation{}} }

// Annotations names the table.
func (Operation) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("operations")}
}

// Audit log of a tenant database.
type Audit struct{ ent.Schema }

// Mixin shares the shape.
func (Audit) Mixin() []ent.Mixin { return []ent.Mixin{shared.Audit{}} }

// Annotations names the table.
func (Audit) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("audit_log")}
}

// IdempotencyMark of a tenant database.
type IdempotencyMark struct{ ent.Schema }

// Mixin shares the shape.
func (IdempotencyMark) Mixin() []ent.Mixin { return []ent.Mixin{shared.IdempotencyMark{}} }

// Annotations names the table.
func (IdempotencyMark) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("idempotency_marks")}
}
