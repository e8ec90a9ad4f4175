package hive

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/images/hives"
)

type bytesFile struct{ *bytes.Reader }

func fileOf(b []byte) File { return bytesFile{bytes.NewReader(b)} }

// hex is data as .reg files have them.
func hex(b []byte) string {
	s := make([]string, len(b))
	for i, c := range b {
		s[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(s, ",")
}

// reg is a .reg file with every type, long names and data, and many keys.
func reg() string {
	var s strings.Builder
	s.WriteString(`[\Microsoft\Windows NT\CurrentVersion]
"ProductName"="Windows 10 Pro"
"CurrentMajorVersionNumber"=dword:0000000a
@="the default"
"Quoted \"name\"\\"="C:\\Program Files\\\"x\""

[\Types]
`)
	fmt.Fprintf(&s, "\"expand\"=hex(2):%s\n\"multi\"=hex(7):%s\n\"big endian\"=hex(5):01,02,03,04\n\"qword\"=hex(b):08,07,06,05,04,03,02,01\n\"none\"=hex(0):\n\"own\"=hex(1234):01\n",
		hex(encode("%SystemRoot%\x00")), hex(encode("one\x00two\x00\x00")))
	for i := range 12 {
		fmt.Fprintf(&s, "\"binary%d\"=hex:%s\n", i, hex(bytes.Repeat([]byte{byte(i)}, i)))
	}
	fmt.Fprintf(&s, "\"long\"=hex:%s\n", hex(bytes.Repeat([]byte("0123456789"), 1500)))
	fmt.Fprintf(&s, "\n[\\%s]\n\"%s\"=\"x\"\n", strings.Repeat("k", 250), strings.Repeat("v", 1000))
	for i := range 1200 {
		fmt.Fprintf(&s, "\n[\\Many\\key-%04d]\n\"n\"=dword:%08x\n", i*7919%1200, i)
	}
	s.WriteString("\n[\\Deep" + strings.Repeat(`\d`, 100) + "]\n\"end\"=\"yes\"\n")
	return s.String()
}

// A node is what hivexml says of a key.
type node struct {
	Name   string `xml:"name,attr"`
	Values []struct {
		Type     string `xml:"type,attr"`
		Key      string `xml:"key,attr"`
		Encoding string `xml:"encoding,attr"`
		Value    string `xml:"value,attr"`
		Strings  []struct {
			Text string `xml:",chardata"`
		} `xml:"string"`
	} `xml:"value"`
	Nodes []node `xml:"node"`
}

// lines are the keys and values in the form of listed.
func (n *node) lines(path string, out *[]string) {
	*out = append(*out, path)
	for _, v := range n.Values {
		text := v.Value
		if v.Encoding == "base64" {
			b, err := base64.StdEncoding.DecodeString(v.Value)
			text = fmt.Sprintf("%x %v", b, err)
		}
		if n := len(v.Strings); n > 0 && v.Strings[n-1].Text == "" {
			v.Strings = v.Strings[:n-1] // hivex 1.3.23 counts the end of the list
		}
		for _, s := range v.Strings {
			text += s.Text + "|"
		}
		*out = append(*out, fmt.Sprintf("%s: %q %s %s", path, v.Key, v.Type, text))
	}
	for _, sub := range n.Nodes {
		sub.lines(path+`\`+sub.Name, out)
	}
}

// xmlTypes are hivexml's names.
var xmlTypes = []string{"none", "string", "expand", "binary", "int32", "int32", "link", "string-list", "resource-list", "resource-description", "resource-requirements", "int64"}

// listed is all that is in a hive, by this package.
func listed(t testing.TB, h *Hive, problem func(error)) []string {
	t.Helper()
	var out []string
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	err = root.Walk(func(names []string, k *Key) error {
		path := strings.Join(append([]string{""}, names...), `\`)
		out = append(out, path)
		for v, err := range k.Values() {
			if err != nil {
				problem(err)
				continue
			}
			kind, text := "unknown", fmt.Sprintf("%x <nil>", v.Data)
			if int(v.Type) < len(xmlTypes) {
				kind = xmlTypes[v.Type]
			}
			switch v.Type {
			case String, ExpandString, Link:
				text = v.Text()
			case MultiString:
				text = ""
				for _, s := range v.Texts() {
					text += s + "|"
				}
			case Dword, DwordBigEndian, Qword:
				n, _ := v.Number()
				if text = fmt.Sprint(int32(n)); v.Type == Qword {
					text = fmt.Sprint(int64(n))
				}
			}
			out = append(out, fmt.Sprintf("%s: %q %s %s", path, v.Name, kind, text))
		}
		return nil
	}, problem)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t testing.TB, primary []byte, logs ...[]byte) *Hive {
	t.Helper()
	var files []File
	for _, l := range logs {
		files = append(files, fileOf(l))
	}
	h, err := Open(fileOf(primary), files...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAgainstHivex reads what hivexml reads from a hive that hivexregedit wrote.
func TestAgainstHivex(t *testing.T) {
	images.NeedTool(t, "hivexml")
	b := hives.Make(t, reg())
	file := filepath.Join(t.TempDir(), "hive")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("hivexml", "-u", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Root node `xml:"node"`
	}
	d := xml.NewDecoder(bytes.NewReader(out))
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	var want []string
	doc.Root.lines("", &want)
	got := listed(t, open(t, b), func(err error) { t.Error(err) })
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of %d and %d:\n%.300s\n%.300s", i, len(got), len(want), slices.Concat(got, make([]string, i+1))[i], slices.Concat(want, make([]string, i+1))[i])
		}
	}
	if len(got) < 2500 {
		t.Errorf("%d lines", len(got))
	}
}

// TestFind looks keys and values up by name.
func TestFind(t *testing.T) {
	root, err := open(t, hives.Make(t, reg())).Root()
	if err != nil {
		t.Fatal(err)
	}
	k, err := root.Find(`MICROSOFT\windows nt\CurrentVersion`)
	if err != nil || k.Name() != "CurrentVersion" {
		t.Fatalf("%+v, %v", k, err)
	}
	if v, err := k.Value("productNAME"); err != nil || v.Text() != "Windows 10 Pro" || !v.Plain() {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := k.Value(""); err != nil || v.Text() != "the default" {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := k.Value("CurrentMajorVersionNumber"); err != nil {
		t.Error(err)
	} else if n, ok := v.Number(); n != 10 || !ok {
		t.Errorf("%+v", v)
	}
	for i := range 1200 {
		if _, err := root.Find(fmt.Sprintf(`many\KEY-%04d`, i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = root.Find(`Many\key-9999\x`)
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != `the key "Many" has no subkey "key-9999"` {
		t.Error(err)
	}
	if _, err := k.Value("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestMarvin has the sums of the reference implementation.
func TestMarvin(t *testing.T) {
	for in, want := range map[string]uint32{"": 0xf7f2c954, "abcd": 0x6b15e57b, "abcdefgh": 0x54793238,
		"You remind me of a TV show, but that's all right: I watch it anyway.": 0x7150a3c0} {
		m := newMarvin(0x5d70d359c498b3f8)
		m.add([]byte(in))
		if s := m.sum(); uint32(s)^uint32(s>>32) != want {
			t.Errorf("%q: %#x", in, s)
		}
	}
}

// changed makes a hive dirty that has become another: the pages that differ are
// in pages, with the offsets.
func changed(t testing.TB) (before, after []byte, pages []int) {
	t.Helper()
	before = hives.Make(t, "[\\A]\n\"v\"=\"old\"\n")
	file := filepath.Join(t.TempDir(), "hive")
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	hives.Merge(t, file, "[\\A]\n\"v\"=\"new\"\n\n[\\B]\n\"big\"=hex:"+hex(make([]byte, 9000))+"\n")
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(after[offWritten:], binary.LittleEndian.Uint64(before[offWritten:]))
	long := append(bytes.Clone(before), make([]byte, len(after)-len(before))...)
	for at := baseSize; at < len(after); at += dirtyPage {
		if !bytes.Equal(after[at:at+dirtyPage], long[at:at+dirtyPage]) {
			pages = append(pages, at-baseSize)
		}
	}
	before = bytes.Clone(before)
	binary.LittleEndian.PutUint32(before[offSequence1:], 3)
	binary.LittleEndian.PutUint32(before[offSequence2:], 2)
	hives.Seal(before)
	return before, after, pages
}

// logHead is the first sector of a log.
func logHead(after []byte, kind, sequence uint32) []byte {
	b := bytes.Clone(after[:baseSector])
	binary.LittleEndian.PutUint32(b[offType:], kind)
	binary.LittleEndian.PutUint32(b[offSequence1:], sequence)
	binary.LittleEndian.PutUint32(b[offSequence2:], sequence)
	hives.Seal(b)
	return b
}

func oldLog(after []byte, pages []int) []byte {
	vector := make([]byte, (len(after)-baseSize)/dirtyPage/8)
	var data []byte
	for _, p := range pages {
		vector[p/dirtyPage/8] |= 1 << (p / dirtyPage % 8)
		data = append(data, after[baseSize+p:baseSize+p+dirtyPage]...)
	}
	b := append(logHead(after, typeLog, 3), magicDirty...)
	b = append(b, vector...)
	b = append(b, make([]byte, -len(b)&(baseSector-1))...)
	return append(b, data...)
}

func entry(after []byte, pages []int, sequence uint32) []byte {
	var refs, data []byte
	for _, p := range pages {
		refs = binary.LittleEndian.AppendUint32(refs, uint32(p))
		refs = binary.LittleEndian.AppendUint32(refs, dirtyPage)
		data = append(data, after[baseSize+p:baseSize+p+dirtyPage]...)
	}
	b := slices.Concat([]byte(magicEntry), make([]byte, entryHeader-len(magicEntry)), refs, data)
	b = slices.Concat(b, make([]byte, -len(b)&(entryAlign-1)))
	binary.LittleEndian.PutUint32(b[offEntrySize:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[offEntrySeq:], sequence)
	binary.LittleEndian.PutUint32(b[offEntryBins:], uint32(len(after)-baseSize))
	binary.LittleEndian.PutUint32(b[offEntryPages:], uint32(len(pages)))
	m := newMarvin(entrySeed)
	m.add(b[entryHeader:])
	binary.LittleEndian.PutUint64(b[offEntryHash1:], m.sum())
	m = newMarvin(entrySeed)
	m.add(b[:offEntryHash2])
	binary.LittleEndian.PutUint64(b[offEntryHash2:], m.sum())
	return b
}

// TestLogs replays logs of both formats, and leaves out what is not whole.
func TestLogs(t *testing.T) {
	before, after, pages := changed(t)
	old := listed(t, open(t, bytes.Clone(before)), func(err error) { t.Error(err) })
	now := listed(t, open(t, after), func(err error) { t.Error(err) })
	half := len(pages) / 2
	first := append(logHead(after, typeLogEntries, 2), entry(after, pages[:half], 2)...)
	second := append(logHead(after, typeLogEntries, 3), entry(after, pages[half:], 3)...)
	damaged := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	clean := bytes.Clone(before)
	binary.LittleEndian.PutUint32(clean[offSequence2:], 3)
	hives.Seal(clean)
	for name, c := range map[string]struct {
		primary []byte
		logs    [][]byte
		want    []string
	}{
		"none":                     {before, nil, old},
		"old":                      {before, [][]byte{oldLog(after, pages), nil}, now},
		"old, second":              {before, [][]byte{{}, oldLog(after, pages)}, now},
		"old, cut":                 {before, [][]byte{oldLog(after, pages)[:3000]}, old},
		"old, another time":        {before, [][]byte{damaged(oldLog(after, pages), offWritten)}, old},
		"old, wrong base block":    {damaged(before, 20), [][]byte{oldLog(after, pages)}, now},
		"new":                      {before, [][]byte{append(bytes.Clone(first), second[baseSector:]...)}, now},
		"new, two logs":            {before, [][]byte{second, first}, now},
		"new, wrong base block":    {damaged(before, 20), [][]byte{append(bytes.Clone(first), second[baseSector:]...)}, now},
		"new, all damaged":         {before, [][]byte{damaged(first, baseSector+offEntryHash1)}, old},
		"new, the first only":      {before, [][]byte{first, damaged(second, len(second)-1)}, nil},
		"new, one is missing":      {before, [][]byte{append(logHead(after, typeLogEntries, 2), entry(after, pages, 3)...)}, old},
		"new, older than the hive": {before, [][]byte{append(logHead(after, typeLogEntries, 1), entry(after, pages, 1)...)}, old},
		"clean":                    {clean, [][]byte{oldLog(after, pages), first}, old},
	} {
		h := open(t, c.primary, c.logs...)
		if c.want == nil {
			if h.Replayed() != half {
				t.Errorf("%s: %d pages", name, h.Replayed())
			}
			continue
		}
		if got := listed(t, h, func(err error) { t.Errorf("%s: %v", name, err) }); !slices.Equal(got, c.want) {
			t.Errorf("%s: %.200q", name, got)
		}
	}
	_, err := Open(fileOf(damaged(before, 20)))
	if e := (*ondisk.CorruptError)(nil); !errors.As(err, &e) || !e.Checksum {
		t.Error(err)
	}
}

// TestRefuse names what is not read.
func TestRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(b []byte)
		want string
	}{
		"old version": {func(b []byte) { b[offMinor] = 1 }, "version 1.1 is not supported"},
		"size":        {func(b []byte) { b[offBinsSize] = 1 }, "4097 bytes of hive bins"},
		"no hive":     {func(b []byte) { b[0] = 'x' }, "not Windows registry hive"},
		"root":        {func(b []byte) { b[offRoot] = 0x80 }, "it is no key node"},
		"far root":    {func(b []byte) { b[offRoot+2] = 1 }, "it lies outside of the hive"},
	} {
		b := hives.Empty()
		c.edit(b)
		hives.Seal(b)
		h, err := Open(fileOf(b))
		if err == nil {
			_, err = h.Root()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCycle has a key that is its own subkey, and one that two keys have.
func TestCycle(t *testing.T) {
	b := hives.Make(t, "[\\A]\n\n[\\B]\n")
	h := open(t, b)
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	list := int(root.list) + baseSize + cellHeader + listHeader
	for _, to := range []uint32{root.off, binary.LittleEndian.Uint32(b[list:])} {
		c := bytes.Clone(b)
		binary.LittleEndian.PutUint32(c[list+8:], to)
		var problems []error
		if got := listed(t, open(t, c), func(err error) { problems = append(problems, err) }); len(got) != 2 || len(problems) != 1 {
			t.Errorf("%q, %v", got, problems)
		}
	}
}

// TestDamage changes bytes: what is read ends, and its errors are damage.
func TestDamage(t *testing.T) {
	whole := hives.Make(t, "[\\A\\B\\C]\n\"v\"=\"text\"\n\"w\"=hex:"+hex(make([]byte, 300))+"\n\n[\\A\\D]\n\n[\\E]\n\"n\"=dword:00000001\n")
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(8) {
			b[baseSize+r.IntN(1200)] = byte(r.Uint32())
		}
		h := open(t, b)
		root, err := h.Root()
		if err != nil {
			continue
		}
		keys := 0
		_ = root.Walk(func([]string, *Key) error { keys++; return nil }, func(err error) {
			if e := (*ondisk.CorruptError)(nil); !errors.As(err, &e) {
				t.Error(err)
			}
		})
		if keys > 10 {
			t.Fatalf("%d keys", keys)
		}
	}
}

// TestRealHives compares hives of Windows that are dirty with what Windows made of them.
func TestRealHives(t *testing.T) {
	dir := os.Getenv("GUESTCTL_HIVES") // a copy of hives_for_tests of github.com/msuhanov/yarp
	if dir == "" {
		t.Skip("needs GUESTCTL_HIVES, the folder hives_for_tests of github.com/msuhanov/yarp")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	none := func(err error) { t.Error(err) }
	for name, recovered := range map[string]string{"OldDirtyHive/OldDirtyHive": "OldDirtyHive/RecoveredHive_Windows7", "BadBaseBlockHive/BadBaseBlockHive": "OldDirtyHive/RecoveredHive_Windows7",
		"NewDirtyHive1/NewDirtyHive": "NewDirtyHive1/RecoveredHive_Windows10", "NewDirtyHive2/NewDirtyHive": "NewDirtyHive1/RecoveredHive_Windows10"} {
		h := open(t, read(name), read(name+".LOG1"), read(name+".LOG2"))
		got, want := listed(t, h, none), listed(t, open(t, read(recovered)), none)
		if !h.Dirty() || h.Replayed() == 0 || !slices.Equal(got, want) || len(want) < 3 {
			t.Errorf("%s: %d pages, %d lines, Windows has %d", name, h.Replayed(), len(got), len(want))
		}
	}
	root, err := open(t, read("BigDataHive")).Root()
	if err != nil {
		t.Fatal(err)
	}
	k, err := root.Find("key_with_bigdata")
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for v, err := range k.Values() {
		if err != nil || strings.Trim(string(v.Data), string(v.Data[:1])) != "" {
			t.Errorf("%.100q, %v", v.Data, err)
		}
		sizes = append(sizes, len(v.Data))
	}
	if !slices.Equal(sizes, []int{16345, 81725}) {
		t.Error(sizes)
	}
	for name, want := range map[string]string{"ExtendedASCIIHive": "ëigenaardig", "UnicodeHive": `\Привет\Ключ`} {
		if got := strings.Join(listed(t, open(t, read(name)), none), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FuzzHive reads any hive and log.
func FuzzHive(f *testing.F) {
	f.Add(hives.Empty(), []byte{})
	if _, err := exec.LookPath("hivexregedit"); err == nil {
		before, after, pages := changed(f)
		f.Add(before, oldLog(after, pages))
		f.Add(before, append(logHead(after, typeLogEntries, 2), entry(after, pages, 2)...))
	}
	f.Fuzz(func(t *testing.T, b, log []byte) {
		// Fuzzers do not guess checksums.
		b, log = bytes.Clone(b), bytes.Clone(log)
		for _, b := range [][]byte{b, log} {
			if len(b) >= baseSector {
				hives.Seal(b)
			}
		}
		h, err := Open(fileOf(b), fileOf(log))
		if err != nil {
			return
		}
		root, err := h.Root()
		if err != nil {
			return
		}
		stop := errors.New("enough")
		keys := 0
		_ = root.Walk(func(_ []string, k *Key) error {
			if keys++; keys > 1000 {
				return stop
			}
			_, _ = k.Class()
			_, _ = k.Subkey("A")
			for v, err := range k.Values() {
				if err == nil && len(v.Data) > MaxValue {
					t.Error("a value of", len(v.Data))
				}
				_, _, _ = v.Text(), v.Texts(), v.Plain()
			}
			return nil
		}, func(error) {})
	})
}

var _ io.ReaderAt = fileOf(nil)
