package ova_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// envelope describes a machine whose disks are the named files.
func envelope(names ...string) string {
	files, disks := "", ""
	for i, n := range names {
		files += fmt.Sprintf("<File ovf:id=\"file%d\" ovf:href=%q ovf:size=\"1\"/>\n", i, n)
		// The disks stand in another order than the files.
		disks = fmt.Sprintf("<Disk ovf:diskId=\"d%d\" ovf:fileRef=\"file%d\" ovf:capacity=\"1\" ovf:format=\"x\"/>\n", i, i) + disks
	}
	return "<?xml version=\"1.0\"?>\n<!-- made here -->\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">\n" +
		"<References>" + files + "</References>\n<DiskSection><Info>disks</Info>" + disks + "<Disk ovf:diskId=\"empty\" ovf:capacity=\"1\"/></DiskSection>\n<VirtualSystem ovf:id=\"vm\"/></Envelope>\n"
}

// disks makes two images in dir, and gives what is in them.
func disks(t testing.TB, dir string) (a, b []byte) {
	a, b = formattest.Content(3, 1<<20+512), formattest.Content(4, 600<<10)
	formattest.Write(t, dir, "a.raw", a)
	formattest.Write(t, dir, "b.raw", b)
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "a.raw", "a.vmdk")
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "b.raw", "b.qcow2")
	os.Remove(filepath.Join(dir, "a.raw"))
	os.Remove(filepath.Join(dir, "b.raw"))
	return a, b
}

func open(b []byte, opt formats.Options) ([]formats.Image, error) {
	f, err := formats.Detect(context.Background(), blocktest.NewMemory(b))
	if err != nil {
		return nil, err
	}
	if f.Name != "ova" {
		return nil, fmt.Errorf("it is %s", f.Name)
	}
	return f.Open(context.Background(), blocktest.NewMemory(b), opt)
}

