package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

// A Document is what a bill is about.
type Document struct {
	Name     string    // of the image
	Tool     string    // version of the program that writes it
	Time     time.Time // of writing; zero leaves it out
	Packages *api.Packages
}

// serial is a number of the form of a UUID that depends on the packages alone,
// by the layout of RFC 9562's version 8.
func (d *Document) serial() string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(d.Packages)
	b := h.Sum([]byte{})[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

type cdxDocument struct {
	Format      string         `json:"bomFormat"`
	SpecVersion string         `json:"specVersion"`
	Serial      string         `json:"serialNumber"`
	Version     int            `json:"version"`
	Metadata    cdxMetadata    `json:"metadata"`
	Components  []cdxComponent `json:"components"`
}

type cdxMetadata struct {
	Timestamp string       `json:"timestamp,omitempty"`
	Tools     cdxTools     `json:"tools"`
	Component cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

type cdxComponent struct {
	Type        string        `json:"type"`
	Ref         string        `json:"bom-ref,omitempty"`
	Publisher   string        `json:"publisher,omitempty"`
	Name        string        `json:"name"`
	Version     string        `json:"version,omitempty"`
	Description string        `json:"description,omitempty"`
	Licenses    []cdxLicense  `json:"licenses,omitempty"`
	PURL        string        `json:"purl,omitempty"`
	Properties  []cdxProperty `json:"properties,omitempty"`
}

type cdxLicense struct {
	License cdxLicenseName `json:"license"`
}

type cdxLicenseName struct {
	Name string `json:"name"`
}

type cdxProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CycloneDX writes d as CycloneDX 1.5.
func CycloneDX(w io.Writer, d *Document) error {
	doc := cdxDocument{Format: "CycloneDX", SpecVersion: "1.5", Serial: "urn:uuid:" + d.serial(), Version: 1, Components: []cdxComponent{}}
	doc.Metadata.Tools.Components = []cdxComponent{{Type: "application", Name: "guestctl", Version: d.Tool}}
	doc.Metadata.Component = cdxComponent{Type: "container", Ref: "image", Name: d.Name}
	if !d.Time.IsZero() {
		doc.Metadata.Timestamp = d.Time.UTC().Format(time.RFC3339)
	}
	for i := range d.Packages.Systems {
		s := &d.Packages.Systems[i]
		root := s.Root + s.Path
		doc.Components = append(doc.Components, cdxComponent{Type: "operating-system", Ref: "system-" + strconv.Itoa(i), Name: nameOr(osID(s.Distro), s.Name), Version: s.Version,
			Description: s.Name, Properties: []cdxProperty{{"guestctl:root", root}}})
		for j := range s.Packages {
			p := &s.Packages[j]
			c := cdxComponent{Type: componentType(p), Ref: "system-" + strconv.Itoa(i) + "-package-" + strconv.Itoa(j), Publisher: p.Publisher, Name: p.Name, Version: p.FullVersion,
				Description: p.Summary, PURL: PackageURL(s, p), Properties: []cdxProperty{{"guestctl:source", p.Source}, {"guestctl:root", root}}}
			if p.License != "" {
				c.Licenses = []cdxLicense{{cdxLicenseName{p.License}}}
			}
			if p.SourcePackage != "" {
				c.Properties = append(c.Properties, cdxProperty{"guestctl:source_package", p.SourcePackage})
			}
			doc.Components = append(doc.Components, c)
		}
	}
	return encode(w, doc)
}

func componentType(p *api.Package) string {
	switch p.Format {
	case "windows", "flatpak", "snap":
		return "application"
	}
	return "library"
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
