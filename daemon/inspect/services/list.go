package services

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// maxServices bounds the services of one system.
const maxServices = 10_000

// A List is what was found.
type List struct {
	Services []api.Service
	Warnings []string

	ctx  context.Context
	fs   *look.FS
	full bool
}

func (l *List) warn(format string, args ...any) {
	if len(l.Warnings) < 100 && l.ctx.Err() == nil {
		l.Warnings = append(l.Warnings, look.Clean(fmt.Sprintf(format, args...)))
	}
}

// add cleans a service and takes it.
func (l *List) add(s api.Service) {
	if len(l.Services) == maxServices {
		if !l.full {
			l.full = true
			l.warn("there are more than %d services; the rest is left out", maxServices)
		}
		return
	}
	for _, f := range []*string{&s.Name, &s.Description, &s.Command, &s.Account, &s.Source} {
		*f = look.Clean(*f)
	}
	for i := range s.When {
		s.When[i] = look.Clean(s.When[i])
	}
	if s.Name != "" {
		l.Services = append(l.Services, s)
	}
}

// Unix lists the services of a Unix. The error is ctx's.
func Unix(ctx context.Context, fs *look.FS) (*List, error) {
	l := &List{ctx: ctx, fs: fs, Services: []api.Service{}}
	units := l.systemd()
	l.sysvinit(units)
	l.openRC()
	l.rcConf()
	l.sort()
	return l, ctx.Err()
}

func (l *List) sort() {
	slices.SortStableFunc(l.Services, func(a, b api.Service) int {
		return cmp.Or(strings.Compare(a.Manager, b.Manager), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
}
