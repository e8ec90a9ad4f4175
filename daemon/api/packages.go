package api

// PackagesSchema names the shape of Packages.
const PackagesSchema = "guestctl.packages/1"

// Packages is what is installed in a guest: .guest/packages.json and
// `guestctl packages --json`. Strings are as in Inspection.
type Packages struct {
	Schema   string           `json:"schema"` // PackagesSchema
	Systems  []SystemPackages `json:"systems"`
	Warnings []string         `json:"warnings"`
}

// SystemPackages is what is installed in one system.
type SystemPackages struct {
	Root     string    `json:"root"`           // as System has it
	Path     string    `json:"path,omitempty"` // as System has it
	Name     string    `json:"name"`           // of the system
	Distro   string    `json:"distro,omitempty"`
	Version  string    `json:"version,omitempty"` // of the system
	Packages []Package `json:"packages"`          // by format, then name
	Warnings []string  `json:"warnings,omitempty"`
}

// Package is one installed package. The fields up to Description are those of
// libguestfs's application2.
type Package struct {
	Format        string `json:"format"` // "deb", "rpm", "apk", "pacman", "ebuild", "xbps", "pkg", "windows", "flatpak", "snap", "pypi", "npm", "gem", "golang", "cargo"
	Name          string `json:"name"`
	DisplayName   string `json:"display_name,omitempty"`
	Epoch         int64  `json:"epoch,omitempty"`
	Version       string `json:"version,omitempty"` // without epoch and release
	Release       string `json:"release,omitempty"`
	Arch          string `json:"arch,omitempty"`
	InstallPath   string `json:"install_path,omitempty"`
	Publisher     string `json:"publisher,omitempty"`
	URL           string `json:"url,omitempty"`
	SourcePackage string `json:"source_package,omitempty"`
	Summary       string `json:"summary,omitempty"`
	Description   string `json:"description,omitempty"`

	FullVersion string `json:"full_version,omitempty"` // as the package manager writes it
	License     string `json:"license,omitempty"`
	Size        int64  `json:"size,omitempty"`         // bytes installed
	InstallTime int64  `json:"install_time,omitempty"` // seconds since 1970
	State       string `json:"state,omitempty"`        // where it is not plainly installed: "half-configured", "held"
	Module      string `json:"module,omitempty"`       // of rpm's modularity: "nodejs:18:..."
	Source      string `json:"source"`                 // the file, and the line or key, that says so
}
