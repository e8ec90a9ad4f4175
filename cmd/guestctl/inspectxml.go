package main

import (
	"cmp"
	"encoding/xml"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// The elements of virt-inspector(1), in the order in which it writes them.
type (
	xmlSystems struct {
		XMLName xml.Name    `xml:"operatingsystems"`
		Systems []xmlSystem `xml:"operatingsystem"`
	}
	xmlSystem struct {
		Root              string           `xml:"root"`
		Name              string           `xml:"name,omitempty"`
		Arch              string           `xml:"arch,omitempty"`
		Distro            string           `xml:"distro,omitempty"`
		ProductName       string           `xml:"product_name,omitempty"`
		ProductVariant    string           `xml:"product_variant,omitempty"`
		MajorVersion      int              `xml:"major_version"`
		MinorVersion      int              `xml:"minor_version"`
		PackageFormat     string           `xml:"package_format,omitempty"`
		PackageManagement string           `xml:"package_management,omitempty"`
		SystemRoot        string           `xml:"windows_systemroot,omitempty"`
		ControlSet        string           `xml:"windows_current_control_set,omitempty"`
		GroupPolicy       *struct{}        `xml:"windows_group_policy"`
		Hostname          string           `xml:"hostname,omitempty"`
		BuildID           string           `xml:"build_id,omitempty"`
		OSInfo            string           `xml:"osinfo,omitempty"`
		Mountpoints       []xmlMountpoint  `xml:"mountpoints>mountpoint"`
		Filesystems       []xmlFilesystem  `xml:"filesystems>filesystem"`
		DriveMappings     *xmlDrives       `xml:"drive_mappings"`
		Applications      *xmlApplications `xml:"applications"`
	}
	xmlMountpoint struct {
		Dev  string `xml:"dev,attr"`
		Path string `xml:",chardata"`
	}
	xmlFilesystem struct {
		Dev   string `xml:"dev,attr"`
		Type  string `xml:"type,omitempty"`
		Label string `xml:"label,omitempty"`
		UUID  string `xml:"uuid,omitempty"`
	}
	xmlDrives struct {
		Drives []xmlDrive `xml:"drive_mapping"`
	}
	xmlDrive struct {
		Name   string `xml:"name,attr"`
		Device string `xml:",chardata"`
	}
	xmlApplications struct {
		Applications []xmlApplication `xml:"application"`
	}
	xmlApplication struct {
		Name        string `xml:"name"`
		DisplayName string `xml:"display_name,omitempty"`
		Epoch       int    `xml:"epoch,omitempty"`
		Version     string `xml:"version,omitempty"`
		Release     string `xml:"release,omitempty"`
		Arch        string `xml:"arch,omitempty"`
		InstallPath string `xml:"install_path,omitempty"`
		Publisher   string `xml:"publisher,omitempty"`
		URL         string `xml:"url,omitempty"`
		Source      string `xml:"source_package,omitempty"`
		Summary     string `xml:"summary,omitempty"`
		Description string `xml:"description,omitempty"`
	}
)

// inspectXML prints the systems of all images in one document.
func (s *session) inspectXML(argv []string) error {
	var doc xmlSystems
	err := s.each(argv, func(g *opened, _ target) error {
		r, err := g.Inspect(s.ctx)
		if err != nil {
			return err
		}
		for i := range r.Systems {
			doc.Systems = append(doc.Systems, newXMLSystem(&r.Systems[i]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	b, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = s.out.WriteString("<?xml version=\"1.0\"?>\n" + string(b) + "\n")
	return err
}

func newXMLSystem(y *api.System) xmlSystem {
	x := xmlSystem{Root: "/dev/" + y.Root, Name: y.Type, Arch: y.Arch, Distro: y.Distro, ProductName: y.ProductName, ProductVariant: y.ProductVariant,
		MajorVersion: y.MajorVersion, MinorVersion: y.MinorVersion, PackageFormat: y.PackageFormat, PackageManagement: y.PackageManagement,
		Hostname: y.Hostname, BuildID: y.BuildID, OSInfo: y.OSInfo}
	if w := y.Windows; w != nil {
		x.SystemRoot, x.ControlSet = w.SystemRoot, w.CurrentControlSet
		if w.GroupPolicy {
			x.GroupPolicy = &struct{}{}
		}
		if len(w.DriveMappings) > 0 {
			x.DriveMappings = &xmlDrives{}
			for _, d := range w.DriveMappings {
				x.DriveMappings.Drives = append(x.DriveMappings.Drives, xmlDrive{d.Letter, "/dev/" + d.Device})
			}
			slices.SortFunc(x.DriveMappings.Drives, func(a, b xmlDrive) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
		}
	}
	for _, m := range y.Mountpoints {
		x.Mountpoints = append(x.Mountpoints, xmlMountpoint{"/dev/" + m.Device, m.Path})
	}
	slices.SortFunc(x.Mountpoints, func(a, b xmlMountpoint) int {
		return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path))
	})
	for _, f := range y.Filesystems {
		x.Filesystems = append(x.Filesystems, xmlFilesystem{"/dev/" + f.Device, f.Type, f.Label, f.UUID})
	}
	slices.SortFunc(x.Filesystems, func(a, b xmlFilesystem) int { return cmp.Compare(a.Dev, b.Dev) })
	return x
}
