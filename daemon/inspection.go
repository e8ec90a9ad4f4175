package daemon

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
)

// Inspect says which systems are in the guest, and what they are. It looks into
// the filesystems that the view left open: all, unless the view shows one
// system or what the user chose. The error is ctx's, or a bug's.
func (g *Guest) Inspect(ctx context.Context) (r *api.Inspection, err error) {
	err = g.guard(func() error {
		r, err = inspect.Inspect(ctx, g.inspected(ctx))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range g.found {
		if f.worthWarning() {
			r.Warnings = append(r.Warnings, "not looked into: "+f.what()+": "+f.err.Error())
		}
	}
	return r, nil
}

// ownRoots are the systems whose root is that of their filesystem, which a view
// can show. The deployments of OSTree are not.
func ownRoots(systems []inspect.System) []inspect.System {
	return slices.DeleteFunc(slices.Clone(systems), func(s inspect.System) bool { return s.Path != "/" })
}

// indented is a record as the files in .guest have it.
func indented[T any](record func(context.Context) (T, error)) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		r, err := record(ctx)
		if err != nil {
			return nil, err
		}
		b, err := json.MarshalIndent(r, "", "  ")
		return append(b, '\n'), err
	}
}

// Packages lists what is installed in the guest, by the rules of Inspect.
func (g *Guest) Packages(ctx context.Context, opt inspect.PackageOptions) (r *api.Packages, err error) {
	err = g.guard(func() error {
		r, err = inspect.Packages(ctx, g.inspected(ctx), opt)
		return err
	})
	return r, err
}

// allPackages is .guest/packages.json.
func (g *Guest) allPackages(ctx context.Context) (*api.Packages, error) {
	return g.Packages(ctx, inspect.PackageOptions{Languages: true})
}

// Registry calls do with the registry of the one Windows in the guest.
func (g *Guest) Registry(ctx context.Context, do func(*registry.Registry) error) error {
	return g.guard(func() error {
		r, err := inspect.Registry(ctx, g.inspected(ctx))
		if err != nil {
			return err
		}
		return do(r)
	})
}

// Users lists the accounts of the guest's systems, by the rules of Inspect.
func (g *Guest) Users(ctx context.Context) (r *api.Users, err error) {
	err = g.guard(func() error {
		r, err = inspect.Users(ctx, g.inspected(ctx))
		return err
	})
	return r, err
}

// Services lists what the guest's systems start, by the rules of Inspect.
func (g *Guest) Services(ctx context.Context) (r *api.Services, err error) {
	err = g.guard(func() error {
		r, err = inspect.Services(ctx, g.inspected(ctx))
		return err
	})
	return r, err
}

// Networks reads the networks of the guest's systems, by the rules of Inspect.
func (g *Guest) Networks(ctx context.Context) (r *api.Networks, err error) {
	err = g.guard(func() error {
		r, err = inspect.Networks(ctx, g.inspected(ctx))
		return err
	})
	return r, err
}
