package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func makeTar(t testing.TB, ns *vfs.Namespace, path string, opt TarOptions) ([]byte, *problems) {
	t.Helper()
	var b bytes.Buffer
	var p problems
	opt.Problem, opt.Warn = p.add, p.add
	if err := Tar(t.Context(), ns, path, &b, opt); err != nil {
		t.Fatal(err)
	}
	if b.Len()%tarRecord != 0 {
		t.Errorf("the archive has %d bytes, no whole number of records", b.Len())
	}
	return b.Bytes(), &p
}

// TestTarUnpacked has GNU tar unpack the archive and compares the trees.
func TestTarUnpacked(t *testing.T) {
	images.NeedRoot(t)
	ns, _ := guest(t, hostTree(t))
	for _, opt := range []TarOptions{{}, {NoSparse: true}, {Workers: 1}} {
		archive, p := makeTar(t, ns, "/", opt)
		p.none(t)
		out := t.TempDir()
		run(t, archive, "tar", "-xp", "--warning=no-timestamp", "--warning=no-unknown-keyword", "--exclude=./lost+found",
			"--xattrs", "--xattrs-include=*", "--same-owner", "-C", out)
		compareTrees(t, out, ns, 0)
		var st syscall.Stat_t
		if err := syscall.Stat(out+"/large/sparse", &st); err != nil {
			t.Fatal(err)
		}
		if sparse := st.Blocks*512 < 1<<20; sparse == opt.NoSparse {
			t.Errorf("NoSparse %t: the file of 40 MiB unpacked takes %d bytes", opt.NoSparse, st.Blocks*512)
		}
	}
}

// TestTarIsDeterministic makes the archive with one worker and with four.
func TestTarIsDeterministic(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	one, _ := makeTar(t, ns, "/", TarOptions{Workers: 1})
	four, _ := makeTar(t, ns, "/", TarOptions{Workers: 4})
	if !bytes.Equal(one, four) {
		t.Error("the archive depends on the number of workers")
	}
}

// TestTarNames reads the names with Go's archive/tar and with GNU tar.
func TestTarNames(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	archive, p := makeTar(t, ns, "/names", TarOptions{})
	p.none(t)
	listed := run(t, archive, "tar", "-t", "--quoting-style=literal", "--warning=no-unknown-keyword")
	r := tar.NewReader(bytes.NewReader(archive))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if !strings.Contains(listed, h.Name+"\n") {
			t.Errorf("GNU tar does not list %q", h.Name)
		}
	}
	for _, want := range []string{"./", "./caf\xc3\xa9", "./caf\xe9", "./-dash", "./" + strings.Repeat("long name ", 25),
		"./back\\slash new\nline", "./" + strings.Repeat("d", 120) + "/" + strings.Repeat("e", 120) + "/" + strings.Repeat("f", 120)} {
		if !strings.Contains(strings.Join(names, "\x00"), want) {
			t.Errorf("Go's archive/tar does not read %q", want)
		}
	}
	archive, _ = makeTar(t, ns, "/etc/passwd", TarOptions{})
	if got := run(t, archive, "tar", "-t"); got != "./passwd\n" {
		t.Errorf("the archive of one file lists %q", got)
	}
}

// TestTarOfDamage checks that what cannot be read is reported, and that the
// archive is whole nevertheless.
func TestTarOfDamage(t *testing.T) {
	m := vfstest.NewMemory()
	big := strings.Repeat("0123456789abcdef", 1<<17)
	m.Add("/a/good", vfstest.Text("good"))
	m.Add("/a/half", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: "first half;"}, {Data: "lost", Err: syscall.EUCLEAN}}})
	m.Add("/a/big", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: big}, {Data: strings.Repeat("x", 1<<20), Err: syscall.EIO}, {Kind: vfs.Mapped, Data: big}}})
	m.Add("/a/gone", vfstest.Spec{Err: syscall.EBADMSG})
	m.Add("/b", vfstest.Spec{Mode: syscall.S_IFDIR | 0o700, ListErr: syscall.EUCLEAN})
	m.Add("/b/in", vfstest.Text("in"))
	m.Add("/sock", vfstest.Spec{Mode: syscall.S_IFSOCK | 0o700})
	m.Link("/a", "/c/again")
	archive, p := makeTar(t, memory(m), "/", TarOptions{})
	for _, want := range []struct {
		path string
		err  error
	}{{"/a/half", syscall.EUCLEAN}, {"/a/big", syscall.EIO}, {"/a/gone", syscall.EBADMSG}, {"/b", syscall.EUCLEAN}, {"/sock", nil}, {"/c/again", syscall.EUCLEAN}} {
		found := false
		for _, err := range p.list {
			found = found || strings.Contains(err.Error(), want.path) && (want.err == nil || errors.Is(err, want.err))
		}
		if !found {
			t.Errorf("no problem of %s with %v in %v", want.path, want.err, p.list)
		}
	}
	if len(p.list) != 6 {
		t.Errorf("%d problems: %v", len(p.list), p.list)
	}
	r := tar.NewReader(bytes.NewReader(archive))
	got := map[string]string{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(b)
	}
	for name, want := range map[string]string{"./a/good": "good", "./a/half": "first half;\x00\x00\x00\x00", "./b/in": "in",
		"./a/big": big + strings.Repeat("\x00", 1<<20) + big} {
		if got[name] != want {
			t.Errorf("%s has %d bytes, want %d, or others", name, len(got[name]), len(want))
		}
	}
}

