package auth

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock/clocktest"
)

// runs is how many interleavings the test draws; the long form is 10,000.
func runs(t *testing.T) int {
	n := os.Getenv("TENANTRY_TEST_REFRESH")
	if n == "" {
		return 150
	}
	out, err := strconv.Atoi(n)
	require.NoError(t, err)
	return out
}

// TestRefresh_HoldsForEveryInterleaving draws runs of a browser with tabs,
// lost answers, retries, restarted processes and, in half of them, a thief who
// copied the token store. Two promises are checked beside the rule itself:
//
//   - Without a thief, nobody whose retries fall within the grace is logged out.
//   - With one, the family dies at the first use by the second party: the
//     first time one of the two presents a token that the other has changed
//     before, more than the grace ago or with its successor used. Within the
//     grace both are given the one successor, so they share its fate.
//
// Proven against: a grace of an hour, a grace that ignores the successor's
// use, no lock on the family, reuse that only refuses, a family that dies
// without its notice.
func TestRefresh_HoldsForEveryInterleaving(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const lanes = 6
	n := runs(t)
	var died, strayed, shared int
	var mu sync.Mutex
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				user := r.account(t)
				for i := lane; i < n; i += lanes {
					p := newPlay(t, r, uint64(i))
					p.begin(r.open(t, p.service(), user))
					p.run()
					p.end()
					mu.Lock()
					died, strayed, shared = died+count(p.reused), strayed+count(p.strayed), shared+count(p.shared)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d runs: %d families died of reuse, %d clients strayed out of the grace, %d times a thief shared it", n, died, strayed, shared)
	require.NotZero(t, died, "no run has shown what it is for")
	require.NotZero(t, shared)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Parties.
const (
	owner = "owner"
	thief = "thief"
)

// record is what the rule (A4) needs to know of a token.
type record struct {
	expires   time.Time
	usedAt    time.Time
	usedBy    string
	successor string
}

func (r record) used() bool { return r.successor != "" }

// play is one run: its clock, its processes and what everybody holds.
type play struct {
	t    *testing.T
	rig  rig
	rng  *rand.Rand
	seed uint64

	now   *clocktest.Clock
	first Tokens
	alive bool
	// known is every token that was given out, by its text.
	known map[string]*record

	store  string // of the browser: its tabs share it
	stolen string
	robbed bool

	reused, strayed, shared bool
	log                     []string
}

func newPlay(t *testing.T, r rig, seed uint64) *play {
	return &play{t: t, rig: r, rng: rand.New(rand.NewPCG(seed, 4)), seed: seed, now: clocktest.New(), alive: true, known: map[string]*record{}}
}

// service is another process each time: nothing that decides is in memory.
func (p *play) service() *Service { return p.rig.service(p.now.Now) }

func (p *play) begin(first Tokens) {
	p.first, p.store = first, first.RefreshToken
	p.known[first.RefreshToken] = &record{expires: first.RefreshExpires}
}

func (p *play) run() {
	withThief := p.seed%2 == 1
	for range 3 + p.rng.IntN(6) {
		p.pass()
		if withThief && !p.robbed && p.rng.IntN(3) == 0 {
			p.stolen, p.robbed = p.store, true
		}
		if p.robbed && p.rng.IntN(2) == 0 {
			p.steal()
			p.pass()
		}
		p.window()
	}
}

// pass lets time go by between two refreshes: at least the grace, as every
// client does whose access token lives ten minutes.
func (p *play) pass() {
	d := graceTTL + time.Microsecond + p.duration(20*time.Minute)
	if p.rng.IntN(20) == 0 {
		d += p.duration(15 * 24 * time.Hour)
	}
	p.now.Move(d)
}

func (p *play) duration(bound time.Duration) time.Duration {
	return time.Duration(p.rng.Int64N(int64(bound)/1000)) * time.Microsecond
}

// window is the tabs of the browser that find the access token old, and all
// present the stored refresh token within the grace: at once or one after the
// other, with answers that come, come late or are lost. A thief may step in.
func (p *play) window() {
	token, answered := p.store, ""
	sends := 1 + p.rng.IntN(4)
	gaps := make([]time.Duration, sends)
	for i := range gaps[1:] {
		gaps[i+1] = p.duration(graceTTL / time.Duration(sends))
	}
	for i, gap := range gaps {
		p.now.Move(gap)
		if p.robbed && p.rng.IntN(6) == 0 {
			p.steal()
		}
		got := p.present(owner, token, p.rng.IntN(4) == 0)
		// The last retry within the grace is answered, but to a client that strays.
		last := i == sends-1 && answered == ""
		if lost := p.rng.IntN(3) == 0; got != "" && (!lost || last && p.rng.IntN(10) > 0) {
			answered = got
		}
	}
	if answered == "" && p.alive {
		p.strayed = true
	}
	if answered != "" {
		p.store = answered
	}
}

// steal is the thief's move with the best token they have; a hasty one uses
// the successor in the same moment.
func (p *play) steal() {
	for range 1 + p.rng.IntN(2) {
		if got := p.present(thief, p.stolen, false); got != "" && p.rng.IntN(4) > 0 {
			p.stolen = got
		}
	}
}

// present sends a token, perhaps from several tabs in the same moment, and
// holds the answer against the rule; it answers the successor, or "".
func (p *play) present(party, token string, burst bool) string {
	n := 1
	if burst {
		n = 2 + p.rng.IntN(3)
	}
	answers := make([]Tokens, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i], errs[i] = p.rig.refresh(p.t, p.service(), token) })
	}
	all.Wait()
	want, why := p.expect(party, token)
	p.log = append(p.log, fmt.Sprintf("%s %s presents %s x%d: %s", p.now.Now().Format(time.RFC3339Nano), party, token[:6], n, why))
	for i := range n {
		if want == refusal {
			require.True(p.t, refused(p.t, errs[i]), "must be refused: %s", p.story())
			continue
		}
		require.NoError(p.t, errs[i], "must be answered: %s", p.story())
		require.Equal(p.t, answers[0].RefreshToken, answers[i].RefreshToken, "one successor only: %s", p.story())
	}
	if want == refusal {
		return ""
	}
	return p.note(party, token, want, answers[0])
}