func TestOVA(t *testing.T) {
	for _, kind := range []string{"ustar", "gnu", "pax", "v7"} {
		dir := t.TempDir()
		a, b := disks(t, dir)
		formattest.Write(t, dir, "vm.ovf", []byte(envelope("b.qcow2", "a.vmdk")))
		formattest.Do(t, dir, "tar", "--format="+kind, "-cf", "vm.ova", "vm.ovf", "a.vmdk", "b.qcow2")
		if kind == "v7" { // without the magic it is no tar that DSP0243 allows
			if f, err := formats.Detect(context.Background(), blocktest.NewMemory(formattest.Read(t, filepath.Join(dir, "vm.ova")))); err != nil || f.Name != "raw" {
				t.Errorf("%s, %v", f.Name, err)
			}
			continue
		}
		formattest.Run(t, formattest.Case{Path: filepath.Join(dir, "vm.ova"), Format: "ova", Want: a})
		images, err := open(formattest.Read(t, filepath.Join(dir, "vm.ova")), formats.Options{})
		if err != nil || len(images) != 2 {
			t.Fatalf("%d disks, %v", len(images), err)
		}
		blocktest.Run(t, images[1], b)
		if i := images[1].Info(); i.Format != "ova" || i.DataFile != "b.qcow2" || i.Version != "qcow2 3" || i.VirtualSize != 600<<10 {
			t.Errorf("%+v", i)
		}
		for _, i := range images {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestOVF(t *testing.T) {
	dir := t.TempDir()
	a, _ := disks(t, dir)
	path := formattest.Write(t, dir, "vm.ovf", []byte("\xef\xbb\xbf"+envelope("b.qcow2", "a.vmdk")))
	formattest.Run(t, formattest.Case{Path: path, Format: "ova", Want: a})
	if _, err := open(formattest.Read(t, path), formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"a.vmdk"`) {
		t.Errorf("without Related: %v", err)
	}
	// What it names is its own description.
	formattest.Write(t, dir, "vm.ovf", []byte(envelope("vm.ovf")))
	if _, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("itself: %v", err)
	}
}

// pack is a tar of the files, in order.
func pack(t testing.TB, files ...string) []byte {
	dir := t.TempDir()
	args := []string{"--format=ustar", "-cf", "vm.ova"}
	for i := 0; i < len(files); i += 2 {
		formattest.Write(t, dir, files[i], []byte(files[i+1]))
		args = append(args, files[i])
	}
	formattest.Do(t, dir, "tar", args...)
	return formattest.Read(t, filepath.Join(dir, "vm.ova"))
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	formattest.Write(t, dir, "base.raw", make([]byte, 1<<20))
	formattest.Create(t, filepath.Join(dir, "top.qcow2"), "qcow2", "", 1<<20, "-b", "base.raw", "-F", "raw")
	top := string(formattest.Read(t, filepath.Join(dir, "top.qcow2")))
	for text, b := range map[string][]byte{
		"may not be opened":  pack(t, "vm.ovf", envelope("top.qcow2"), "top.qcow2", top, "base.raw", "x"),
		"is not there":       pack(t, "vm.ovf", envelope("../../etc/passwd")),
		`"x", which is not `: pack(t, "vm.ovf", strings.Replace(envelope("a"), "fileRef=\"file0\"", "fileRef=\"x\"", 1)),
		"no disks":           pack(t, "vm.ovf", envelope()),
		"in chunks":          pack(t, "vm.ovf", strings.Replace(envelope("a"), "ovf:size", "ovf:chunkSize=\"7\" ovf:size", 1)),
		`by "gzip"`:          pack(t, "vm.ovf", strings.Replace(envelope("a"), "ovf:size", "ovf:compression=\"gzip\" ovf:size", 1)),
		"OVF description":    pack(t, "vm.ovf", "<Envelope"),
		"an OVA in an OVA":   pack(t, "vm.ovf", envelope("in.ova"), "in.ova", string(pack(t, "vm.ovf", envelope("a")))),
		"is cut short":       pack(t, "vm.ovf", envelope("a"), "a", strings.Repeat("x", 100_000))[:50_000],
		"of 5242880 bytes":   pack(t, "vm.ovf", strings.Repeat(" ", 5<<20)),
		"more than 256":      pack(t, "vm.ovf", envelope(strings.Fields(strings.Repeat("a ", 300))...), "a", "x"),
	} {
		if _, err := open(b, formats.Options{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	good := pack(t, "vm.ovf", envelope("a"), "a", "x")
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := open(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	// A tar of anything is a raw disk, as before.
	for _, b := range [][]byte{pack(t, "a", "b"), []byte("<html>"), []byte("<Envelopes/>"), []byte("<?xml"), []byte(" ")} {
		if f, err := formats.Detect(context.Background(), blocktest.NewMemory(b)); err != nil || f.Name != "raw" {
			t.Errorf("%.20q: %s, %v", b, f.Name, err)
		}
	}
}

func related(context.Context, string, string) (block.Device, error) { return nil, fs.ErrPermission }

func format() formats.Format {
	for _, f := range formats.All() {
		if f.Name == "ova" {
			return f
		}
	}
	panic("no ova")
}

func small(t testing.TB) []byte {
	dir := t.TempDir()
	disks(t, dir)
	return pack(t, "vm.ovf", envelope("b", "a"), "a", string(formattest.Read(t, filepath.Join(dir, "a.vmdk"))[:70000]), "b", strings.Repeat("raw", 1000))
}

func TestDamagedImages(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	b := small(t)
	formattest.Damage(t, format(), b, len(b), rounds, related)
	formattest.Damage(t, format(), b, 2048, rounds, related)
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, "vm.ovf", envelope("b", "a"), "a", "QFI\xfb", "b", strings.Repeat("raw", 100)))
	f.Add([]byte(envelope("a")))
	f.Fuzz(func(t *testing.T, b []byte) { formattest.Hostile(t, format(), bytes.Clone(b), related) })
}
