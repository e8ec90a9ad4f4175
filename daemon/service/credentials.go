package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// credentialPrefix begins the names of the credentials that are keys.
const credentialPrefix = "luks."

// maxKeyBytes bounds a key file: cryptsetup reads 8 MiB at most.
const maxKeyBytes = 8 << 20

// readKeys reads the keys of a configuration and of systemd's credentials.
func readKeys(c *Config) ([]api.Key, error) {
	type source struct{ name, path string }
	var sources []source
	for _, selector := range c.Keys {
		name, path, _ := strings.Cut(selector, ":file:") // check has seen it
		sources = append(sources, source{name, path})
	}
	if c.Credentials != "" {
		entries, err := os.ReadDir(c.Credentials)
		if err != nil {
			return nil, fmt.Errorf("systemd's credentials: %w", err)
		}
		for _, e := range entries {
			if name, is := strings.CutPrefix(e.Name(), credentialPrefix); is && name != "" {
				sources = append(sources, source{name, filepath.Join(c.Credentials, e.Name())})
			}
		}
	}
	var keys []api.Key
	for _, s := range sources {
		st, err := os.Stat(s.path)
		if err == nil && st.Size() > maxKeyBytes {
			err = fmt.Errorf("%s is larger than %d bytes", s.path, maxKeyBytes)
		}
		var secret []byte
		if err == nil {
			secret, err = os.ReadFile(s.path)
		}
		if err != nil {
			return nil, fmt.Errorf("the key of %q: %w", s.name, err)
		}
		keys = append(keys, api.Key{Volume: s.name, Secret: secret, File: true})
	}
	return keys, nil
}
