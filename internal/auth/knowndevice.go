package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

// deviceDays is how long a device stays known after its last login.
const deviceDays = 180

// knownDevice is what a device token says: that this device has logged in to
// this account. It proves nothing about who holds the device; it only takes
// the device out of the count of strangers' failures (A9), and spares its
// owner a notice (A14). Nothing of it is stored: users.device_epoch makes all
// the tokens of an account worthless at once.
type knownDevice struct {
	id, user uuid.UUID
	epoch    int64
	// day is that of the login, in days since 1970.
	day uint32
}

// A token is a version byte, the device's and the account's ids, the epoch and
// the day, big endian, and the HMAC-SHA256 of all that; base64url.
const (
	deviceVersion = 1
	deviceBody    = 1 + 16 + 16 + 8 + 4
	deviceToken   = deviceBody + sha256.Size
)

func newDevice(user uuid.UUID, epoch int64) knownDevice {
	return knownDevice{id: ids.New(), user: user, epoch: epoch}
}

func today(now time.Time) uint32 { return uint32(now.Unix() / (24 * 60 * 60)) }

// token answers the device's token of a login now.
func (d knownDevice) token(key secrets.DataKey, now time.Time) string {
	b := make([]byte, 0, deviceToken)
	b = append(b, deviceVersion)
	b = append(b, d.id[:]...)
	b = append(b, d.user[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(d.epoch))
	b = binary.BigEndian.AppendUint32(b, today(now))
	return base64.RawURLEncoding.EncodeToString(append(b, deviceMAC(key, b)...))
}

func deviceMAC(key secrets.DataKey, body []byte) []byte {
	m := hmac.New(sha256.New, key.Derive("known-device"))
	m.Write(body)
	return m.Sum(nil)
}

// readDevice reads a token that this tenant has given out and that is not too
// old. Whether its epoch is the account's, only the database knows.
func readDevice(key secrets.DataKey, token string, now time.Time) (knownDevice, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(deviceToken) {
		return knownDevice{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || b[0] != deviceVersion || !hmac.Equal(deviceMAC(key, b[:deviceBody]), b[deviceBody:]) {
		return knownDevice{}, false
	}
	d := knownDevice{epoch: int64(binary.BigEndian.Uint64(b[33:])), day: binary.BigEndian.Uint32(b[41:])}
	copy(d.id[:], b[1:17])
	copy(d.user[:], b[17:33])
	// A day ahead is a clock that was; more of them lose nothing but a wait.
	return d, d.day+deviceDays >= today(now)
}

// of reports whether the device is known to an account as it is now.
func (d knownDevice) of(user uuid.UUID, epoch int64) bool { return d.user == user && d.epoch == epoch }

// DeviceAccount answers whose known device sends a token, as far as that can
// be said without asking the database; false for a stranger's.
func DeviceAccount(key secrets.DataKey, token string, now time.Time) (ids.User, bool) {
	d, ok := readDevice(key, token, now)
	return ids.User(d.user), ok
}
