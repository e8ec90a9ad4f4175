package sbom

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

func document() *Document {
	return &Document{Name: "disk.img", Tool: "v1", Packages: &api.Packages{Systems: []api.SystemPackages{{Root: "sda2", Name: "Debian 12", Distro: "debian", Version: "12.5", Packages: []api.Package{
		{Format: "deb", Name: "libstdc++6", FullVersion: "12.2.0-14", Version: "12.2.0", Release: "14", Arch: "amd64", Publisher: "Debian", URL: "https://gcc.gnu.org/", Source: "/var/lib/dpkg/status:1"},
		{Format: "npm", Name: "@types/node", FullVersion: "20.1.0", Version: "20.1.0", License: "MIT", URL: "javascript:alert(1)", Source: "/usr/lib/node_modules/@types/node/package.json"},
	}}}}}
}

// TestPackageURL follows the examples of the specification.
func TestPackageURL(t *testing.T) {
	for want, c := range map[string]struct {
		distro, version string
		p               api.Package
	}{
		"pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14?arch=amd64&distro=debian-12": {"debian", "12.5", api.Package{Format: "deb", Name: "libstdc++6", FullVersion: "1:12.2.0-14", Arch: "amd64"}},
		"pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25&epoch=2":  {"fedora", "25", api.Package{Format: "rpm", Name: "curl", Epoch: 2, FullVersion: "2:7.50.3-1.fc25", Version: "7.50.3", Release: "1.fc25", Arch: "i386"}},
		"pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1":         {"alpinelinux", "3.19.1", api.Package{Format: "apk", Name: "musl", FullVersion: "1.2.4-r2", Arch: "x86_64"}},
		"pkg:alpm/arch/pacman@6.0.1-1?arch=x86_64&distro=arch":                  {"archlinux", "", api.Package{Format: "pacman", Name: "pacman", FullVersion: "6.0.1-1", Arch: "x86_64"}},
		"pkg:golang/github.com/gorilla/context@v1.2.0":                          {"debian", "12", api.Package{Format: "golang", Name: "github.com/gorilla/context", FullVersion: "v1.2.0"}},
		"pkg:npm/%40angular/animation@12.3.1":                                   {"", "", api.Package{Format: "npm", Name: "@angular/animation", FullVersion: "12.3.1"}},
		"pkg:pypi/django-allauth@1.0":                                           {"", "", api.Package{Format: "pypi", Name: "Django_allauth", FullVersion: "1.0"}},
		"pkg:generic/7-Zip%2023@23.01":                                          {"windows", "10.0", api.Package{Format: "windows", Name: "7-Zip 23", FullVersion: "23.01"}},
	} {
		if got := PackageURL(&api.SystemPackages{Distro: c.distro, Version: c.version}, &c.p); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// TestDocuments writes both kinds, the same each time, with what their schemas demand.
func TestDocuments(t *testing.T) {
	var a, b bytes.Buffer
	if err := CycloneDX(&a, document()); err != nil {
		t.Fatal(err)
	}
	if err := CycloneDX(&b, document()); err != nil || a.String() != b.String() {
		t.Errorf("two runs differ: %v", err)
	}
	var c struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct{ Type, Name, PURL string }
	}
	if err := json.Unmarshal(a.Bytes(), &c); err != nil || c.BOMFormat != "CycloneDX" || c.SpecVersion != "1.5" || len(c.Components) != 3 || !strings.HasPrefix(c.SerialNumber, "urn:uuid:") ||
		c.Components[0].Type != "operating-system" || c.Components[2].PURL != "pkg:npm/%40types/node@20.1.0" {
		t.Errorf("%+v, %v", c, err)
	}
	a.Reset()
	if err := SPDX(&a, document()); err != nil {
		t.Fatal(err)
	}
	var s struct {
		SPDXVersion, SPDXID, DocumentNamespace string
		Packages                               []map[string]any
		Relationships                          []struct{ RelationshipType string }
	}
	if err := json.Unmarshal(a.Bytes(), &s); err != nil || s.SPDXVersion != "SPDX-2.3" || len(s.Packages) != 3 || len(s.Relationships) != 3 || s.Relationships[0].RelationshipType != "DESCRIBES" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, p := range s.Packages {
		for _, field := range []string{"SPDXID", "name", "downloadLocation", "filesAnalyzed"} {
			if _, ok := p[field]; !ok {
				t.Errorf("%v has no %s", p, field)
			}
		}
		if h, ok := p["homepage"].(string); ok && !strings.HasPrefix(h, "https://") {
			t.Errorf("homepage %q", h)
		}
	}
}
