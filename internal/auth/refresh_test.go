package auth

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock/clocktest"
	"tenantry/internal/ids"
)

func TestRefresh_RefusesWhatIsNoTokenOfALiveSession(t *testing.T) {
	t.Parallel()
	r, h := newRig(t), clocktest.New()
	s := r.service(h.Now)
	user := r.account(t)
	good := r.open(t, s, user)
	for name, token := range map[string]string{
		"empty": "", "truncated": good.RefreshToken[:42], "padded": good.RefreshToken + "=", "spaced": " " + good.RefreshToken,
		"an access token": good.AccessToken, "random": strings.Repeat("A", 43), "NUL": good.RefreshToken[:42] + "\x00", "long": strings.Repeat("A", 200),
	} {
		_, err := r.refresh(t, s, token)
		require.True(t, refused(t, err), name)
	}
	_, err := r.refresh(t, s, good.RefreshToken)
	require.NoError(t, err, "the refusals have ended nothing")
	require.Zero(t, r.traces(t, good.Session).reused)
}

func TestRefresh_OfFiftyParallelCallsOneChangesTheToken(t *testing.T) {
	t.Parallel()
	r, h := newRig(t), clocktest.New()
	s := r.service(h.Now)
	user := r.account(t)
	// The first round also opens the connections; the others race on them.
	for range 8 {
		first := r.open(t, s, user)
		answers := make([]string, 50)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				got, err := r.refresh(t, r.service(h.Now), first.RefreshToken)
				if err == nil {
					answers[i] = got.RefreshToken
				}
			})
		}
		all.Wait()
		for _, a := range answers {
			require.NotEmpty(t, a)
			require.Equal(t, answers[0], a, "every tab gets the one successor")
		}
		require.Equal(t, traces{tokens: 2, refreshed: 1}, r.traces(t, first.Session))
	}
}

func TestRefresh_AnswersTheSameSuccessorForTenSecondsAndKillsTheFamilyAfter(t *testing.T) {
	t.Parallel()
	r, h := newRig(t), clocktest.New()
	s := r.service(h.Now)
	first := r.open(t, s, r.account(t))
	next, err := r.refresh(t, s, first.RefreshToken)
	require.NoError(t, err)
	h.Move(graceTTL)
	again, err := r.refresh(t, r.service(h.Now), first.RefreshToken)
	require.NoError(t, err, "the answer was lost with the process that gave it")
	require.Equal(t, next.RefreshToken, again.RefreshToken)
	require.True(t, next.RefreshExpires.Equal(again.RefreshExpires), "a repetition does not lengthen the successor's life")
	h.Move(time.Microsecond)
	_, err = r.refresh(t, s, first.RefreshToken)
	require.True(t, refused(t, err))
	_, err = r.refresh(t, s, next.RefreshToken)
	require.True(t, refused(t, err), "the family is dead, whoever of the two came first")
	require.Equal(t, traces{revoked: true, tokens: 2, refreshed: 1, reused: 1, notices: 1}, r.traces(t, first.Session), "the person is told once")
}

func TestRefresh_AUsedSuccessorEndsTheGraceOfItsParent(t *testing.T) {
	t.Parallel()
	r, h := newRig(t), clocktest.New()
	s := r.service(h.Now)
	first := r.open(t, s, r.account(t))
	next, err := r.refresh(t, s, first.RefreshToken)
	require.NoError(t, err)
	_, err = r.refresh(t, s, next.RefreshToken)
	require.NoError(t, err)
	_, err = r.refresh(t, s, first.RefreshToken)
	require.True(t, refused(t, err))
	require.True(t, r.traces(t, first.Session).revoked)
}

