package sbom

import (
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	DataLicense   string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	CreationInfo  spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string         `json:"SPDXID"`
	Name             string         `json:"name"`
	Version          string         `json:"versionInfo,omitempty"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	Concluded        string         `json:"licenseConcluded"`
	Declared         string         `json:"licenseDeclared"`
	LicenseComments  string         `json:"licenseComments,omitempty"`
	Copyright        string         `json:"copyrightText"`
	Supplier         string         `json:"supplier,omitempty"`
	Homepage         string         `json:"homepage,omitempty"`
	Summary          string         `json:"summary,omitempty"`
	SourceInfo       string         `json:"sourceInfo,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose,omitempty"`
	ExternalRefs     []spdxExternal `json:"externalRefs,omitempty"`
}

type spdxExternal struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const noAssertion = "NOASSERTION"

// SPDX writes d as SPDX 2.3. A licence as a package manager records it is no
// SPDX expression in general, so that it stands in licenseComments.
func SPDX(w io.Writer, d *Document) error {
	created := d.Time
	if created.IsZero() {
		created = time.Unix(0, 0) // the field is mandatory
	}
	doc := spdxDocument{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: d.Name,
		Namespace:    "https://spdx.org/spdxdocs/guestctl/" + url.PathEscape(d.Name) + "-" + d.serial(),
		CreationInfo: spdxCreation{created.UTC().Format(time.RFC3339), []string{"Tool: guestctl-" + d.Tool}}, Packages: []spdxPackage{}, Relationships: []spdxRelationship{}}
	for i := range d.Packages.Systems {
		s := &d.Packages.Systems[i]
		system := "SPDXRef-System-" + strconv.Itoa(i)
		doc.Packages = append(doc.Packages, spdxPackage{ID: system, Name: nameOr(osID(s.Distro), s.Name), Version: s.Version, DownloadLocation: noAssertion,
			Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion, Summary: s.Name, Purpose: "OPERATING-SYSTEM", SourceInfo: "the system on " + s.Root + s.Path})
		doc.Relationships = append(doc.Relationships, spdxRelationship{doc.ID, "DESCRIBES", system})
		for j := range s.Packages {
			p := newSPDXPackage(s, &s.Packages[j], system+"-Package-"+strconv.Itoa(j))
			doc.Packages = append(doc.Packages, p)
			doc.Relationships = append(doc.Relationships, spdxRelationship{system, "CONTAINS", p.ID})
		}
	}
	return encode(w, doc)
}

func newSPDXPackage(s *api.SystemPackages, p *api.Package, id string) spdxPackage {
	x := spdxPackage{ID: id, Name: p.Name, Version: p.FullVersion, DownloadLocation: noAssertion, Concluded: noAssertion, Declared: noAssertion,
		Copyright: noAssertion, Summary: p.Summary, SourceInfo: "recorded in " + p.Source}
	if p.License != "" {
		x.LicenseComments = "as recorded: " + p.License
	}
	if p.Publisher != "" {
		x.Supplier = "Organization: " + p.Publisher
	}
	if u, err := url.Parse(p.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		x.Homepage = u.String()
	}
	x.ExternalRefs = []spdxExternal{{"PACKAGE-MANAGER", "purl", PackageURL(s, p)}}
	return x
}
