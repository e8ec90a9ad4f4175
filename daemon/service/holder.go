package service

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/raw"
)

// nameHolder is err, or, where it says that an image is in use, the same with
// the process that uses it: a worker in its sandbox cannot look for that.
func (b *Broker) nameHolder(ctx context.Context, img *image, err error) error {
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodeImageInUse {
		return err
	}
	for _, i := range img.attach.Images {
		host, herr := img.files.Image(ctx, i.Path)
		if herr != nil {
			continue
		}
		f, herr := raw.New(host, raw.Options{Log: b.log})
		if herr == nil {
			f.Close()
			continue
		}
		if inUse := (*raw.InUseError)(nil); errors.As(herr, &inUse) {
			return problemOf(herr)
		}
	}
	return err
}
