package vfstest

import (
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/vfs"
)

// sample holds one of everything.
func sample() *Memory {
	m := NewMemory()
	m.Add("/hello", Text("hello, world\n"))
	m.Add("/dir/pieces", Spec{Pieces: []Piece{
		{Kind: vfs.Mapped, Data: strings.Repeat("mapped ", 10_000)},
		{Kind: vfs.Hole, Len: 100_001},
		{Kind: vfs.Inline, Data: "inline"},
		{Kind: vfs.Encoded, Data: strings.Repeat("encoded", 20_000)},
		{Kind: vfs.Hole, Len: 3},
	}})
	m.Add("/dir/empty", Spec{})
	m.Add("/dir/link", Symlink("../hello"))
	m.Add("/dev/null", Spec{Mode: syscall.S_IFCHR | 0o666, Rdev: 0x103})
	m.Add("/x", Spec{Xattrs: map[string]string{"user.a": "1", "security.selinux": "s0"}})
	m.Link("/hello", "/dir/again")
	for i := range 400 {
		m.Add("/many/"+strings.Repeat("n", i%200+1)+string(rune('a'+i/200)), Text("x"))
	}
	return m
}

// TestMemory puts Memory through the suite, and so the suite through Memory.
func TestMemory(t *testing.T) {
	oracle := FromVFS(t, sample(), 0)
	if len(oracle) != 411 {
		t.Fatalf("the sample has %d entries", len(oracle))
	}
	Run(t, Case{Open: func(testing.TB) vfs.FileSystem { return sample() }, Oracle: oracle})
}

// TestDifferencesNotices changes one field after the other.
func TestDifferencesNotices(t *testing.T) {
	want := File{Mode: syscall.S_IFREG | 0o644, Nlink: 1, SHA256: "aa"}
	for name, change := range map[string]func(*File){
		"type":     func(f *File) { f.Mode = syscall.S_IFDIR | 0o644 },
		"mode":     func(f *File) { f.Mode |= 1 },
		"nlink":    func(f *File) { f.Nlink++ },
		"owner":    func(f *File) { f.UID++ },
		"group":    func(f *File) { f.GID++ },
		"size":     func(f *File) { f.Size++ },
		"blocks":   func(f *File) { f.Blocks++ },
		"mtime":    func(f *File) { f.Mtime.Nsec++ },
		"ctime":    func(f *File) { f.Ctime.Sec++ },
		"contents": func(f *File) { f.SHA256 = "bb" },
		"xattrs":   func(f *File) { f.Xattrs = map[string]string{"user.a": ""} },
		"inode":    func(f *File) { f.Ino++ },
	} {
		got := want
		change(&got)
		if lines := Differences(Tree{"/f": got}, Tree{"/f": want}, 0); len(lines) != 1 {
			t.Errorf("%s: %q", name, lines)
		}
	}
	if lines := Differences(Tree{"/a": want}, Tree{"/b": want}, 0); len(lines) != 2 {
		t.Errorf("other names: %q", lines)
	}
	if lines := Differences(Tree{"/lost+found": want}, Tree{}, LostFound); len(lines) != 0 {
		t.Errorf("lost+found, ignored: %q", lines)
	}
}
