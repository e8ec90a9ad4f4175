package service

import (
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// settings are a configuration and what it names. They are replaced as a whole.
type settings struct {
	Config
	keys []api.Key
}

// config is the configuration as it is now. It does not change; the next call
// may answer another one.
func (b *Broker) config() *Config { return &b.settings.Load().Config }

// keysFor are the keys that an image may be opened with: those it was attached
// with, and the daemon's own where root or the daemon's user has attached it,
// since whoever may only read shall not open with them what he could not read
// otherwise.
func (b *Broker) keysFor(img *image) []api.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	if img.restricted {
		return img.keys
	}
	return slices.Concat(img.keys, b.settings.Load().keys)
}

// Reload takes a configuration that was read again: what can change while the
// daemon runs does, for what begins from then on. It answers the names of the
// settings that have changed, and of those that take a restart and stay as
// they were. An error changes nothing.
func (b *Broker) Reload(next Config) (changed, later []string, err error) {
	if err := next.check(); err != nil {
		return nil, nil, err
	}
	cfg := *b.config()
	changed, later = cfg.take(next)
	keys, err := readKeys(&cfg)
	if err != nil {
		return nil, nil, err
	}
	b.settings.Store(&settings{cfg, keys})
	b.log.Info("the configuration was read again", "changed", strings.Join(changed, " "), "need_restart", strings.Join(later, " "))
	return changed, later, nil
}
