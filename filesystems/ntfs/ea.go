package ntfs

import (
	"context"
	"syscall"
)

// maxEA bounds the extended attributes of a file, in bytes: NTFS's own limit.
const maxEA = 64 << 10

// fullEA is one extended attribute (FILE_FULL_EA_INFORMATION, [MS-FSCC]
// 2.4.16): a name and a NUL, then the value.
type fullEA []byte

func (e fullEA) next() int        { return int(le.Uint32(e)) }
func (e fullEA) nameLength() int  { return int(e[5]) }
func (e fullEA) valueLength() int { return int(le.Uint16(e[6:])) }
func (e fullEA) name() []byte     { return e[8:][:e.nameLength()] }
func (e fullEA) value() []byte    { return e[8+e.nameLength()+1:][:e.valueLength()] }

const fullEAHeader = 8

// readEA reads $EA; nil where there is none.
func (f *file) readEA(ctx context.Context) ([]byte, error) {
	var s stream
	ok, err := f.find(ctx, typeEA, nil, &s)
	if err != nil || !ok {
		return nil, err
	}
	if s.size > maxEA {
		return nil, f.corrupt("extended attributes of %d bytes", s.size)
	}
	if s.resident() {
		return s.value, nil
	}
	b := make([]byte, s.size)
	return b, s.readFull(ctx, b, 0)
}

// loadWSL applies what the Windows Subsystem for Linux keeps of an inode in
// extended attributes: owner, mode and device number.
func (n *inode) loadWSL(ctx context.Context) error {
	ea, err := n.f.readEA(ctx)
	if err != nil {
		return err
	}
	for len(ea) >= fullEAHeader {
		e := fullEA(ea)
		if fullEAHeader+e.nameLength()+1+e.valueLength() > len(e) {
			return n.f.corrupt("an extended attribute of %d and %d bytes in %d", e.nameLength(), e.valueLength(), len(e))
		}
		n.applyWSL(string(e.name()), e.value())
		next := e.next()
		if next == 0 {
			return nil
		}
		if next < fullEAHeader || next > len(ea) {
			return n.f.corrupt("the next extended attribute is at %d of %d", next, len(ea))
		}
		ea = ea[next:]
	}
	return nil
}

func (n *inode) applyWSL(name string, v []byte) {
	a := &n.attr
	switch {
	case name == "$LXUID" && len(v) == 4:
		a.UID = le.Uint32(v)
	case name == "$LXGID" && len(v) == 4:
		a.GID = le.Uint32(v)
	case name == "$LXMOD" && len(v) == 4:
		// The type is the record's or the reparse tag's; only its permissions
		// are taken, and not those of symlinks, which have none.
		if a.Mode&syscall.S_IFMT != syscall.S_IFLNK {
			a.Mode = a.Mode&syscall.S_IFMT | le.Uint32(v)&0o7777
		}
	case name == "$LXDEV" && len(v) == 8:
		if t := a.Mode & syscall.S_IFMT; t == syscall.S_IFCHR || t == syscall.S_IFBLK {
			n.setDevice(t, le.Uint32(v), le.Uint32(v[4:]))
		}
	}
}
