package ldm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "ldm"

// Scheme is Windows's Logical Disk Manager.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scan} }

func scan(ctx context.Context, devs []scheme.Device, opt scheme.Options) (scheme.Found, error) {
	var found scheme.Found
	disks, fails := make([]*disk, len(devs)), make([]error, len(devs))
	var wg sync.WaitGroup
	for i, d := range devs {
		if d.Nested || d.Disk != "" {
			continue
		}
		wg.Go(func() {
			disks[i], fails[i] = readDisk(ctx, d, func(err error) { opt.Warn(fmt.Errorf("%s: %w", d.Name, err)) })
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return found, err
	}
	groups := map[string]*group{}
	var order []*group
	for i, d := range disks {
		corrupt, unsupported := (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
		if err := fails[i]; errors.As(err, &corrupt) || errors.As(err, &unsupported) {
			found.Volumes = append(found.Volumes, scheme.Volume{Name: devs[i].Name, Type: Name, Disk: devs[i].Root(), Err: err})
			continue
		}
		if d == nil { // what cannot be read is met again by whoever reads it next
			continue
		}
		found.Members = append(found.Members, d.device.Name)
		g := groups[d.priv.group]
		if g == nil {
			g = &group{byGUID: make(map[string]*disk)}
			groups[d.priv.group] = g
			order = append(order, g)
		}
		g.add(d, opt.Warn)
	}
	for _, g := range order {
		if !opt.Final && g.lacks() {
			continue
		}
		for _, d := range g.disks {
			found.Volumes = append(found.Volumes, d.plain...)
		}
		found.Volumes = append(found.Volumes, g.volumes(opt)...)
	}
	return found, nil
}
