package crypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// maxKeyFile bounds a key file, in bytes: cryptsetup's own bound.
const maxKeyFile = 8 << 20

// MaxPassphrase is the longest passphrase that is taken from a line, in bytes.
const MaxPassphrase = 512

// Keys are secrets for encrypted volumes. A nil *Keys has none. It is safe for
// any number of goroutines.
type Keys struct {
	mu   sync.Mutex // guards list; a leaf
	list []key
}

// A key is one secret and what it is for.
type key struct {
	name   string // "all", a name or a UUID, without /dev/
	secret []byte
	file   bool // the content of a key file
}

// Add adds a key by libguestfs's selector: NAME|UUID|all:key:PASSPHRASE or
// NAME|UUID|all:file:FILE. The error does not contain the secret.
func (k *Keys) Add(selector string) error {
	name, kind, value, err := parseSelector(selector)
	if err != nil {
		return err
	}
	if kind == "key" {
		k.put(key{name: trimDev(name), secret: []byte(value)})
		return nil
	}
	b, err := readKeyFile(value)
	if err != nil {
		return fmt.Errorf("the key file of %q: %w", name, err)
	}
	k.put(key{name: trimDev(name), secret: b, file: true})
	return nil
}

// CheckSelector says what is wrong with a selector, without opening a file.
func CheckSelector(selector string) error {
	_, _, _, err := parseSelector(selector)
	return err
}

func parseSelector(selector string) (name, kind, value string, err error) {
	name, rest, ok := strings.Cut(selector, ":")
	kind, value, ok2 := strings.Cut(rest, ":")
	switch {
	case ok && kind == "clevis":
		return "", "", "", fmt.Errorf("the key of %q: clevis asks servers and TPMs for keys, which is not done here; `clevis luks pass` on the machine prints the passphrase", name)
	case !ok || !ok2 || name == "":
		return "", "", "", errors.New("a key is written NAME:key:PASSPHRASE or NAME:file:FILE; NAME is the volume's name (sda2), its UUID, or all")
	case kind != "key" && kind != "file":
		return "", "", "", fmt.Errorf("the key of %q is of a kind that is not known; there are key and file", name)
	}
	return name, kind, value, nil
}

// maxLines bounds the passphrases that are read from a stream.
const maxLines = 64

// AddLines adds each line of r, to its end, as a passphrase that is tried on
// every volume.
func (k *Keys) AddLines(r io.Reader) error {
	buf := make([]byte, maxLines*(MaxPassphrase+1))
	defer clear(buf)
	n, err := io.ReadFull(r, buf)
	if err == nil {
		return fmt.Errorf("more than %d passphrases of at most %d bytes", maxLines, MaxPassphrase)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	for rest := buf[:n]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte{'\n'})
		k.AddPassphrase(line)
		rest = after
	}
	return nil
}

// AddPassphrase adds a passphrase that is tried on every volume.
func (k *Keys) AddPassphrase(p []byte) { k.put(key{name: "all", secret: bytes.Clone(p)}) }

func (k *Keys) put(x key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, x)
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, maxKeyFile+1)
	n, err := io.ReadFull(f, b)
	switch {
	case err == nil:
		clear(b)
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		clear(b[:n])
		return nil, err
	}
	out := bytes.Clone(b[:n])
	clear(b[:n])
	return out, nil
}

// For are copies of the secrets to try on a volume that has these names and
// UUIDs, those meant for it before those for all. A key file that ends in a
// newline is tried with and without it: as cryptsetup reads a key file, and as
// libguestfs reads the file of a passphrase. Wipe them after use.
func (k *Keys) For(names ...string) [][]byte {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var own, all [][]byte
	for _, x := range k.list {
		list := &all
		if x.name != "all" {
			if !matches(x.name, names) {
				continue
			}
			list = &own
		}
		*list = append(*list, bytes.Clone(x.secret))
		if line, _, found := bytes.Cut(x.secret, []byte{'\n'}); x.file && found {
			*list = append(*list, bytes.Clone(line))
		}
	}
	return append(own, all...)
}

// Empty says that there is no key at all.
func (k *Keys) Empty() bool {
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.list) == 0
}

// Wipe overwrites the secrets and forgets them.
func (k *Keys) Wipe() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, x := range k.list {
		clear(x.secret)
	}
	k.list = nil
}

// WipeAll overwrites secrets.
func WipeAll(secrets [][]byte) {
	for _, s := range secrets {
		clear(s)
	}
}

func matches(name string, names []string) bool {
	for _, n := range names {
		if n != "" && strings.EqualFold(trimDev(n), name) {
			return true
		}
	}
	return false
}

func trimDev(name string) string { return strings.TrimPrefix(name, "/dev/") }

// String names the selectors, never a secret.
func (k *Keys) String() string {
	if k == nil {
		return "no keys"
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	names := make([]string, len(k.list))
	for i, x := range k.list {
		names[i] = x.name
	}
	return fmt.Sprintf("keys for %q", names)
}

// GoString is String, for %#v.
func (k *Keys) GoString() string { return k.String() }

// Format is String for every verb.
func (k *Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue is String, for slog.
func (k *Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String, for JSON.
func (k *Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