type failingWriter struct{ n int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

// TestTarEndsWithItsOutput checks that an output that fails ends it.
func TestTarEndsWithItsOutput(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	for _, n := range []int{0, 1 << 20, 5 << 20} {
		err := Tar(t.Context(), ns, "/", &failingWriter{n}, TarOptions{Problem: func(error) {}, Warn: func(error) {}})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("output full after %d bytes: %v", n, err)
		}
	}
}

// TestPaxRecords checks lengths that count themselves, around every jump of
// their digits, and times around 1970.
func TestPaxRecords(t *testing.T) {
	for n := range 1100 {
		r := record{"k", strings.Repeat("v", n)}
		b := string(appendRecord(nil, r))
		length, rest, _ := strings.Cut(b, " ")
		if length != strconv.Itoa(len(b)) || rest != "k="+r.value+"\n" {
			t.Fatalf("a value of %d bytes: %.20q has %d bytes", n, b, len(b))
		}
	}
	for want, tm := range map[string]vfs.Time{"0": {}, "1": {Sec: 1}, "1.5": {Sec: 1, Nsec: 5e8}, "0.000000001": {Nsec: 1}, "-1": {Sec: -1},
		"-0.5": {Sec: -1, Nsec: 5e8}, "-1.25": {Sec: -2, Nsec: 75e7}, "9999999999.999999999": {Sec: 9999999999, Nsec: 999999999}} {
		if got := paxTime(tm); got != want {
			t.Errorf("%+v is %s, want %s", tm, got, want)
		}
	}
}

// TestHeaderFields reads extreme headers with Go's archive/tar.
func TestHeaderFields(t *testing.T) {
	for _, m := range []member{
		{name: "./a", flag: tarRegular, mode: 0o7777, uid: 1<<32 - 1, gid: 1 << 21, size: 1 << 40, mtime: vfs.Time{Sec: -5}, real: -1,
			xattrs: map[string]string{"user.a=b%": "v\x00\n", "user.b": ""}},
		{name: "./" + strings.Repeat("d/", 120) + "f", flag: tarSymlink, link: strings.Repeat("l", 300), mtime: vfs.Time{Sec: 1 << 34}, real: -1},
		{name: "./dev", flag: tarBlockDev, rdev: 0xfff<<8 | 0xff | 0xfff00<<12, real: -1},
		{name: "./" + strings.Repeat("x", 98), flag: tarDir, real: -1},
		{name: "./" + strings.Repeat("x", 99), flag: tarDir, real: -1},
		{name: "./caf\xc3\xa9", flag: tarHardLink, link: "./caf\xe9", real: -1},
	} {
		h, err := tar.NewReader(bytes.NewReader(m.appendTo(nil))).Next()
		if err != nil {
			t.Errorf("%.40q: %v", m.name, err)
			continue
		}
		if h.Name != m.name || h.Linkname != m.link || h.Mode != int64(m.mode) || h.Uid != int(m.uid) || h.Gid != int(m.gid) || h.Size != m.size ||
			h.ModTime.Unix() != m.mtime.Sec || h.Typeflag != m.flag {
			t.Errorf("%.40q is read as %+v", m.name, h)
		}
		if major, minor := decodeDev(m.rdev); h.Devmajor != int64(major) || h.Devminor != int64(minor) {
			t.Errorf("%.40q is device %d:%d, want %d:%d", m.name, h.Devmajor, h.Devminor, major, minor)
		}
		if m.xattrs != nil && (h.PAXRecords["SCHILY.xattr.user.a%3Db%25"] != "v\x00\n") {
			t.Errorf("%.40q has the records %q", m.name, h.PAXRecords)
		}
	}
}
