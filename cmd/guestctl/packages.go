package main

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/daemon/inspect/sbom"
)

func (s *streams) packagesCommand() *cli.Command {
	return &cli.Command{
		Name: "packages", Usage: "list what is installed", ArgsUsage: "IMAGE...", Category: "Inspect",
		Description: "Lists the packages of dpkg, rpm, apk, pacman, Portage, XBPS, FreeBSD's pkg, Flatpak, snap and Windows, one line each: name,\n" +
			"version, architecture, format. With --json one object of the shape guestctl.packages/1 for each image; with --sbom a bill\n" +
			"of materials.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.StringSliceFlag{Name: "filter", Usage: "only packages whose name fits `GLOB`"},
			&cli.StringFlag{Name: "sbom", Usage: "print a bill of materials, `FORM` cyclonedx or spdx; --format takes these two words as well"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "languages", Usage: "also packages of Python, Node.js, Ruby, Go and Rust"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			form := s.cli.String("sbom")
			if f := s.cli.String("format"); form == "" && (f == "cyclonedx" || f == "spdx") {
				form = f
				if err := s.cli.Set("format", ""); err != nil {
					return err
				}
			}
			if !slices.Contains([]string{"", "cyclonedx", "spdx"}, form) {
				return args.Usage("--sbom %s: the forms are cyclonedx and spdx", form)
			}
			for _, glob := range s.cli.StringSlice("filter") {
				if _, err := path.Match(glob, ""); err != nil {
					return args.Usage("--filter %s: %v", glob, err)
				}
			}
			return s.each(argv, func(g *opened, t target) error { return s.packages(g, t, form) })
		}),
	}
}

func (s *session) packages(g *opened, t target, form string) error {
	r, err := g.Packages(s.ctx, inspect.PackageOptions{Languages: s.cli.Bool("languages")})
	if err != nil {
		return err
	}
	s.filter(r)
	doc := &sbom.Document{Name: path.Base(t.image), Tool: version, Time: time.Now(), Packages: r}
	switch {
	case form == "cyclonedx":
		return sbom.CycloneDX(s.out, doc)
	case form == "spdx":
		return sbom.SPDX(s.out, doc)
	case s.cli.Bool("json"):
		return s.encode(r)
	}
	for i := range r.Systems {
		s.printPackages(&r.Systems[i])
	}
	for _, w := range r.Warnings {
		s.complain(w)
	}
	return nil
}

// filter leaves the packages that were asked for.
func (s *session) filter(r *api.Packages) {
	globs := s.cli.StringSlice("filter")
	if len(globs) == 0 {
		return
	}
	for i := range r.Systems {
		y := &r.Systems[i]
		y.Packages = slices.DeleteFunc(y.Packages, func(p api.Package) bool {
			return !slices.ContainsFunc(globs, func(glob string) bool {
				ok, _ := path.Match(strings.ToLower(glob), strings.ToLower(p.Name))
				return ok
			})
		})
	}
}

func (s *session) printPackages(y *api.SystemPackages) {
	var rows [][]string
	for _, p := range y.Packages {
		name := p.DisplayName
		if name == "" {
			name = p.Name
		}
		note := p.Format
		if p.State != "" {
			note += " (" + p.State + ")"
		}
		rows = append(rows, []string{shown(name), dash(shown(p.FullVersion)), dash(shown(p.Arch)), shown(note)})
	}
	printTable(s.out, rows)
	for _, w := range y.Warnings {
		s.complain(w)
	}
}
