package bitlocker

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "bitlocker"

// Scheme is BitLocker.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scheme.Each(Name, scan)} }

func scan(ctx context.Context, d scheme.Device, opt scheme.Options) ([]scheme.Volume, error) {
	m, err := read(ctx, d.Dev, opt.Warn)
	not, corrupt, unsupported := (*ondisk.NotThisError)(nil), (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
	switch {
	case errors.As(err, &not):
		return nil, nil
	case errors.As(err, &corrupt), errors.As(err, &unsupported):
		return nil, err
	case err != nil:
		return nil, ctx.Err() // whoever reads it next says so
	}
	v := scheme.Volume{Name: scheme.MapName(d.Name), Type: Name, Kind: "BitLocker", UUID: m.guid, Disk: d.Root()}
	v.Aliases = []string{"mapper/" + v.Name}
	secrets := opt.Keys.For(append([]string{d.Name, m.guid, v.Name}, d.Aliases...)...)
	defer crypt.WipeAll(secrets)
	v.Dev, err = m.unlock(ctx, d.Dev, secrets)
	if errors.Is(err, errWrongKey) {
		err = &crypt.LockedError{What: "BitLocker", Name: d.Name, UUID: m.guid, Tried: len(secrets)}
	}
	if err != nil {
		v.Dev, v.Err = nil, err
	}
	return []scheme.Volume{v}, ctx.Err()
}
