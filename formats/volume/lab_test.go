package volume_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/guestctl/guestctl/tests/appliance"
	"github.com/guestctl/guestctl/tests/images"
)

// A labCase is what a script of testdata made in the appliance: disks, and what the kernel read from the volumes on them.
type labCase struct {
	name    string
	disks   [][]byte
	volumes []labVolume
}

// A labVolume is a volume as the kernel reads it.
type labVolume struct {
	name string
	size int64
	sum  string // SHA-256 in hex
}

// lab reads the fixture of that name. TestLab makes it.
func lab(t testing.TB, name string) []labCase {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return labCases(t, z)
}

func labCases(t testing.TB, r io.Reader) []labCase {
	t.Helper()
	byName := map[string]*labCase{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		dir, base := path.Split(path.Clean(h.Name))
		if dir == "" || h.Typeflag == tar.TypeDir {
			continue
		}
		name := path.Clean(dir)
		c := byName[name]
		if c == nil {
			c = &labCase{name: name}
			byName[name] = c
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if base == "volumes" {
			for line := range strings.Lines(string(b)) {
				f := strings.Fields(line)
				size, _ := strconv.ParseInt(f[1], 10, 64)
				c.volumes = append(c.volumes, labVolume{f[0], size, f[2]})
			}
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(base, ".img"))
		if err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		for len(c.disks) <= n {
			c.disks = append(c.disks, nil)
		}
		c.disks[n] = b
	}
	var list []labCase
	for _, c := range byName {
		list = append(list, *c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

// TestLab makes the fixtures in the appliance, where GUESTCTL_LAB names one, and else compares nothing: the names, keys
// and times in them are new each time, so that what is kept is compared with what was read when it was made.
func TestLab(t *testing.T) {
	images.NeedLong(t)
	for _, name := range strings.Fields(os.Getenv("GUESTCTL_LAB")) {
		common, err := os.ReadFile("testdata/lab.sh")
		if err != nil {
			t.Fatal(err)
		}
		script, err := os.ReadFile("testdata/" + name + ".sh")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "lvm") {
			lib, err := os.ReadFile("testdata/lvmlib.sh")
			if err != nil {
				t.Fatal(err)
			}
			common = append(common, lib...)
		}
		out, err := os.Open(appliance.Run(t, nil, string(common)+string(script), nil))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		gz, err := gzip.NewReader(out)
		if err != nil {
			t.Fatal(err)
		}
		gz.Multistream(false)
		archive, err := io.ReadAll(gz)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(archive); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/"+name+".tar.zst", packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		cases := labCases(t, bytes.NewReader(archive))
		t.Logf("%s: %d cases, %d bytes", name, len(cases), packed.Len())
	}
}
