package auth

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"tenantry/internal/apperr"
	"tenantry/internal/blocklist"
	"tenantry/internal/db"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

// Bounds of a password in characters (NIST SP 800-63B-4: at least 15 where it
// is the only factor, 8 beside another, at least 64 allowed). There are no
// rules of composition.
const (
	MinPassword             = 15
	MinPasswordBesideFactor = 8
	MaxPassword             = 200
)

// PasswordLength is in characters, as they are hashed: NFKC.
func PasswordLength(password string) int { return len([]rune(norm.NFKC.String(password))) }

// PasswordContext is for whom a new password is.
type PasswordContext struct {
	// SecondFactor: the account has a confirmed one.
	SecondFactor bool
	// Words are those that the password may not be made of; see [PasswordWords].
	Words []string
}

// CheckNewPassword refuses a password that is too short, too long, or one of
// the first that anybody would guess. Every path that sets one asks it.
func CheckNewPassword(password string, c PasswordContext) error {
	least := MinPassword
	if c.SecondFactor {
		least = MinPasswordBesideFactor
	}
	n := PasswordLength(password)
	if n < least {
		return passwordError("PASSWORD_TOO_SHORT", "string.min_len", fmt.Sprintf("must have at least %d characters; a sentence is fine", least)).
			WithParams("min_len", strconv.Itoa(least))
	}
	if n > MaxPassword {
		return passwordError("PASSWORD_TOO_LONG", "string.max_len", fmt.Sprintf("must have at most %d characters", MaxPassword)).
			WithParams("max_len", strconv.Itoa(MaxPassword))
	}
	if blocklist.Common(password, least, c.Words) {
		return passwordError("PASSWORD_COMMON", "password.common",
			"is one of the first that would be guessed: a common one, a pattern, or made of your name or your organization's; take a sentence of your own")
	}
	return nil
}

func passwordError(reason, rule, message string) *apperr.Error {
	e := apperr.InvalidField("password", rule, message)
	e.Reason = reason
	return e
}

// PasswordWords answers what a person's password may not be made of: the words
// that the organization has set, its name and its host, the person's name and
// the address before the @.
func PasswordWords(ctx context.Context, tx db.TenantTx, e tenants.Entry, name, email string) ([]string, error) {
	doc, err := settings.Load(ctx, tx)
	if err != nil {
		return nil, err
	}
	local, _, _ := strings.Cut(email, "@")
	return append(doc.PasswordWords, e.Name, e.Slug, name, local), nil
}
