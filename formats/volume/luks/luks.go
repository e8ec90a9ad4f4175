// Package luks is the volume scheme for LUKS: the header and its keys are those
// of package crypt/luks.
//
// A container is a volume named as libguestfs names it, cryptsda2 for the
// device sda2. It is listed whether a key opens it or not; without one its Err
// is a *crypt.LockedError, which names the option. Keys are looked for by the
// name of the device, its aliases, the UUID in the header, and the name of the
// volume.
//
// This package may change.
package luks

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/formats/crypt"
	header "github.com/guestctl/guestctl/formats/crypt/luks"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "luks"

// Scheme is LUKS1 and LUKS2.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scheme.Each(Name, scan)} }

func scan(ctx context.Context, d scheme.Device, opt scheme.Options) ([]scheme.Volume, error) {
	h, err := header.Read(ctx, d.Dev, opt.Warn)
	if not := (*ondisk.NotThisError)(nil); errors.As(err, &not) {
		return nil, nil
	}
	if h == nil {
		if ctx.Err() != nil || !isDamage(err) {
			return nil, ctx.Err()
		}
		return nil, err
	}
	v := scheme.Volume{Name: scheme.MapName(d.Name), Type: Name, Kind: h.Name(), UUID: h.UUID, Label: h.Label, Disk: d.Root()}
	v.Aliases = []string{"mapper/" + v.Name, "mapper/luks-" + h.UUID}
	if err != nil {
		v.Err = err
		return []scheme.Volume{v}, nil
	}
	secrets := opt.Keys.For(append([]string{d.Name, h.UUID, v.Name}, d.Aliases...)...)
	defer crypt.WipeAll(secrets)
	if len(secrets) == 0 {
		v.Err = &crypt.LockedError{What: h.Name(), Name: d.Name, UUID: h.UUID}
		return []scheme.Volume{v}, nil
	}
	v.Dev, err = h.Unlock(ctx, d.Dev, secrets)
	if errors.Is(err, header.ErrWrongKey) {
		err = &crypt.LockedError{What: h.Name(), Name: d.Name, UUID: h.UUID, Tried: len(secrets)}
	}
	if err != nil {
		v.Dev, v.Err = nil, err
	}
	return []scheme.Volume{v}, ctx.Err()
}

// isDamage says whether err is about the bytes and not about reading them: who
// cannot read a device does not know that it is LUKS.
func isDamage(err error) bool {
	corrupt, unsupported := (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
	return errors.As(err, &corrupt) || errors.As(err, &unsupported)
}