func TestRefresh_EndsWithItsIdleTimeItsSessionAndItsAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		h := clocktest.New()
		s := r.service(h.Now)
		first := r.open(t, s, r.account(t))
		require.Equal(t, h.Now().Add(idleTTL), first.RefreshExpires)
		h.Move(idleTTL)
		_, err := r.refresh(t, s, first.RefreshToken)
		require.True(t, refused(t, err))
		require.Equal(t, traces{tokens: 1}, r.traces(t, first.Session), "lateness is no theft")
	})
	t.Run("absolute", func(t *testing.T) {
		t.Parallel()
		h := clocktest.New()
		s := r.service(h.Now)
		got := r.open(t, s, r.account(t))
		end := got.SessionExpires
		for range 3 {
			h.Move(9 * 24 * time.Hour)
			var err error
			got, err = r.refresh(t, s, got.RefreshToken)
			require.NoError(t, err)
			require.True(t, end.Equal(got.SessionExpires), "no refresh lengthens a session")
		}
		require.True(t, end.Equal(got.RefreshExpires))
		h.Move(end.Sub(h.Now()))
		_, err := r.refresh(t, s, got.RefreshToken)
		require.True(t, refused(t, err))
	})
	t.Run("account deleted", func(t *testing.T) {
		t.Parallel()
		h := clocktest.New()
		s := r.service(h.Now)
		user := r.account(t)
		first := r.open(t, s, user)
		_, err := r.lease.Database().Exec(t.Context(), `UPDATE users SET deleted_at = now() WHERE id = $1`, user)
		require.NoError(t, err)
		_, err = r.refresh(t, s, first.RefreshToken)
		require.True(t, refused(t, err))
	})
	t.Run("logged out", func(t *testing.T) {
		t.Parallel()
		h := clocktest.New()
		s := r.service(h.Now)
		first := r.open(t, s, r.account(t))
		next, err := r.refresh(t, s, first.RefreshToken)
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, s.Logout(t.Context(), r.lease, next.RefreshToken, Meta{}), "there is nothing left to end")
		}
		_, err = r.refresh(t, s, first.RefreshToken)
		require.True(t, refused(t, err), "the grace does not outlive the session")
		require.Equal(t, traces{revoked: true, tokens: 2, refreshed: 1}, r.traces(t, first.Session))
	})
}

// A stepped clock never logs out who holds an unused token, and never lengthens
// the grace; only who repeats a used token across the step logs in again.
func TestRefresh_ClockJumpsOfAnHour(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, jump := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := clocktest.New()
			s := r.service(h.Now)
			first := r.open(t, s, r.account(t))
			h.Move(jump)
			_, err := s.VerifyAccess(r.entry, first.AccessToken)
			require.Error(t, err, "an access token is neither valid after its hour nor before it")
			next, err := r.refresh(t, s, first.RefreshToken)
			require.NoError(t, err, "the session survives by refresh")
			_, err = s.VerifyAccess(r.entry, next.AccessToken)
			require.NoError(t, err)
			h.Move(jump)
			_, err = r.refresh(t, s, first.RefreshToken)
			require.True(t, refused(t, err), "a jump gives no grace")
			require.True(t, r.traces(t, first.Session).revoked)
		})
	}
	t.Run("processes that differ by seconds", func(t *testing.T) {
		t.Parallel()
		h := clocktest.New()
		slow := clocktest.At(h.Now().Add(-3 * time.Second))
		first := r.open(t, r.service(h.Now), r.account(t))
		next, err := r.refresh(t, r.service(h.Now), first.RefreshToken)
		require.NoError(t, err)
		again, err := r.refresh(t, r.service(slow.Now), first.RefreshToken)
		require.NoError(t, err)
		require.Equal(t, next.RefreshToken, again.RefreshToken)
	})
}

func TestLogout_IsSilentAboutTokensThatAreWorthNothing(t *testing.T) {
	t.Parallel()
	r, h := newRig(t), clocktest.New()
	s := r.service(h.Now)
	first := r.open(t, s, r.account(t))
	for _, token := range []string{"", "x", strings.Repeat("A", 43), first.AccessToken, ids.New().String()} {
		require.NoError(t, s.Logout(t.Context(), r.lease, token, Meta{}))
	}
	_, err := r.refresh(t, s, first.RefreshToken)
	require.NoError(t, err)
}
