package factors

import (
	"context"
	"fmt"
	"strings"

	"tenantry/internal/secrets"
)

// A backup code is a row's two digits and 60 random bits in Crockford's
// base32: the digits find the one hash that an attempt is checked against.
const (
	backupCodes = 10
	rowLen      = 2
	secretLen   = 12 // characters of 5 bits
	group       = 4
	crockford   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// backupCode is a code in its one form: no dashes, upper case.
type backupCode struct{ row, whole string }

// parseBackup forgives what people do to a code that they type: spaces,
// dashes, case, and the letters that Crockford reads as digits.
func parseBackup(text string) (backupCode, bool) {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == ' ' || c == '-':
			continue
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		switch c {
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if !strings.ContainsRune(crockford, c) {
			return backupCode{}, false
		}
		b.WriteRune(c)
	}
	whole := b.String()
	if len(whole) != rowLen+secretLen {
		return backupCode{}, false
	}
	return backupCode{row: whole[:rowLen], whole: whole}, true
}

func newBackup(row int) backupCode {
	out := fmt.Appendf(nil, "%02d", row)
	for _, b := range secrets.RandomBytes(secretLen) {
		out = append(out, crockford[b&31])
	}
	return backupCode{row: string(out[:rowLen]), whole: string(out)}
}

// shown writes the code in groups, as people copy it: "07-8KQ2-M4TD-W9ZE".
func (c backupCode) shown() string {
	out := c.row
	for rest := c.whole[rowLen:]; rest != ""; rest = rest[group:] {
		out += "-" + rest[:group]
	}
	return out
}

// hashed is a new code with what is stored of it.
type hashed struct {
	backupCode
	hash string
}

// makeCodes makes ten codes and hashes them, outside any transaction.
func (s *Service) makeCodes(ctx context.Context) ([]hashed, error) {
	out := make([]hashed, backupCodes)
	for i := range out {
		c := newBackup(i + 1)
		hash, err := s.hasher.Hash(ctx, c.whole)
		if err != nil {
			return nil, err
		}
		out[i] = hashed{c, hash}
	}
	return out, nil
}

func shown(codes []hashed) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = c.shown()
	}
	return out
}
