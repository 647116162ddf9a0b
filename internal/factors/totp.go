package factors

import (
	"bytes"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// RFC 6238 with what every authenticator app takes: HMAC-SHA-1, six digits,
// steps of 30 seconds, and one step of drift to either side.
const (
	period     = 30
	drift      = 1
	digits     = 6
	secretSize = 20 // bytes, the output of SHA-1 (RFC 4226, 4)
	qrSize     = 256
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// isTOTP takes six ASCII digits and nothing around them: a code that is
// written in several ways could be used in several ways.
func isTOTP(code string) bool {
	if len(code) != digits {
		return false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func stepAt(now time.Time) int64 { return now.Unix() / period }

// match answers the newest step around now whose code this is. All are looked
// at: which one matched takes no other time.
func match(secret []byte, code string, now time.Time) (step int64, ok bool, err error) {
	if !isTOTP(code) {
		return 0, false, nil
	}
	text, at := base32Plain.EncodeToString(secret), stepAt(now)
	for n := max(at-drift, 0); n <= at+drift; n++ {
		want, err := hotp.GenerateCodeCustom(text, uint64(n), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}) //nolint:gosec // not negative
		if err != nil {
			return 0, false, fmt.Errorf("make TOTP code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = n, true
		}
	}
	return step, ok, nil
}

// keyURI is what a QR code says (the Key Uri Format of authenticator apps).
func keyURI(issuer, account string, secret []byte) string {
	// A colon, escaped or not, would end the issuer.
	issuer = escapeShort(strings.ReplaceAll(issuer, ":", " "))
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
		issuer, escape(account), base32Plain.EncodeToString(secret), issuer, digits, period)
}

// escape escapes whatever means something in a path or a query; not every app
// reads "+" as a space.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// maxIssuer keeps the URI, which holds the issuer twice and an address of up to
// 254 bytes, within the 2,331 bytes of a QR code (ISO/IEC 18004, 40-M).
const maxIssuer = 600

// escapeShort is escape of as much of a text as maxIssuer takes.
func escapeShort(text string) string {
	runes := []rune(text)
	for len(escape(string(runes))) > maxIssuer {
		runes = runes[:len(runes)-1]
	}
	return escape(string(runes))
}

func qrPNG(uri string) ([]byte, error) {
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return nil, fmt.Errorf("read key URI: %w", err)
	}
	img, err := key.Image(qrSize, qrSize)
	if err != nil {
		return nil, fmt.Errorf("draw QR code: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("encode QR code: %w", err)
	}
	return out.Bytes(), nil
}
