package rpmdb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// bytesFile is a database in memory.
type bytesFile struct{ *bytes.Reader }

func fileOf(b []byte) File { return bytesFile{bytes.NewReader(b)} }

// A real set of packages, built by rpmbuild and installed by rpm, once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rpmdb-")
	if err != nil {
		return "", err
	}
	var spec strings.Builder
	head := func(i int) {
		fmt.Fprintf(&spec, "Version: 1.%d\nRelease: %d%%{?dist}\nSummary: Package %d\nLicense: MIT and BSD\nURL: https://example.com/%d\nBuildArch: noarch\n", i*7, i%3, i, i)
		if i%4 == 1 {
			fmt.Fprintf(&spec, "Epoch: %d\n", i)
		}
	}
	spec.WriteString("Name: pkg0\n")
	head(0)
	spec.WriteString("%description\nThe first.\n%files\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&spec, "%%package -n pkg%d\n", i)
		head(i)
		fmt.Fprintf(&spec, "%%description -n pkg%d\nThe description of a package.\n%s%%files -n pkg%d\n", i, strings.Repeat("More of it.\n", i*20), i)
	}
	name := filepath.Join(dir, "pkg.spec")
	if err := os.WriteFile(name, []byte(spec.String()), 0o600); err != nil {
		return dir, err
	}
	out, err := exec.Command("rpmbuild", "-bb", "--quiet", "--define", "_topdir "+dir, "--define", "_rpmdir "+dir+"/rpms", "--define", "vendor Example", name).CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("rpmbuild: %w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := built(); err == nil || dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

const format = "%{NAME}|%|EPOCH?{%{EPOCH}}:{-1}||%{VERSION}|%{RELEASE}|%{ARCH}|%{SIZE}|%{INSTALLTIME}|%{LICENSE}|%{SUMMARY}|%{URL}|%{VENDOR}|%{SOURCERPM}|%{DESCRIPTION}~\n"

// rpm runs rpm on a database.
func rpm(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("rpm", append([]string{"--force-debian"}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rpm %.200q: %v: %s", args, err, said.String())
	}
	return string(out)
}

// database makes a database of the packages, and answers its file and what rpm says is in it.
func database(t testing.TB) (file, want string) {
	t.Helper()
	images.NeedTool(t, "rpm", "rpmbuild")
	from, err := built()
	if err != nil {
		t.Fatal(err)
	}
	rpms, err := filepath.Glob(from + "/rpms/noarch/*.rpm")
	if err != nil || len(rpms) != 40 {
		t.Fatalf("%d packages, %v", len(rpms), err)
	}
	dir := t.TempDir()
	rpm(t, append([]string{"--dbpath", dir, "-i", "--justdb", "--nodeps", "--nosignature"}, rpms...)...)
	rpm(t, "--dbpath", dir, "-e", "--justdb", "--nodeps", "pkg7", "pkg30") // holes
	return dir + "/rpmdb.sqlite", rpm(t, "--dbpath", dir, "-qa", "--qf", format)
}

// listed is what is read, in the form of rpm -qa above.
func listed(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var log File
	if l, err := os.ReadFile(file + "-wal"); err == nil {
		log = fileOf(l)
	}
	var out []string
	err = Read(fileOf(b), log, func(h Header) {
		out = append(out, fmt.Sprintf("%s|%d|%s|%s|%s|%d|%d|%s|%s|%s|%s|%s|%s~\n", h.Name, h.Epoch, h.Version, h.Release, h.Arch, h.Size, h.InstallTime, h.License, h.Summary, h.URL, h.Vendor, h.SourceRPM, h.Description))
	}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return sorted(strings.Join(out, ""))
}

func sorted(s string) string {
	list := strings.SplitAfter(s, "~\n")
	slices.Sort(list)
	return strings.Join(list, "")
}

// TestAgainstRPM reads what rpm -qa reads from the same database.
func TestAgainstRPM(t *testing.T) {
	file, want := database(t)
	if got := listed(t, file); got != sorted(want) || strings.Count(got, "~\n") != 38 {
		t.Errorf("%d packages:\n%.2000s\nwanted\n%.2000s", strings.Count(got, "~\n"), got, sorted(want))
	}
}

// blobs are the headers in a database, as they are.
func blobs(t testing.TB, file string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	if err := readSQLite(fileOf(b), nil, func(b []byte) error { list = append(list, bytes.Clone(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// ndbOf writes an NDB database of headers, every third slot free.
func ndbOf(t testing.TB, headers [][]byte) string {
	t.Helper()
	b := make([]byte, ndbPage)
	copy(b, ndbMagic)
	binary.LittleEndian.PutUint32(b[offSlotPages:], 1)
	for at := ndbHeader; at < len(b); at += slotSize {
		copy(b[at:], ndbSlotMagic)
	}
	for i, h := range headers {
		size := (blobHeader + len(h) + blobTail + ndbBlock - 1) / ndbBlock * ndbBlock
		slot := b[ndbHeader+slotSize*(i+i/3):]
		binary.LittleEndian.PutUint32(slot[offSlotIndex:], uint32(i+1))
		binary.LittleEndian.PutUint32(slot[offSlotBlock:], uint32(len(b)/ndbBlock))
		binary.LittleEndian.PutUint32(slot[offSlotCount:], uint32(size/ndbBlock))
		blob := make([]byte, size)
		copy(blob, ndbBlobMagic)
		binary.LittleEndian.PutUint32(blob[offBlobIndex:], uint32(i+1))
		binary.LittleEndian.PutUint32(blob[offBlobLen:], uint32(len(h)))
		copy(blob[blobHeader:], h)
		tail := blob[size-blobTail:]
		binary.LittleEndian.PutUint32(tail, adler32.Checksum(blob[:size-blobTail]))
		binary.LittleEndian.PutUint32(tail[offTailLen:], uint32(len(h)))
		copy(tail[offTailMagic:], ndbTailMagic)
		b = slices.Concat(b, blob)
	}
	file := filepath.Join(t.TempDir(), "Packages.db")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestNDB reads the same headers from an NDB file. Debian's rpm cannot write
// one, so that this one is written by the layout; TestRealDatabases reads
// openSUSE's.
func TestNDB(t *testing.T) {
	file, want := database(t)
	if got := listed(t, ndbOf(t, blobs(t, file))); got != sorted(want) {
		t.Errorf("%d packages", strings.Count(got, "~\n"))
	}
}

// bdbOf makes a Berkeley DB hash of headers with db5.3_load, as rpm keeps them.
func bdbOf(t testing.TB, headers [][]byte, pageSize int, order string) string {
	t.Helper()
	images.NeedTool(t, "db5.3_load")
	var b strings.Builder
	fmt.Fprintf(&b, "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=%d\ndb_lorder=%s\nHEADER=END\n", pageSize, order)
	fmt.Fprintf(&b, " 00000000\n %08x\n", len(headers))
	for i, h := range headers {
		fmt.Fprintf(&b, " %08x\n %s\n", (i+1)<<24, hex.EncodeToString(h))
	}
	b.WriteString("DATA=END\n")
	file := filepath.Join(t.TempDir(), "Packages")
	cmd := exec.Command("db5.3_load", file)
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("db5.3_load: %v: %s", err, out)
	}
	return file
}

// TestBerkeleyDB reads the same headers from a hash of each byte order, and
// what rpm reads from it.
func TestBerkeleyDB(t *testing.T) {
	file, want := database(t)
	headers := blobs(t, file)
	for _, order := range []string{"1234", "4321"} {
		for _, size := range []int{512, 4096, 65536} {
			file := bdbOf(t, headers, size, order)
			if got := listed(t, file); got != sorted(want) {
				t.Errorf("order %s, pages of %d bytes: %d packages", order, size, strings.Count(got, "~\n"))
			}
			if got := rpm(t, "--dbpath", filepath.Dir(file), "--define", "_db_backend bdb_ro", "-qa", "--qf", format); order == "1234" && sorted(got) != sorted(want) {
				t.Errorf("rpm itself reads %d packages", strings.Count(got, "~\n"))
			}
		}
	}
}

// TestRealDatabases reads the databases of real installations that the module
// github.com/anchore/go-rpmdb has for its own tests.
func TestRealDatabases(t *testing.T) {
	images.NeedLong(t)
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/anchore/go-rpmdb@v0.2.2")
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err != nil || json.Unmarshal(out, &module) != nil || module.Dir == "" {
		images.Lack(t, "needs the module github.com/anchore/go-rpmdb: %v", err)
	}
	for name, want := range map[string]int{
		"centos5-plain/Packages": 110, "centos6-plain/Packages": 129, "centos6-many/Packages": 326, "centos7-plain/Packages": 144,
		"centos7-many/Packages": 396, "centos8-modularitylabel/Packages": 518, "ubi8-s390x/Packages": 183, "sle15-bci/Packages.db": 35,
		"cbl-mariner-2.0/rpmdb.sqlite": 129, "fedora35/rpmdb.sqlite": 138, "oraclelinux-9/rpmdb.sqlite": 188, "rockylinux-9/rpmdb.sqlite": 142,
	} {
		list := listed(t, filepath.Join(module.Dir, "pkg/testdata", name))
		if got := strings.Count(list, "~\n"); got != want || !strings.Contains(list, "\nglibc|-1|") && !strings.HasPrefix(list, "glibc|") {
			t.Errorf("%s: %d packages, not %d", name, got, want)
		}
	}
}

// TestDamage changes bytes of each kind of database: what is read ends.
func TestDamage(t *testing.T) {
	sql, _ := database(t)
	headers := blobs(t, sql)
	for _, file := range []string{ndbOf(t, headers), bdbOf(t, headers, 512, "1234"), sql} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			b := bytes.Clone(whole)
			for range 20 {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			count := 0
			_ = Read(fileOf(b[:r.IntN(len(b)+1)]), nil, func(Header) { count++ }, func(error) {})
			if count > 1000 {
				t.Errorf("%s: %d packages", file, count)
			}
		}
	}
}

// FuzzRPMDB reads any database.
func FuzzRPMDB(f *testing.F) {
	header := []byte{0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 3, 0xe8, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c', 0}
	f.Add(header)
	if _, err := exec.LookPath("db5.3_load"); err == nil {
		b, err := os.ReadFile(bdbOf(f, [][]byte{header, append(bytes.Clone(header), make([]byte, 3000)...)}, 512, "1234"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	slots := make([]byte, ndbPage+64)
	copy(slots, "RpmP\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00")
	for at := ndbHeader; at < ndbPage; at += slotSize {
		copy(slots[at:], "Slot")
	}
	copy(slots[ndbHeader:], "Slot\x01\x00\x00\x00\x00\x01\x00\x00\x04\x00\x00\x00")
	f.Add(slots)
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parse(b)
		_ = Read(fileOf(b), nil, func(Header) {}, func(error) {})
	})
}
