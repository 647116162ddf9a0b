package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"tenantry/internal/apperr"
	"tenantry/internal/argon"
	"tenantry/internal/secrets"
)

// Parameters of argon2id (OWASP's 19 MiB, t=2, p=1).
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonLen     = 32
	saltLen      = 16
)

// hashWait bounds how long a call waits for its turn to hash.
const hashWait = 10 * time.Second

// Hasher hashes passwords: argon2id over an HMAC with a pepper that is kept
// outside the database. At most width hashes run at once, so that logins
// never starve the requests beside them.
type Hasher struct {
	peppers *secrets.Keyring
	sums    func(argon.Task) []byte
	turns   chan struct{}
	// doors lets one caller more in than can hash: while one hashes, the next
	// has its account looked up, and all others wait without a connection.
	doors chan struct{}
	dummy string
}

// NewHasher makes a hasher of the given width. The sums are computed by an
// [argon.Pool] of that width, or here by [argon.Task.Sum].
func NewHasher(peppers *secrets.Keyring, width int, sums func(argon.Task) []byte) (*Hasher, error) {
	h := &Hasher{peppers: peppers, sums: sums, turns: make(chan struct{}, max(1, width)), doors: make(chan struct{}, max(1, width)+1)}
	dummy, err := h.hash("a password that nobody has")
	h.dummy = dummy
	return h, err
}

// Hash answers the PHC string of a password, waiting for a turn.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.take(ctx); err != nil {
		return "", err
	}
	defer h.give()
	return h.hash(password)
}

// Verify reports whether the password is the stored one, and whether the
// stored hash should be renewed. An empty stored hash costs the same and is
// never right: an unknown account takes as long as a known one.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (ok, renew bool, err error) {
	if err := h.take(ctx); err != nil {
		return false, false, err
	}
	defer h.give()
	known := stored != ""
	if !known {
		stored = h.dummy
	}
	p, err := parsePHC(stored)
	if err != nil {
		return false, false, err
	}
	sum, err := h.sum(p, password)
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(sum, p.sum) == 1
	weak := p.memory < argonMemory || p.time < argonTime || p.pepper != h.peppers.Primary()
	return same && known, weak, nil
}

// Enter waits until there is room for one more who will hash, before anything
// else is done for them, and answers how to leave. A hundred logins at once
// are then a queue, not a crowd at the database.
func (h *Hasher) Enter(ctx context.Context) (leave func(), err error) {
	if err := acquire(ctx, h.doors); err != nil {
		return nil, err
	}
	return func() { <-h.doors }, nil
}

func (h *Hasher) take(ctx context.Context) error { return acquire(ctx, h.turns) }

func acquire(ctx context.Context, places chan struct{}) error {
	wait := time.NewTimer(hashWait)
	defer wait.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return apperr.New(apperr.Unavailable, "BUSY", "Too many logins at once. Try again later.").WithRetryAfter(2 * time.Second)
	}
}

func (h *Hasher) give() { <-h.turns }

func (h *Hasher) hash(password string) (string, error) {
	p := phc{memory: argonMemory, time: argonTime, threads: argonThreads, pepper: h.peppers.Primary(), salt: secrets.RandomBytes(saltLen)}
	sum, err := h.sum(p, password)
	if err != nil {
		return "", err
	}
	p.sum = sum
	return p.String(), nil
}

func (h *Hasher) sum(p phc, password string) ([]byte, error) {
	// NFKC: the same characters typed on another keyboard are the same password.
	peppered, ok := h.peppers.MAC(p.pepper, []byte(norm.NFKC.String(password)))
	if !ok {
		return nil, fmt.Errorf("password hash under pepper %q, which is not configured", p.pepper)
	}
	return h.sums(argon.Task{Secret: peppered, Salt: p.salt, Time: p.time, Memory: p.memory, Threads: p.threads, Length: argonLen}), nil
}

// phc is a hash in the PHC string format, with the pepper's id as keyid.
type phc struct {
	memory, time uint32
	threads      uint8
	pepper       string
	salt, sum    []byte
}

var b64 = base64.RawStdEncoding

// String is "$argon2id$v=19$m=19456,t=2,p=1,keyid=…$salt$hash".
func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d,keyid=%s$%s$%s",
		argon2.Version, p.memory, p.time, p.threads, p.pepper, b64.EncodeToString(p.salt), b64.EncodeToString(p.sum))
}

func parsePHC(s string) (phc, error) {
	bad := errors.New("stored password hash is malformed")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, bad
	}
	var p phc
	params, keyid, ok := strings.Cut(parts[3], ",keyid=")
	if _, err := fmt.Sscanf(params, "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil || !ok {
		return phc{}, bad
	}
	var err1, err2 error
	p.pepper = keyid
	p.salt, err1 = b64.DecodeString(parts[4])
	p.sum, err2 = b64.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.sum) != argonLen {
		return phc{}, bad
	}
	return p, nil
}
