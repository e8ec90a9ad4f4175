package crypt

import "bytes"

// A Secret is one key as it is handed to another process.
type Secret struct {
	Name  string // the volume's name, its UUID, or "all"
	Value []byte
	File  bool // Value is what a key file holds, else a passphrase
}

// Secrets are copies of all keys, in the order in which they were added. Wipe
// their values after use.
func (k *Keys) Secrets() []Secret {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []Secret
	for _, x := range k.list {
		list = append(list, Secret{x.name, bytes.Clone(x.secret), x.file})
	}
	return list
}

// AddSecret adds a key that another process gave.
func (k *Keys) AddSecret(s Secret) {
	k.put(key{name: trimDev(s.Name), secret: bytes.Clone(s.Value), file: s.File})
}
