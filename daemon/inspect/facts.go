package inspect

import (
	"context"
	"slices"
	"sync"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/accounts"
	"github.com/guestctl/guestctl/daemon/inspect/boot"
	"github.com/guestctl/guestctl/daemon/inspect/network"
	"github.com/guestctl/guestctl/daemon/inspect/services"
)

// eachSystem reports on the systems among sources: what each is, then what do
// adds. The error is ctx's.
func eachSystem(ctx context.Context, sources []Source, do func(r *report) error) error {
	systems, err := Systems(ctx, sources)
	if err != nil {
		return err
	}
	for _, sys := range systems {
		r, err := newReport(ctx, sys, sources)
		if err != nil {
			return err
		}
		r.describe()
		if err := do(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Users lists the accounts of the systems among sources. What cannot be read is
// a warning; the error is ctx's.
func Users(ctx context.Context, sources []Source) (*api.Users, error) {
	out := &api.Users{Schema: api.UsersSchema, Systems: []api.SystemUsers{}, Warnings: []string{}}
	err := eachSystem(ctx, sources, func(r *report) error {
		l, err := r.accounts()
		if err != nil {
			return err
		}
		out.Systems = append(out.Systems, api.SystemUsers{Root: r.out.Root, Path: r.out.Path, Name: r.out.Name, Users: l.Users, Groups: l.Groups, Warnings: slices.Concat(r.out.Warnings, l.Warnings)})
		return nil
	})
	return out, err
}

// Services lists what the systems among sources start. What cannot be read is a
// warning; the error is ctx's.
func Services(ctx context.Context, sources []Source) (*api.Services, error) {
	out := &api.Services{Schema: api.ServicesSchema, Systems: []api.SystemServices{}, Warnings: []string{}}
	err := eachSystem(ctx, sources, func(r *report) error {
		l, err := r.services()
		if err != nil {
			return err
		}
		out.Systems = append(out.Systems, api.SystemServices{Root: r.out.Root, Path: r.out.Path, Name: r.out.Name, Services: l.Services, Warnings: slices.Concat(r.out.Warnings, l.Warnings)})
		return nil
	})
	return out, err
}

// Networks reads the networks of the systems among sources. What cannot be read
// is a warning; the error is ctx's.
func Networks(ctx context.Context, sources []Source) (*api.Networks, error) {
	out := &api.Networks{Schema: api.NetworksSchema, Systems: []api.SystemNetwork{}, Warnings: []string{}}
	err := eachSystem(ctx, sources, func(r *report) error {
		l, err := r.network()
		if err != nil {
			return err
		}
		out.Systems = append(out.Systems, api.SystemNetwork{Root: r.out.Root, Path: r.out.Path, Name: r.out.Name, Network: l.Network, Warnings: slices.Concat(r.out.Warnings, l.Warnings)})
		return nil
	})
	return out, err
}

func (r *report) network() (*network.List, error) {
	switch {
	case r.reg != nil:
		return network.Windows(r.ctx, r.reg, r.fs, r.out.Windows.SystemRoot)
	case r.sys.Kind == "dos":
		return &network.List{Network: api.Network{Interfaces: []api.Interface{}}}, nil
	}
	return network.Unix(r.ctx, r.fs)
}

func (r *report) accounts() (*accounts.List, error) {
	switch {
	case r.reg != nil:
		return accounts.Windows(r.ctx, r.reg)
	case r.sys.Kind == "dos":
		return &accounts.List{Users: []api.User{}, Groups: []api.Group{}}, nil
	}
	return accounts.Unix(r.ctx, r.fs)
}

func (r *report) services() (*services.List, error) {
	switch {
	case r.reg != nil:
		return services.Windows(r.ctx, r.reg)
	case r.sys.Kind == "dos":
		return &services.List{Services: []api.Service{}}, nil
	}
	return services.Unix(r.ctx, r.fs)
}

// facts fills in what Inspect tells beyond what the system is. A tree may be read
// by several at a time, a registry by one.
func (r *report) facts() {
	var users *accounts.List
	var started *services.List
	var net *network.List
	var kernels []api.Kernel
	var entry *api.BootEntry
	var settings *settings
	parts := []func() error{
		func() (err error) { users, err = r.accounts(); return err },
		func() (err error) { started, err = r.services(); return err },
		func() (err error) { net, err = r.network(); return err },
		func() (err error) {
			if r.sys.Kind == "linux" {
				kernels, entry, err = boot.Find(r.ctx, r.fs)
			}
			return err
		},
		func() error { settings = r.settings(); return nil },
	}
	var wg sync.WaitGroup
	panics := make([]any, len(parts))
	for i, part := range parts {
		run := func() {
			defer func() { panics[i] = recover() }() // a bug in one parser must not end the process
			_ = part()                               // ctx's, which Describe answers
		}
		if r.reg != nil {
			run()
		} else {
			wg.Go(run)
		}
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			r.warn("panic while reading facts: %v", p)
		}
	}
	r.out.Kernels, r.out.Boot = kernels, entry
	if settings != nil {
		settings.keep(r)
	}
	if users != nil {
		r.out.Users, r.out.Groups = users.Users, users.Groups
		r.warnAll(users.Warnings)
	}
	if started != nil {
		for _, s := range started.Services {
			if startsItself(&s) {
				r.out.Services = append(r.out.Services, s)
			}
		}
		r.warnAll(started.Warnings)
	}
	if net != nil {
		r.out.Network = &net.Network
		r.warnAll(net.Warnings)
	}
}

func (r *report) warnAll(list []string) {
	for _, w := range list {
		r.warn("%s", w)
	}
}

// startsItself says whether a service is started without being asked for.
func startsItself(s *api.Service) bool {
	switch s.Start {
	case "enabled":
		return true
	case "auto", "delayed":
		return s.Kind != "driver"
	}
	return false
}
