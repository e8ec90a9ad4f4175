package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

func TestInspect(t *testing.T) {
	image := demoImage(t)
	out := must(t, "inspect", image)
	for _, want := range []string{"\n  system       linux", "\n  root         sda1\n", "\n  mounts       / on sda1 (ext4)\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var r api.Inspection
	if err := json.Unmarshal([]byte(must(t, "inspect", "--json", image)), &r); err != nil || r.Schema != api.InspectionSchema || len(r.Systems) != 1 || r.Systems[0].Root != "sda1" {
		t.Errorf("%+v, %v", r, err)
	}
	var file api.Inspection
	if err := json.Unmarshal([]byte(must(t, "cat", image+":/.guest/inspect.json")), &file); err != nil || len(file.Systems) != 1 || file.Systems[0].Name != r.Systems[0].Name {
		t.Errorf("%+v, %v", file, err)
	}
	if status, _, errs := guestctl(t, "inspect", "--xml", "--json", image); status != exitUsage || !strings.Contains(errs, "exclude") {
		t.Errorf("%d %s", status, errs)
	}
	// A filesystem that is chosen is inspected alone.
	if _, out, _ := guestctl(t, "inspect", image+":sda1"); !strings.Contains(out, "root         sda1") {
		t.Error(out)
	}
}

// order is that of virt-inspector's elements within an operatingsystem.
var order = []string{"root", "name", "arch", "distro", "product_name", "product_variant", "major_version", "minor_version", "package_format",
	"package_management", "windows_systemroot", "windows_current_control_set", "windows_group_policy", "hostname", "build_id", "osinfo",
	"mountpoints", "filesystems", "drive_mappings", "applications"}

// checkOrder fails where the children of an operatingsystem are unknown or out of order.
func checkOrder(t *testing.T, doc string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	depth, last := 0, -1
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth == 2 {
				last = -1
			}
			if depth == 3 {
				i := slices.Index(order, e.Name.Local)
				if i <= last {
					t.Errorf("the element %s is unknown or out of order", e.Name.Local)
				}
				last = i
			}
		case xml.EndElement:
			depth--
		}
	}
}

func TestInspectXML(t *testing.T) {
	image := demoImage(t)
	doc := must(t, "inspect", "--xml", image)
	if !strings.HasPrefix(doc, "<?xml version=\"1.0\"?>\n<operatingsystems>\n  <operatingsystem>\n    <root>/dev/sda1</root>\n    <name>linux</name>\n") {
		t.Error(doc)
	}
	checkOrder(t, doc)
	// Everything that a system may have, and characters that XML does not.
	x := xmlSystems{Systems: []xmlSystem{newXMLSystem(&api.System{Root: "sda2", Type: "windows", Arch: "x86_64", Distro: "windows", ProductName: "a<b>&\ufffd", ProductVariant: "Client",
		PackageFormat: "deb", PackageManagement: "apt", Hostname: "h", BuildID: "1", OSInfo: "win10", Windows: &api.Windows{SystemRoot: "/Windows", CurrentControlSet: "ControlSet001", GroupPolicy: true,
			DriveMappings: []api.DriveMapping{{Letter: "D", Device: "sda3"}, {Letter: "C", Device: "sda2"}}},
		Mountpoints: []api.Mountpoint{{Path: "/boot", Device: "sda1"}, {Path: "/", Device: "sda2"}}, Filesystems: []api.SystemFilesystem{{Device: "sda2", Type: "ntfs"}, {Device: "sda1"}}})}}
	b, err := xml.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	checkOrder(t, string(b))
	for _, want := range []string{"<windows_group_policy></windows_group_policy>", `<drive_mapping name="C">/dev/sda2</drive_mapping><drive_mapping name="D">`, `<mountpoint dev="/dev/sda2">/</mountpoint><mountpoint dev="/dev/sda1">/boot`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}

func TestPackages(t *testing.T) {
	image := demoImage(t)
	var r api.Packages
	if err := json.Unmarshal([]byte(must(t, "packages", "--json", image)), &r); err != nil || r.Schema != api.PackagesSchema || len(r.Systems) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for form, want := range map[string]string{"cyclonedx": `"bomFormat": "CycloneDX"`, "spdx": `"spdxVersion": "SPDX-2.3"`} {
		for _, option := range []string{"--format", "--sbom"} {
			if out := must(t, "packages", option, form, image); !strings.Contains(out, want) {
				t.Errorf("%s %s: %s", option, form, out)
			}
		}
	}
	for _, argv := range [][]string{{"packages", "--sbom", "x", image}, {"packages", "--filter", "[", image}, {"packages"}} {
		if status, _, errs := guestctl(t, argv...); status != exitUsage {
			t.Errorf("%q: %d %s", argv, status, errs)
		}
	}
}
