package formats_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
)

func TestParseBacking(t *testing.T) {
	for name, want := range map[string]formats.BackingRef{
		"base.img":         {Path: "base.img"},
		"/var/lib/a b.img": {Path: "/var/lib/a b.img"},
		"./a:b.img":        {Path: "./a:b.img"},
		"../x/y:z":         {Path: "../x/y:z"},
		"file:base.img":    {Path: "base.img"},
		"file:/a:b":        {Path: "/a:b"},
		`json:{"driver":"qcow2","file":{"driver":"file","filename":"x"}}`:                                         {Path: "x", Format: "qcow2"},
		`json:{"driver":"raw","file.driver":"file","file.filename":"/y"}`:                                         {Path: "/y", Format: "raw"},
		`json:{"file":{"filename":"x"}}`:                                                                          {Path: "x"},
		`json:{"file.filename":"x"}`:                                                                              {Path: "x"},
		`json:{"driver":"file","filename":"x"}`:                                                                   {Path: "x", Format: "raw"},
		`json:{"driver":"qcow2","file":{"driver":"host_device","filename":"/dev/sda","cache":{"direct":true}}}`:   {Path: "/dev/sda", Format: "qcow2"},
		`json:{"driver":"qcow2","read-only":true,"node-name":"n","file":{"driver":"file","filename":"json:{x}"}}`: {Path: "json:{x}", Format: "qcow2"},
	} {
		if got, err := formats.ParseBacking(name); got != want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestParseBackingRefusesByName(t *testing.T) {
	for name, text := range map[string]string{
		"":                    "empty",
		"file:":               "empty",
		"a\x00b":              "zero byte",
		"nbd://host/x":        `"nbd"`,
		"nbd:unix:/s":         `"nbd"`,
		"http://host/x.qcow2": `"http"`,
		"fat:rw:/etc":         `"fat"`,
		"host_device:/dev/x":  `"host_device"`,
		`json:[]`:             "no object",
		`json:{`:              "no object",
		`json:{} x`:           "no object",
		`json:{"driver":"qcow2","file":{"driver":"nbd","host":"h"}}`:     `option "host"`,
		`json:{"driver":"qcow2","file":{"driver":"ssh","filename":"x"}}`: `driver "ssh"`,
		`json:{"driver":"nbd"}`: `driver "nbd"`,
		`json:{"driver":"raw","offset":512,"file":{"driver":"file","filename":"x"}}`:              `option "offset"`,
		`json:{"driver":"qcow2","file":"node0"}`:                                                  "node0",
		`json:{"driver":"qcow2","file":{"driver":"raw","file":{"driver":"file","filename":"x"}}}`: `driver "raw"`,
		`json:{"driver":"qcow2","file":{"file":{"driver":"file","filename":"x"}}}`:                "two drivers",
		`json:{"driver":"qcow2","file":{"driver":"file"}}`:                                        "no filename",
		`json:{"driver":7}`: `"driver" that is no string`,
		`json:{"driver":"file","filename":"x","file":{"filename":"y"}}`:                               `driver "file"`,
		`json:{"driver":"qcow2","backing":"b","file":{"driver":"file","filename":"x"}}`:               `option "backing"`,
		`json:{"driver":"raw","file":{"driver":"file","filename":"x` + "\\u0000" + `"}}`:              "zero byte",
		`json:` + strings.Repeat(`{"file":`, 20000) + `1` + strings.Repeat(`}`, 20000):                "no object",
		`json:{"driver":"qcow2","encrypt":{"format":"luks"},"file":{"driver":"file","filename":"x"}}`: `option "encrypt"`,
	} {
		got, err := formats.ParseBacking(name)
		if !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%.100q: %+v, %.300v; want %q", name, got, err, text)
		}
	}
}

func FuzzParseBacking(f *testing.F) {
	for _, s := range []string{"a", "file:a", `json:{"driver":"qcow2","file":{"driver":"file","filename":"x"}}`, `json:{"file.file.filename":"x"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := formats.ParseBacking(name)
		if err == nil && (ref.Path == "" || strings.ContainsRune(ref.Path, 0)) {
			t.Errorf("%q gives %+v", name, ref)
		}
	})
}

func TestDetect(t *testing.T) {
	ctx := context.Background()
	for content, want := range map[string]string{"QFI\xfb\x00\x00\x00\x03": "qcow2", "": "raw", "QF": "raw", "anything at all": "raw"} {
		f, err := formats.Detect(ctx, blocktest.NewMemory([]byte(content)))
		if f.Name != want || err != nil {
			t.Errorf("%q: %s, %v; want %s", content, f.Name, err, want)
		}
	}
	broken := blocktest.NewFaulty(blocktest.NewMemory(make([]byte, 100)))
	broken.FailAt(0, 100, nil)
	if _, err := formats.Detect(ctx, broken); err == nil {
		t.Error("a file that cannot be read has a format")
	}
	all := formats.All()
	if all[len(all)-1].Name != "raw" {
		t.Error("raw takes anything and does not stand last")
	}
}
