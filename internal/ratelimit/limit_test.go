package ratelimit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRules_AreReadStrictlyAndPrintedAsRead(t *testing.T) {
	t.Parallel()
	const good = "ip:100/s:200,tenant:1000/m:2000,principal:50/h:100"
	var r Rules
	require.NoError(t, r.UnmarshalText([]byte(good)))
	require.Equal(t, good, r.String())
	require.Equal(t, Limit{Count: 1000, Per: time.Minute, Burst: 2000}, r.Tenant)
	require.NoError(t, r.UnmarshalText([]byte("off")))
	require.True(t, r.Off())
	require.Equal(t, "off", r.String())
	for _, bad := range []string{
		"", "ip:1/s:1", good + ",ip:1/s:1", "ip:1/s:1,ip:1/s:1,tenant:1/s:1", "ip:0/s:1,tenant:1/s:1,principal:1/s:1",
		"ip:1/s:0,tenant:1/s:1,principal:1/s:1", "ip:1/d:1,tenant:1/s:1,principal:1/s:1", "ip:1:1,tenant:1/s:1,principal:1/s:1",
		"ip:-1/s:1,tenant:1/s:1,principal:1/s:1", "ip:1/s,tenant:1/s:1,principal:1/s:1", "user:1/s:1,tenant:1/s:1,principal:1/s:1",
		"ip:99999999999999999999/s:1,tenant:1/s:1,principal:1/s:1", "OFF", good + " ",
	} {
		require.Error(t, r.UnmarshalText([]byte(bad)), bad)
	}
}

// A long window would show what a window of a test does not.
func TestLimit_RoundingNeverAdmitsMore(t *testing.T) {
	t.Parallel()
	for _, per := range units {
		for _, count := range []int{1, 3, 7, 11, 999, 1001, 999_999, maxCount} {
			l := Limit{Count: count, Per: per, Burst: 1}
			require.GreaterOrEqual(t, l.interval()*int64(count), per.Microseconds(), l.String())
			require.Less(t, (l.interval()-1)*int64(count), per.Microseconds(), l.String())
			require.GreaterOrEqual(t, l.strict().interval(), strictness*(l.interval()-1), l.String())
		}
	}
}
