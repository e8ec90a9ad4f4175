package inspect

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/packages"
)

// PackageOptions are the choices of Packages.
type PackageOptions = packages.Options

// Packages lists what is installed in the systems among sources. What cannot be
// read is a warning; the error is ctx's.
func Packages(ctx context.Context, sources []Source, opt PackageOptions) (*api.Packages, error) {
	systems, err := Systems(ctx, sources)
	if err != nil {
		return nil, err
	}
	r := &api.Packages{Schema: api.PackagesSchema, Systems: []api.SystemPackages{}, Warnings: []string{}}
	for _, sys := range systems {
		s, err := packagesOf(ctx, sys, sources, opt)
		if err != nil {
			return nil, err
		}
		r.Systems = append(r.Systems, *s)
	}
	return r, nil
}

func packagesOf(ctx context.Context, sys System, sources []Source, opt PackageOptions) (*api.SystemPackages, error) {
	r, err := newReport(ctx, sys, sources)
	if err != nil {
		return nil, err
	}
	r.describe()
	s := &api.SystemPackages{Root: r.out.Root, Path: r.out.Path, Name: r.out.Name, Distro: r.out.Distro, Version: r.out.Version}
	s.Packages, s.Warnings, err = packages.List(ctx, r.fs, opt)
	s.Packages = append(s.Packages, r.programs()...)
	s.Warnings = append(slices.Clone(r.out.Warnings), s.Warnings...)
	slices.SortStableFunc(s.Packages, func(a, b api.Package) int {
		return cmp.Or(strings.Compare(a.Format, b.Format), strings.Compare(a.Name, b.Name))
	})
	return s, err
}
