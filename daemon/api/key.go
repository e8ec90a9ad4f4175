package api

import "log/slog"

// Key unlocks an encrypted volume. It goes to the daemon and is told to nobody:
// no record, event or log has it.
type Key struct {
	Volume     string `json:"volume" minLength:"1" maxLength:"256" doc:"name of the volume (sda2), its UUID, or all"`
	Passphrase string `json:"passphrase,omitempty" maxLength:"512"`
	Secret     []byte `json:"secret,omitempty" maxLength:"786432" doc:"base64, in place of passphrase: one that is no text, or what a key file holds"`
	File       bool   `json:"file,omitempty" doc:"secret is what a key file holds"`
}

// Value is the secret itself.
func (k Key) Value() []byte {
	if len(k.Secret) > 0 || k.File {
		return k.Secret
	}
	return []byte(k.Passphrase)
}

// String does not tell the secret.
func (k Key) String() string { return "a key of " + k.Volume }

// GoString is String, for %#v.
func (k Key) GoString() string { return k.String() }

// LogValue is String, for slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
