package service

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/crypt"
)

// takeKeys takes the keys out of a request, so that what remains of it may be
// shown and kept.
func takeKeys(a *api.Attach) ([]api.Key, error) {
	var keys []api.Key
	for i, k := range a.Keys {
		if k.Passphrase != "" && (len(k.Secret) > 0 || k.File) {
			return nil, invalid("key %d has both a passphrase and a secret", i+1)
		}
		keys = append(keys, api.Key{Volume: k.Volume, Secret: bytes.Clone(k.Value()), File: k.File})
	}
	a.Keys = nil
	return keys, nil
}

// keyedID is the id of an image with keys: the same for the same request while
// this daemon runs, and of no use to whoever wants to guess a passphrase.
func (b *Broker) keyedID(a api.Attach, keys []api.Key) (string, error) {
	text, err := json.Marshal(struct {
		api.Attach
		Keys []api.Key
	}{a, keys})
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, b.secret[:])
	mac.Write(text)
	clear(text)
	return hex.EncodeToString(mac.Sum(nil)[:6]), nil
}

// mayRead refuses what others unlocked: who does not have the keys of an
// encrypted image does not read it through a daemon that has.
func (b *Broker) mayRead(by Peer, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	img := b.images[id]
	switch {
	case img == nil || img.removed:
		return noImage(id)
	case len(img.keys) == 0 || by.mayWrite() || img.refs[by.UID] > 0:
		return nil
	}
	return api.NewProblem(http.StatusForbidden, api.CodeForbidden, fmt.Sprintf("user %d has not attached this image, which was unlocked with keys", by.UID),
		"attach it with its keys")
}

// wipeKeys overwrites keys that nobody needs any more.
func wipeKeys(keys []api.Key) {
	for _, k := range keys {
		clear(k.Secret)
	}
}

// unlocking are keys as package daemon takes them. Wipe them after use.
func unlocking(list []api.Key) *crypt.Keys {
	keys := &crypt.Keys{}
	for _, k := range list {
		keys.AddSecret(crypt.Secret{Name: k.Volume, Value: k.Value(), File: k.File})
	}
	return keys
}
