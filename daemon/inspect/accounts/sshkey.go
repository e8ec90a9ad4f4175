package accounts

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Key reads a line of authorized_keys or of a public key's file, by sshd(8):
// options, the type, the key in base64, a comment. It is known by the type that
// stands once more at the start of the key.
func Key(line string) (api.SSHKey, bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return api.SSHKey{}, false
	}
	for range 2 {
		kind, rest, _ := strings.Cut(line, " ")
		text, comment, _ := strings.Cut(strings.TrimSpace(rest), " ")
		blob, err := base64.StdEncoding.DecodeString(text)
		if err == nil && len(blob) > 4 && int64(binary.BigEndian.Uint32(blob)) == int64(len(kind)) && strings.HasPrefix(string(blob[4:]), kind) {
			sum := sha256.Sum256(blob)
			return api.SSHKey{Type: look.Clean(kind), Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), Comment: look.Clean(comment)}, true
		}
		line = afterOptions(line)
	}
	return api.SSHKey{}, false
}

// afterOptions is what follows the options: they end at the first space that is
// not in quotes.
func afterOptions(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && quoted:
			i++
		case line[i] == '"':
			quoted = !quoted
		case (line[i] == ' ' || line[i] == '\t') && !quoted:
			return strings.TrimSpace(line[i:])
		}
	}
	return ""
}
