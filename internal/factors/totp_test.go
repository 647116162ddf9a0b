package factors

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rfcSecret is that of RFC 6238, appendix B.
var rfcSecret = []byte("12345678901234567890")

// Planted: isTOTP that trims; one that reads other digits.
func TestMatch_RefusesEveryOtherWritingAndStep(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_111_111_109, 0)
	for _, code := range []string{
		"", "0", "08180", "0818044", " 081804", "081804 ", "081804\n", "08 1804", "081-804", "+81804", "0x1804", "08180４", "٠٨١٨٠٤", "081804\x00", "O81804",
	} {
		_, ok, err := match(rfcSecret, code, now)
		require.NoError(t, err)
		require.False(t, ok, "%q", code)
	}
	for _, away := range []time.Duration{-time.Hour, -90 * time.Second, 90 * time.Second, time.Hour} {
		_, ok, err := match(rfcSecret, "081804", now.Add(away))
		require.NoError(t, err)
		require.False(t, ok, away)
	}
}

// The vectors of RFC 6238, appendix B, for SHA-1, their last six digits.
func TestMatch_TakesTheVectorsOfTheStandardAndOneStepOfDrift(t *testing.T) {
	t.Parallel()
	for at, code := range map[int64]string{
		59: "287082", 1_111_111_109: "081804", 1_111_111_111: "050471", 1_234_567_890: "005924", 2_000_000_000: "279037", 20_000_000_000: "353130",
	} {
		for _, drift := range []int64{-30, 0, 30} {
			step, ok, err := match(rfcSecret, code, time.Unix(at+drift, 0))
			require.NoError(t, err)
			require.True(t, ok, "%d%+d", at, drift)
			require.Equal(t, at/30, step)
		}
	}
}

func TestKeyURI_SaysWhatAppsRead(t *testing.T) {
	t.Parallel()
	text := keyURI("Müller & Söhne: Büro", "mia+x@acme.example", rfcSecret)
	u, err := url.Parse(text)
	require.NoError(t, err)
	require.Equal(t, "/Müller & Söhne  Büro:mia+x@acme.example", u.Path, "one colon: it ends the issuer")
	require.Equal(t, url.Values{
		"secret": {"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}, "issuer": {"Müller & Söhne  Büro"}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"},
	}, u.Query())
}

// Planted: an issuer that is not cut.
func TestQRPNG_HoldsTheLongestNames(t *testing.T) {
	t.Parallel()
	uri := keyURI(strings.Repeat("𝕏", 100), strings.Repeat("é", 120)+"@acme.example", rfcSecret)
	_, err := qrPNG(uri)
	require.NoError(t, err)
	u, err := url.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("𝕏", 50), u.Query().Get("issuer"), "whole characters")
}

func TestParseBackup_ForgivesWritingAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "07", "07-ABCD-EFGH-JKM", "07-ABCD-EFGH-JKMNP", "07-ABCD-EFGH-JKMU", "０7-ABCD-EFGH-JKMN", "07_ABCD_EFGH_JKMN", "07-ABCD-EFGH-JKMN\x00", "07\tABCDEFGHJKMN",
		"07—ABCD—EFGH—JKMN",
	} {
		_, ok := parseBackup(bad)
		require.False(t, ok, "%q", bad)
	}
	want := backupCode{row: "07", whole: "07ABCD01GH1KMN"}
	for _, good := range []string{"07-ABCD-01GH-1KMN", "07abcd01gh1kmn", " 07 abcd 01gh 1kmn ", "o7-AbCd-OIGH-lkmn"} {
		got, ok := parseBackup(good)
		require.True(t, ok, "%q", good)
		require.Equal(t, want, got)
	}
}

func TestNewBackup_ReadsBackAndNeverRepeats(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		c := newBackup(1 + i%10)
		read, ok := parseBackup(c.shown())
		require.True(t, ok, c.shown())
		require.Equal(t, c, read)
		require.False(t, seen[c.whole])
		seen[c.whole] = true
	}
}
