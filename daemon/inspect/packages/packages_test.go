package packages

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// guest is a tree with those files; a content that starts with -> is a symlink,
// a name that ends in / a folder.
func guest(files map[string]string) *look.FS {
	m := vfstest.NewMemory()
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if target, ok := strings.CutPrefix(files[n], "->"); ok {
			m.Add(n, vfstest.Symlink(target))
		} else if dir, ok := strings.CutSuffix(n, "/"); ok {
			m.Dir(dir)
		} else {
			m.Add(n, vfstest.Spec{Mode: 0o100755, Mtime: vfs.Time{Sec: 1700000000}, Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: files[n]}}})
		}
	}
	return look.New(vfs.NewNamespace(vfs.NewTree("sda1", m)))
}

// onHost is a folder of this host as a guest's, at a path of it.
func onHost(t testing.TB, dir, at string) *look.FS {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		files[at+strings.TrimPrefix(p, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return guest(files)
}

func listOf(t testing.TB, fs *look.FS, warnings int) []api.Package {
	t.Helper()
	list, warned, err := List(context.Background(), fs, Options{Languages: true})
	if err != nil || len(warned) != warnings {
		t.Fatalf("%q, %v", warned, err)
	}
	return list
}

const dpkgStatus = `Package: adduser
Status: install ok installed
Priority: important
Section: admin
Installed-Size: 686
Maintainer: Debian Adduser Developers <adduser@packages.debian.org>
Architecture: all
Multi-Arch: foreign
Version: 3.134
Depends: passwd
Conffiles:
 /etc/adduser.conf 33d2a37fd1ae5e8d1e5e9a4e7b9fba11
Description: add and remove users and groups
 This package includes the commands for creating and removing
 users.
 .
 Second.

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: amd64

Package: libc6
Status: hold ok installed
Source: glibc (2.36-9)
Multi-Arch: same
Architecture: amd64
Version: 2:2.36-9+deb12u4
Homepage: https://www.gnu.org/software/libc/libc.html
Description: GNU C Library

Package: half
Status: install reinstreq half-configured
Architecture: amd64
Version: 1.0-1-2
`

// TestDPKG reads stanzas; TestDebianPackages of tests/differential a real database.
func TestDPKG(t *testing.T) {
	got := listOf(t, guest(map[string]string{"/var/lib/dpkg/status": dpkgStatus, "/var/lib/dpkg/info/adduser.list": "x", "/var/lib/dpkg/info/libc6:amd64.list": "x",
		"/var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n", "/var/lib/dpkg/status.d/base.md5sums": "Package: no\nVersion: 1\n"}), 0)
	want := []api.Package{
		{Format: "deb", Name: "adduser", FullVersion: "3.134", Version: "3.134", Arch: "all", Publisher: "Debian Adduser Developers <adduser@packages.debian.org>", Summary: "add and remove users and groups",
			Description: "This package includes the commands for creating and removing\nusers.\n\nSecond.", Size: 686 * 1024, InstallTime: 1700000000, Source: "/var/lib/dpkg/status:1"},
		{Format: "deb", Name: "base-files", FullVersion: "12.4", Version: "12.4", Arch: "amd64", Source: "/var/lib/dpkg/status.d/base:1"},
		{Format: "deb", Name: "half", FullVersion: "1.0-1-2", Version: "1.0-1", Release: "2", Arch: "amd64", State: "half-configured", Source: "/var/lib/dpkg/status:33"},
		{Format: "deb", Name: "libc6", Epoch: 2, FullVersion: "2:2.36-9+deb12u4", Version: "2.36", Release: "9+deb12u4", Arch: "amd64", SourcePackage: "glibc", URL: "https://www.gnu.org/software/libc/libc.html",
			Summary: "GNU C Library", InstallTime: 1700000000, State: "held", Source: "/var/lib/dpkg/status:24"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPacman installs packages with pacman and reads what `pacman -Qi` reads.
func TestPacman(t *testing.T) {
	images.NeedTool(t, "pacman", "tar")
	images.NeedRoot(t)
	dir := t.TempDir()
	for _, d := range []string{"db", "root", "cache"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--noconfirm", "--root", dir + "/root", "--dbpath", dir + "/db", "--cachedir", dir + "/cache", "--logfile", dir + "/log", "--config", "/dev/null", "--arch", "x86_64"}
	for i := range 5 {
		pkg := t.TempDir()
		info := fmt.Sprintf("pkgname = pkg%d\npkgbase = base%d\npkgver = %d:1.%d-2\npkgdesc = Package %d of five\nurl = https://example.com/%d\nbuilddate = 1700000000\npackager = Jane <j@example.com>\nsize = %d\narch = x86_64\nlicense = MIT\nlicense = GPL\n", i, i%2, i+1, i, i, i, i*1000)
		if err := os.WriteFile(pkg+"/.PKGINFO", []byte(info), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pkg+"/file"+fmt.Sprint(i), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		file := fmt.Sprintf("%s/pkg%d-%d:1.%d-2-x86_64.pkg.tar.gz", dir, i, i+1, i)
		if out, err := exec.Command("tar", "--force-local", "-czf", file, "-C", pkg, ".PKGINFO", fmt.Sprintf("file%d", i)).CombinedOutput(); err != nil {
			t.Fatalf("tar: %v: %s", err, out)
		}
		if out, err := exec.Command("pacman", append(args, "--noscriptlet", "-U", file)...).CombinedOutput(); err != nil {
			t.Fatalf("pacman: %v: %s", err, out)
		}
	}
	out, err := exec.Command("pacman", append(args, "-Q")...).CombinedOutput()
	if err != nil {
		t.Fatalf("pacman -Q: %v: %s", err, out)
	}
	var got strings.Builder
	for i, p := range listOf(t, onHost(t, dir+"/db", "/var/lib/pacman"), 0) {
		fmt.Fprintf(&got, "%s %s\n", p.Name, p.FullVersion)
		p.InstallTime, p.Source = 0, ""
		want := api.Package{Format: "pacman", Name: fmt.Sprintf("pkg%d", i), Epoch: int64(i + 1), Version: fmt.Sprintf("1.%d", i), Release: "2", Arch: "x86_64", Publisher: "Jane <j@example.com>",
			URL: fmt.Sprintf("https://example.com/%d", i), SourcePackage: fmt.Sprintf("base%d", i%2), Summary: fmt.Sprintf("Package %d of five", i), License: "MIT, GPL", Size: int64(i * 1000),
			FullVersion: fmt.Sprintf("%d:1.%d-2", i+1, i)}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Error(diff)
		}
	}
	if got.String() != string(out) {
		t.Errorf("%s\npacman says\n%s", got.String(), out)
	}
}

// TestManagers reads the databases of managers that Debian has not, as their
// documentation has them.
func TestManagers(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []api.Package
	}{
		"apk": {map[string]string{"/lib/apk/db/installed": "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nS:383152\nI:622592\nT:the musl c library (libc) implementation\nU:https://musl.libc.org/\nL:MIT\no:musl\nm:Timo <t@alpinelinux.org>\nt:1699700000\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\nP:busybox\nV:1.36.1-r15\nA:x86_64\n"},
			[]api.Package{{Format: "apk", Name: "busybox", Version: "1.36.1", Release: "r15", FullVersion: "1.36.1-r15", Arch: "x86_64", Source: "/lib/apk/db/installed:17"},
				{Format: "apk", Name: "musl", Version: "1.2.4", Release: "r2", FullVersion: "1.2.4-r2", Arch: "x86_64", Size: 622592, Summary: "the musl c library (libc) implementation", URL: "https://musl.libc.org/",
					License: "MIT", SourcePackage: "musl", Publisher: "Timo <t@alpinelinux.org>", Source: "/lib/apk/db/installed:2"}}},
		"portage": {map[string]string{"/var/db/pkg/sys-apps/portage-3.0.61_p1-r2/DESCRIPTION": "Portage\n", "/var/db/pkg/sys-apps/portage-3.0.61_p1-r2/LICENSE": "GPL-2\n", "/var/db/pkg/sys-apps/portage-3.0.61_p1-r2/SIZE": "4096\n",
			"/var/db/pkg/sys-apps/portage-3.0.61_p1-r2/CHOST": "x86_64-pc-linux-gnu\n", "/var/db/pkg/sys-apps/portage-3.0.61_p1-r2/COUNTER": "7\n", "/var/db/pkg/sys-apps/-MERGING-x-1/DESCRIPTION": "no\n"},
			[]api.Package{{Format: "ebuild", Name: "sys-apps/portage", Version: "3.0.61_p1", Release: "r2", FullVersion: "3.0.61_p1-r2", Arch: "x86_64", Summary: "Portage", License: "GPL-2", Size: 4096, InstallTime: 1700000000,
				Source: "/var/db/pkg/sys-apps/portage-3.0.61_p1-r2"}}},
		"xbps": {map[string]string{"/var/db/xbps/pkgdb-0.38.plist": `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>_XBPS_ALTERNATIVES_</key><dict><key>sh</key><array><string>dash</string></array></dict>
<key>xbps-triggers</key><dict><key>architecture</key><string>noarch</string><key>automatic-install</key><true/><key>homepage</key><string>https://voidlinux.org</string>
<key>install-date</key><string>2023-11-14 22:13 UTC</string><key>installed_size</key><integer>32768</integer><key>license</key><string>Public Domain</string><key>maintainer</key><string>Void &lt;v@x&gt;</string>
<key>pkgver</key><string>xbps-triggers-0.127_2</string><key>run_depends</key><array><string>a</string></array><key>short_desc</key><string>XBPS triggers</string><key>state</key><string>installed</string></dict>
</dict></plist>`}, []api.Package{{Format: "xbps", Name: "xbps-triggers", Version: "0.127", Release: "2", FullVersion: "0.127_2", Arch: "noarch", URL: "https://voidlinux.org", License: "Public Domain", Publisher: "Void <v@x>",
			Size: 32768, Summary: "XBPS triggers", InstallTime: 1699999980, Source: "/var/db/xbps/pkgdb-0.38.plist xbps-triggers"}}},
		"flatpak": {map[string]string{"/var/lib/flatpak/app/org.gimp.GIMP/x86_64/stable/abc/files/share/metainfo/org.gimp.GIMP.metainfo.xml": `<component><name>GIMP</name><name xml:lang="de">G</name><summary>Edit</summary><project_license>GPL-3.0+</project_license><releases><release version="2.10.36"/><release version="2.10.34"/></releases></component>`,
			"/var/lib/flatpak/app/org.gimp.GIMP/x86_64/stable/active": "->abc", "/var/lib/flatpak/app/org.gimp.GIMP/current": "->x86_64/stable"},
			[]api.Package{{Format: "flatpak", Name: "org.gimp.GIMP", DisplayName: "GIMP", Version: "2.10.36", FullVersion: "2.10.36", Release: "stable", Arch: "x86_64", License: "GPL-3.0+", Summary: "Edit",
				InstallPath: "/var/lib/flatpak/app/org.gimp.GIMP/x86_64/stable", Source: "/var/lib/flatpak/app/org.gimp.GIMP/x86_64/stable/active"}}},
		"snap": {map[string]string{"/var/lib/snapd/state.json": `{"data":{"snaps":{"core22":{"type":"base","sequence":[{"name":"core22","snap-id":"x","revision":"1033"},{"name":"core22","revision":"1122"}],"active":true,"current":"1122"},"old":{"sequence":[{"name":"old","revision":"3"}],"current":"3"}}}}`},
			[]api.Package{{Format: "snap", Name: "core22", Release: "1122", FullVersion: "1122", InstallPath: "/snap/core22", Source: "/var/lib/snapd/state.json data.snaps.core22"},
				{Format: "snap", Name: "old", Release: "3", FullVersion: "3", InstallPath: "/snap/old", State: "disabled", Source: "/var/lib/snapd/state.json data.snaps.old"}}},
		"snaps without a state": {map[string]string{"/var/lib/snapd/snaps/lxd_24322.snap": "x"}, []api.Package{{Format: "snap", Name: "lxd", Release: "24322", FullVersion: "24322", Source: "/var/lib/snapd/snaps/lxd_24322.snap"}}},
		"python": {map[string]string{"/usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO": "Metadata-Version: 1.2\nName: six\nVersion: 1.16.0\nSummary: Python 2 and 3 compatibility utilities\nHome-page: https://github.com/benjaminp/six\nAuthor: UNKNOWN\nLicense: MIT\n\nVersion: 9\n",
			"/usr/local/lib/python3.11/dist-packages/requests-2.31.0.dist-info/METADATA": "Name: requests\r\nVersion: 2.31.0\r\n"},
			[]api.Package{{Format: "pypi", Name: "requests", Version: "2.31.0", FullVersion: "2.31.0", InstallPath: "/usr/local/lib/python3.11/dist-packages", Source: "/usr/local/lib/python3.11/dist-packages/requests-2.31.0.dist-info/METADATA"},
				{Format: "pypi", Name: "six", Version: "1.16.0", FullVersion: "1.16.0", Summary: "Python 2 and 3 compatibility utilities", URL: "https://github.com/benjaminp/six", License: "MIT", InstallPath: "/usr/lib/python3/dist-packages",
					Source: "/usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO"}}},
		"npm": {map[string]string{"/usr/lib/node_modules/npm/package.json": `{"name":"npm","version":"9.2.0","license":"Artistic-2.0","author":{"name":"GitHub"}}`, "/usr/lib/node_modules/npm/node_modules/@npmcli/fs/package.json": `{"name":"@npmcli/fs","version":"3.1.0","license":{"type":"ISC"}}`,
			"/usr/lib/node_modules/loop": "->../node_modules"},
			[]api.Package{{Format: "npm", Name: "@npmcli/fs", Version: "3.1.0", FullVersion: "3.1.0", License: "ISC", InstallPath: "/usr/lib/node_modules/npm/node_modules/@npmcli/fs", Source: "/usr/lib/node_modules/npm/node_modules/@npmcli/fs/package.json"},
				{Format: "npm", Name: "npm", Version: "9.2.0", FullVersion: "9.2.0", License: "Artistic-2.0", Publisher: "GitHub", InstallPath: "/usr/lib/node_modules/npm", Source: "/usr/lib/node_modules/npm/package.json"}}},
		"gem": {map[string]string{"/usr/lib/ruby/gems/3.1.0/specifications/rake-13.0.6.gemspec": "Gem::Specification.new do |s|\n  s.name = \"rake\".freeze\n  s.licenses = [\"MIT\".freeze]\n  s.summary = \"Rake is a \\\"Make\\\"\".freeze\nend\n",
			"/var/lib/gems/3.1.0/specifications/nokogiri-1.15.4-x86_64-linux.gemspec": ""},
			[]api.Package{{Format: "gem", Name: "nokogiri", Version: "1.15.4", FullVersion: "1.15.4", Arch: "x86_64-linux", Source: "/var/lib/gems/3.1.0/specifications/nokogiri-1.15.4-x86_64-linux.gemspec"},
				{Format: "gem", Name: "rake", Version: "13.0.6", FullVersion: "13.0.6", License: "MIT", Summary: "Rake is a \"Make\"", Source: "/usr/lib/ruby/gems/3.1.0/specifications/rake-13.0.6.gemspec"}}},
		"nothing": {nil, []api.Package{}},
	} {
		if diff := cmp.Diff(c.want, listOf(t, guest(c.files), 0)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestFreeBSD reads a database with pkg's columns, written by sqlite3.
func TestFreeBSD(t *testing.T) {
	images.NeedTool(t, "sqlite3")
	dir := t.TempDir()
	cmd := exec.Command("sqlite3", dir+"/local.sqlite")
	cmd.Stdin = strings.NewReader(`CREATE TABLE packages (id INTEGER PRIMARY KEY,origin TEXT NOT NULL,name TEXT NOT NULL,version TEXT NOT NULL,comment TEXT NOT NULL,desc TEXT NOT NULL,mtree_id INTEGER,message TEXT,arch TEXT NOT NULL,maintainer TEXT NOT NULL, www TEXT,prefix TEXT NOT NULL,flatsize INTEGER NOT NULL,automatic INTEGER NOT NULL,locked INTEGER NOT NULL DEFAULT 0,licenselogic INTEGER NOT NULL,time INTEGER, manifestdigest TEXT NULL, pkg_format_version INTEGER,dep_formula TEXT NULL,vital INTEGER NOT NULL DEFAULT 0);
INSERT INTO packages VALUES(1,'security/sudo','sudo','1.9.15p5_4,1','Allow others to run commands as root','Long text.',NULL,NULL,'FreeBSD:14:amd64','garga@FreeBSD.org','https://www.sudo.ws/','/usr/local',7340032,0,0,1,1700000000,'x',1,NULL,0);`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v: %s", err, out)
	}
	want := []api.Package{{Format: "pkg", Name: "sudo", Epoch: 1, Version: "1.9.15p5", Release: "4", FullVersion: "1.9.15p5_4,1", Arch: "FreeBSD:14:amd64", Publisher: "garga@FreeBSD.org", URL: "https://www.sudo.ws/", InstallPath: "/usr/local",
		SourcePackage: "security/sudo", Summary: "Allow others to run commands as root", Description: "Long text.", Size: 7340032, InstallTime: 1700000000, Source: "/var/db/pkg/local.sqlite"}}
	if diff := cmp.Diff(want, listOf(t, onHost(t, dir, "/var/db/pkg"), 0)); diff != "" {
		t.Error(diff)
	}
}

// TestGoProgram finds the modules of this test's own program.
func TestGoProgram(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	got := listOf(t, guest(map[string]string{"/usr/bin/self": string(self), "/bin": "->usr/bin"}), 0)
	has := func(name string) bool {
		return slices.ContainsFunc(got, func(p api.Package) bool {
			return p.Format == "golang" && p.Name == name && p.InstallPath == "/usr/bin/self"
		})
	}
	if !has("stdlib") || !has("github.com/guestctl/guestctl") || len(got) > 50 {
		t.Errorf("%+v", got)
	}
}

// TestHostile keeps what is whole, and says what is not.
func TestHostile(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/var/lib/dpkg/status", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	m.Add("/lib/apk/db/installed", vfstest.Text("P:a\x1b[31mb\x00\nV:1\u009b-r0\nI:99999999999999999999999\n"))
	m.Add("/var/lib/rpm/Packages", vfstest.Text("garbage"))
	m.Add("/var/db/xbps/pkgdb-0.38.plist", vfstest.Text(strings.Repeat("<dict><key>a</key>", 10000)))
	m.Add("/var/lib/snapd/state.json", vfstest.Text("{"))
	m.Add("/var/lib/pacman/local/x/desc", vfstest.Symlink("desc"))
	list, warnings, err := List(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda1", m))), Options{})
	if err != nil || len(list) != 1 || list[0].Name != "a\ufffd[31mb\ufffd" || list[0].Version != "1\ufffd" || list[0].Size != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if len(warnings) != 4 {
		t.Errorf("%q", warnings)
	}
}

// fuzz reads files of any content.
func fuzz(t *testing.T, files map[string]string) {
	list, _, err := List(context.Background(), guest(files), Options{Languages: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name == "" || strings.ContainsAny(p.Name+p.FullVersion+p.Summary+p.Publisher, "\x00\x1b\n\u009b") || p.Size < 0 {
			t.Errorf("%+v", p)
		}
	}
}

// FuzzText reads the databases that are text.
func FuzzText(f *testing.F) {
	f.Add(dpkgStatus)
	f.Add("P:musl\nV:1.2.4-r2\nA:x86_64\n\n")
	f.Add("%NAME%\na\n\n%VERSION%\n1:2-3\n")
	f.Add("  s.licenses = [\"MIT\".freeze]\n")
	f.Fuzz(func(t *testing.T, text string) {
		fuzz(t, map[string]string{"/var/lib/dpkg/status": text, "/lib/apk/db/installed": text, "/var/lib/pacman/local/a/desc": text, "/var/db/pkg/a/b-1/SIZE": text,
			"/usr/lib/python3/site-packages/x.egg-info": text, "/usr/share/gems/specifications/a-1.gemspec": text})
	})
}

// FuzzStructured reads those that are XML or JSON, and sections of programs.
func FuzzStructured(f *testing.F) {
	f.Add(`<plist><dict><key>a</key><dict><key>pkgver</key><string>a-1_1</string></dict></dict></plist>`)
	f.Add(`{"data":{"snaps":{"a":{"current":"1","active":true}}},"name":"a","version":"1"}`)
	f.Add(`<component><name>G</name><releases><release version="2"/></releases></component>`)
	f.Fuzz(func(t *testing.T, text string) {
		fuzz(t, map[string]string{"/var/db/xbps/pkgdb-0.38.plist": text, "/var/lib/snapd/state.json": text, "/usr/lib/node_modules/a/package.json": text,
			"/var/lib/flatpak/app/a/x86_64/b/active/files/share/metainfo/a.metainfo.xml": text})
		l := &list{ctx: context.Background(), fs: guest(nil)}
		l.crates([]byte(text), "/a")
	})
}
