package tenant

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"

	"tenantry/ent/annotations"
	"tenantry/ent/schema/shared"
)

// TOTPFactor is a person's second factor (A6, RFC 6238); there is one at the
// most, and it counts once it is confirmed.
type TOTPFactor struct{ ent.Schema }

// Fields of a factor.
func (TOTPFactor) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Unique().Immutable(),
		field.Bytes("secret").Immutable().Comment("160 random bits, sealed under the subject key").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Int64("last_step").Default(0).Comment("the newest 30 s step that was used: none before it works again"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("confirmed_at").Optional().Nillable(),
	}
}

// Edges of a factor.
func (TOTPFactor) Edges() []ent.Edge { return []ent.Edge{ofUser("totp_factor")} }

// Annotations names the table.
func (TOTPFactor) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("totp_factors")}
}

// ofUser is the edge of a row that ends with its account.
func ofUser(ref string) ent.Edge {
	return edge.From("user", User.Type).Ref(ref).Field("user_id").Unique().Required().Immutable()
}

// BackupCode stands in for the second factor once (A7).
type BackupCode struct{ ent.Schema }

// Fields of a backup code.
func (BackupCode) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.String("row").Immutable().Comment("the code's first two characters: they find the one hash to check"),
		field.String("code_hash").Immutable().Sensitive().Comment("argon2id, PHC string").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("used_at").Optional().Nillable(),
	}
}

// Edges of a backup code.
func (BackupCode) Edges() []ent.Edge { return []ent.Edge{ofUser("backup_codes")} }

// Indexes of backup codes.
func (BackupCode) Indexes() []ent.Index { return []ent.Index{index.Fields("user_id", "row").Unique()} }

// Annotations names the table.
func (BackupCode) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("backup_codes")}
}

// MFAChallenge is a sign-in that waits for its second factor; its token is a
// one-time value.
type MFAChallenge struct{ ent.Schema }

// Fields of a challenge.
func (MFAChallenge) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.Int64("revision").Immutable().Comment("the account's, when the first factor was checked"),
		field.JSON("amr", []string{}).Immutable().Comment("RFC 8176: what has been checked"),
		field.Bool("enrolling").Default(false).Immutable().Comment("it waits for a factor to be made"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("expires_at").Immutable(),
	}
}

// Edges of a challenge.
func (MFAChallenge) Edges() []ent.Edge { return []ent.Edge{ofUser("challenges")} }

// Indexes of challenges.
func (MFAChallenge) Indexes() []ent.Index {
	return []ent.Index{index.Fields("user_id"), index.Fields("expires_at")}
}

// Annotations names the table.
func (MFAChallenge) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("mfa_challenges")}
}

// FactorReset asks to take a lost second factor away (A7): two people agree,
// or one and an operator.
type FactorReset struct{ ent.Schema }

// Fields of a reset.
func (FactorReset) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable().Annotations(annotations.Listed().Filter()),
		field.UUID("user_id", uuid.UUID{}).Immutable().Comment("whose factor").Annotations(annotations.Listed().Filter()),
		field.UUID("requester_id", uuid.UUID{}).Immutable().Comment("the administrator who asks").
			Annotations(annotations.Listed().Filter()),
		field.UUID("confirmer_id", uuid.UUID{}).Optional().Nillable().Comment("the second administrator, or the operator's key").
			Annotations(annotations.Listed()),
		field.Bool("by_operator").Default(false).Annotations(annotations.Listed()),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now(), annotations.Listed().Filter().Sort()),
		field.Time("expires_at").Immutable().Annotations(annotations.Listed().Filter()),
		field.Time("confirmed_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
		field.Time("cancelled_at").Optional().Nillable().Annotations(annotations.Listed().Filter()),
	}
}

// Edges of a reset.
func (FactorReset) Edges() []ent.Edge { return []ent.Edge{ofUser("factor_resets")} }

// Indexes of resets.
func (FactorReset) Indexes() []ent.Index {
	return []ent.Index{index.Fields("created_at", "id"), index.Fields("user_id")}
}

// Annotations names the table.
func (FactorReset) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("factor_resets")}
}

// MagicLink is a request to log in by mail (A8); it is written whoever asks,
// and knows the address only by its keyed hash.
type MagicLink struct{ ent.Schema }

// Fields of a request.
func (MagicLink) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.Bytes("address_hash").Immutable().Annotations(annotations.Personally(annotations.Pseudonym)),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable().Comment("whose link was mailed; set by the worker"),
		field.Bytes("challenge").Immutable().Comment("SHA-256 of the PKCE verifier (RFC 7636, S256)"),
		field.Bytes("code_hash").Immutable().Comment("keyed hash of the code that the requesting browser shows").
			Annotations(annotations.Personally(annotations.Secret)),
		field.Int("tries").Default(0).Comment("wrong codes so far"),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("expires_at").Immutable(),
		field.Time("approved_at").Optional().Nillable().Comment("the code was typed at another browser"),
		field.Time("exchanged_at").Optional().Nillable().Comment("it has become a sign-in"),
	}
}

// Indexes of requests.
func (MagicLink) Indexes() []ent.Index { return []ent.Index{index.Fields("expires_at")} }

// Annotations names the table.
func (MagicLink) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("magic_links")}
}

// EmailChange is a change of address that waits for the new one to be
// confirmed, and can be undone from the old one after that (A11).
type EmailChange struct{ ent.Schema }

// Fields of a change.
func (EmailChange) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.UUID("user_id", uuid.UUID{}).Immutable(),
		field.Bytes("old_email").Immutable().Annotations(annotations.Personally(annotations.Sealed)),
		field.Bytes("new_email").Immutable().Annotations(annotations.Personally(annotations.Sealed)),
		field.Time("created_at").Default(time.Now).Immutable().Annotations(shared.Now()),
		field.Time("expires_at").Immutable(),
		field.Time("confirmed_at").Optional().Nillable(),
		field.Time("undone_at").Optional().Nillable(),
	}
}

// Edges of a change.
func (EmailChange) Edges() []ent.Edge { return []ent.Edge{ofUser("email_changes")} }

// Indexes of changes.
func (EmailChange) Indexes() []ent.Index {
	return []ent.Index{index.Fields("user_id"), index.Fields("expires_at")}
}

// Annotations names the table.
func (EmailChange) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("email_changes")}
}

// LoginCounter counts consecutive failures against one account, or an address
// that has none (A9).
type LoginCounter struct{ ent.Schema }

// Fields of a counter.
func (LoginCounter) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).Immutable(),
		field.String("kind").Immutable().Comment("stranger, known (device) or mfa"),
		field.Bytes("subject_hash").Immutable().Comment("keyed hash of the normalized address, for mfa of the account's id").
			Annotations(annotations.Personally(annotations.Pseudonym)),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable().Comment("no foreign key: an unknown address must cost the same").
			Annotations(annotations.Personally(annotations.Pseudonym)),
		field.Int("failures").Default(0),
		field.Time("blocked_until").Optional().Nillable(),
		field.Time("updated_at").Default(time.Now).Annotations(shared.Now()),
	}
}

// Indexes of counters.
func (LoginCounter) Indexes() []ent.Index {
	return []ent.Index{index.Fields("subject_hash", "kind").Unique(), index.Fields("updated_at"), index.Fields("user_id")}
}

// Annotations names the table.
func (LoginCounter) Annotations() []schema.Annotation {
	return []schema.Annotation{shared.Table("login_counters")}
}