type answer int

const (
	refusal answer = iota
	change
	repetition
)

// expect is the rule of A4 in the words of its definition.
func (p *play) expect(party, token string) (answer, string) {
	r, now := p.known[token], p.now.Now()
	switch {
	case !p.alive || !now.Before(p.first.SessionExpires):
		return refusal, "the session has ended"
	case !r.used() && !now.Before(r.expires):
		return refusal, "idle for too long"
	case !r.used():
		return change, "changed"
	case now.Sub(r.usedAt) <= graceTTL && !p.known[r.successor].used():
		p.shared = p.shared || party != r.usedBy
		return repetition, "repeated in the grace"
	}
	require.True(p.t, p.robbed || p.strayed, "an honest client is logged out: %s", p.story())
	p.alive, p.reused = false, true
	return refusal, "reused: the family dies"
}

func (p *play) note(party, token string, want answer, got Tokens) string {
	r := p.known[token]
	if want == repetition {
		require.Equal(p.t, r.successor, got.RefreshToken, "the same successor: %s", p.story())
		return got.RefreshToken
	}
	require.NotContains(p.t, p.known, got.RefreshToken, p.story())
	r.successor, r.usedAt, r.usedBy = got.RefreshToken, p.now.Now(), party
	p.known[got.RefreshToken] = &record{expires: got.RefreshExpires}
	return got.RefreshToken
}

// end holds what is stored against what has happened.
func (p *play) end() {
	changed := 0
	for _, r := range p.known {
		changed += count(r.used())
	}
	require.Equal(p.t, traces{
		revoked: p.reused, tokens: len(p.known), refreshed: changed, reused: count(p.reused), notices: count(p.reused),
	}, p.rig.traces(p.t, p.first.Session), p.story())
	if !p.reused {
		return
	}
	for token := range p.known {
		_, err := p.rig.refresh(p.t, p.service(), token)
		require.True(p.t, refused(p.t, err), "a token outlives its family: %s", p.story())
	}
}

func (p *play) story() string {
	return fmt.Sprintf("run %d\n%s", p.seed, slices.Concat(p.log))
}
