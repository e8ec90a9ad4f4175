package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
)

func (s *streams) inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "say which operating system is inside", ArgsUsage: "IMAGE...", Category: "Inspect",
		Description: "Says for each operating system on the disks which it is and what belongs to it. With --json one object of the shape\n" +
			"guestctl.inspection/1 for each image, in which each fact has its source. With --xml the elements of virt-inspector.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "xml", Usage: "print the XML of virt-inspector"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			if s.cli.Bool("json") && s.cli.Bool("xml") {
				return args.Usage("--json and --xml exclude each other")
			}
			if s.cli.Bool("xml") {
				return s.inspectXML(argv)
			}
			return s.each(argv, func(g *opened, t target) error {
				r, err := g.Inspect(s.ctx)
				if err != nil {
					return err
				}
				if s.cli.Bool("json") {
					return s.encode(r)
				}
				if len(argv) > 1 {
					fmt.Fprintf(s.out, "%s:\n", shown(t.image))
				}
				return s.printInspection(r)
			})
		}),
	}
}

// encode prints a record: indented for a person, on one line for a program.
func (s *session) encode(record any) error {
	if !s.out.terminal {
		return s.out.json.Encode(record)
	}
	e := json.NewEncoder(s.out.Writer)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(record)
}

func (s *session) printInspection(r *api.Inspection) error {
	if len(r.Systems)+len(r.Media) == 0 {
		fmt.Fprintln(s.out, "no operating system found")
	}
	for i := range r.Systems {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		s.printSystem(&r.Systems[i])
	}
	for _, m := range r.Media {
		fmt.Fprintf(s.out, "%s\n", m.Name)
		s.lines([][2]string{{"medium", m.Use + " on " + m.Device}, {"system", strings.Trim(m.Type+", "+m.Distro, ", ")}, {"arch", m.Arch}})
	}
	for _, w := range r.Warnings {
		s.complain(w)
	}
	return nil
}

// complain tells a warning of inspection.
func (s *session) complain(warning string) {
	s.out.Flush()
	fmt.Fprintf(s.err, "guestctl: warning: %s\n", shown(warning))
}

// printSystem prints one system: its name, and a line for each fact.
func (s *session) printSystem(y *api.System) {
	fmt.Fprintf(s.out, "%s\n", y.Name)
	system := y.Type
	if y.Distro != "" && y.Distro != y.Type {
		system += ", " + y.Distro
	}
	version := y.Version
	if y.Codename != "" && !strings.Contains(strings.ToLower(y.Name), strings.ToLower(y.Codename)) {
		version = strings.TrimSpace(version + " " + y.Codename)
	}
	if y.BuildID != "" {
		version = strings.TrimSpace(version + ", build " + y.BuildID)
	}
	root := y.Root
	if y.Path != "" {
		root += ":" + y.Path
	}
	s.lines([][2]string{
		{"system", system}, {"version", version}, {"edition", y.ProductVariant}, {"arch", y.Arch}, {"hostname", y.Hostname},
		{"packages", strings.Trim(y.PackageFormat+", "+y.PackageManagement, ", ")}, {"osinfo", y.OSInfo}, {"machine id", y.MachineID}, {"timezone", y.Timezone}, {"locale", y.Locale},
		{"kernel", defaultKernel(y)}, {"selinux", y.SELinux}, {"last boot", y.LastBoot}, {"last stop", y.LastStop}, {"root", root},
	})
	s.printMounts(y)
	if w := y.Windows; w != nil {
		s.lines([][2]string{{"systemroot", w.SystemRoot}, {"control set", w.CurrentControlSet}})
		var drives []string
		for _, d := range w.DriveMappings {
			drives = append(drives, d.Letter+": "+d.Device)
		}
		s.lines([][2]string{{"drives", strings.Join(drives, ", ")}})
	}
	for _, w := range y.Warnings {
		s.complain(w)
	}
}

// defaultKernel is the kernel that is started, else all that could be.
func defaultKernel(y *api.System) string {
	if y.Boot != nil && y.Boot.Kernel != "" {
		return y.Boot.Kernel + " (" + y.Boot.Loader + ")"
	}
	var list []string
	for _, k := range y.Kernels {
		list = append(list, k.Version)
	}
	return strings.Join(list, ", ")
}

func (s *session) printMounts(y *api.System) {
	for i, m := range y.Mountpoints {
		label := ""
		if i == 0 {
			label = "mounts"
		}
		kind := ""
		if j := slices.IndexFunc(y.Filesystems, func(f api.SystemFilesystem) bool { return f.Device == m.Device }); j >= 0 {
			kind = y.Filesystems[j].Type
		}
		s.line(label, fmt.Sprintf("%s on %s (%s)", m.Path, m.Device, dash(kind)))
	}
}

// lines prints facts, those without a value left out.
func (s *session) lines(facts [][2]string) {
	for _, f := range facts {
		if f[1] != "" {
			s.line(f[0], f[1])
		}
	}
}

// line prints one fact.
func (s *session) line(label, value string) { fmt.Fprintf(s.out, "  %-12s %s\n", label, shown(value)) }
