package hive

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Key is one key of a hive.
type Key struct {
	hive    *Hive
	off     uint32 // of its node
	name    string
	written uint64
	parent  uint32

	subkeys, list, values, valueList, class uint32
	classLen                                uint16
	tombstone                               bool
}

// Root is the key that the hive is mounted as.
func (h *Hive) Root() (*Key, error) { return h.key(h.base.root) }

// key reads a key node.
func (h *Hive) key(off uint32) (*Key, error) {
	b, _, err := h.cell(off, keyHeader+1<<16)
	if err != nil {
		return nil, err
	}
	if len(b) < keyHeader || string(b[:len(magicKey)]) != magicKey {
		return nil, ondisk.Corrupt("registry key", at(off), "it is no key node")
	}
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	flags, length := binary.LittleEndian.Uint16(b[offKeyFlags:]), int(binary.LittleEndian.Uint16(b[offKeyNameLen:]))
	if length > len(b)-keyHeader {
		return nil, ondisk.Corrupt("registry key", at(off), "a name of %d bytes in a cell of %d", length, len(b))
	}
	k := &Key{hive: h, off: off, written: binary.LittleEndian.Uint64(b[offKeyWritten:]), parent: u32(offKeyParent),
		subkeys: u32(offKeySubkeys), list: u32(offKeyList), values: u32(offKeyValues), valueList: u32(offKeyValueList),
		class: u32(offKeyClass), classLen: binary.LittleEndian.Uint16(b[offKeyClassLen:]), tombstone: b[offKeyLayer]&layerMask == layerTombstone}
	k.name = name(b[keyHeader:keyHeader+length], flags&keyPlainName != 0)
	if flags&keyPredefined != 0 {
		k.values = 0
	}
	return k, nil
}

// name is a name of single bytes, or of UTF-16.
func name(b []byte, plain bool) string {
	if !plain {
		return Text(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// Name is the key's own name. It may have any character but a backslash, even NUL.
func (k *Key) Name() string { return k.name }

// Written is when the key was changed last; zero where that is not known.
func (k *Key) Written() time.Time { return Time(k.written) }

// Class is the key's class name.
func (k *Key) Class() (string, error) {
	if k.classLen == 0 || k.class == none {
		return "", nil
	}
	b, all, err := k.hive.cell(k.class, int(k.classLen))
	if err == nil && all < int(k.classLen) {
		err = ondisk.Corrupt("registry key", at(k.off), "a class name of %d bytes in a cell of %d", k.classLen, all)
	}
	return Text(b), err
}

// Subkeys are the key's subkeys, in the order of their names. One that is damaged
// is an error, and the others come after it; where that has no Key and more is
// lost, the walk ends.
func (k *Key) Subkeys() iter.Seq2[*Key, error] {
	return func(yield func(*Key, error) bool) {
		for off, err := range k.children("") {
			if err != nil {
				yield(nil, err)
				return
			}
			sub, err := k.child(off)
			if err == nil && sub.tombstone {
				continue
			}
			if !yield(sub, err) {
				return
			}
		}
	}
}

// child reads the subkey at off.
func (k *Key) child(off uint32) (*Key, error) {
	sub, err := k.hive.key(off)
	if err == nil && sub.parent != k.off {
		return nil, ondisk.Corrupt("registry key", at(off), "it is a subkey of %s and names another parent", printed(k.name))
	}
	return sub, err
}

// Subkey finds a subkey by name, upper and lower case being the same. The error
// unwraps to fs.ErrNotExist where there is none.
func (k *Key) Subkey(name string) (*Key, error) {
	for off, err := range k.children(name) {
		if err != nil {
			return nil, err
		}
		sub, err := k.child(off)
		if err == nil && !sub.tombstone && strings.EqualFold(sub.name, name) {
			return sub, nil
		}
	}
	return nil, &MissingError{"subkey", k.name, name}
}

// Find goes from key to subkey by the names between backslashes.
func (k *Key) Find(path string) (*Key, error) {
	for part := range strings.SplitSeq(path, `\`) {
		if part == "" {
			continue
		}
		sub, err := k.Subkey(part)
		if err != nil {
			return nil, err
		}
		k = sub
	}
	return k, nil
}

// children are the offsets of the subkeys' nodes. With a name they are only
// those that may have it.
func (k *Key) children(name string) iter.Seq2[uint32, error] {
	return func(yield func(uint32, error) bool) {
		if k.subkeys == 0 || k.list == none {
			return
		}
		n := 0
		take := func(off uint32) (bool, error) {
			if n++; n > maxSubkeys {
				return false, ondisk.Corrupt("registry key", at(k.off), "more than %d subkeys", maxSubkeys)
			}
			return yield(off, nil), nil
		}
		if err := k.hive.list(k.list, name, true, take); err != nil {
			yield(0, err)
		}
	}
}

// list calls take for each element of a list of subkeys, until it answers false.
func (h *Hive) list(off uint32, name string, root bool, take func(uint32) (bool, error)) error {
	_, err := h.listed(off, name, root, take)
	return err
}

func (h *Hive) listed(off uint32, name string, root bool, take func(uint32) (bool, error)) (bool, error) {
	b, _, err := h.cell(off, listHeader+8<<16)
	if err != nil {
		return false, err
	}
	if len(b) < listHeader {
		return false, ondisk.Corrupt("list of subkeys", at(off), "%d bytes", len(b))
	}
	kind, count, size := string(b[:2]), int(binary.LittleEndian.Uint16(b[offElements:])), 4
	switch {
	case kind == listFast || kind == listHash:
		size = 8
	case kind == listLeaf || kind == listRoot && root:
	default:
		return false, ondisk.Corrupt("list of subkeys", at(off), "it is none: %q", kind)
	}
	if count*size > len(b)-listHeader {
		return false, ondisk.Corrupt("list of subkeys", at(off), "%d elements in %d bytes", count, len(b))
	}
	hash, hashed := nameHash(name)
	for e := b[listHeader : listHeader+count*size]; len(e) > 0; e = e[size:] {
		sub := binary.LittleEndian.Uint32(e)
		if kind == listHash && hashed && binary.LittleEndian.Uint32(e[4:]) != hash {
			continue
		}
		var more bool
		var err error
		if kind == listRoot {
			more, err = h.listed(sub, name, false, take)
		} else {
			more, err = take(sub)
		}
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// nameHash is the hash of a name in lists; ok is false where it is not sure which
// upper case Windows gives it.
func nameHash(name string) (hash uint32, ok bool) {
	for i := range len(name) {
		c := name[i]
		if c >= 0x80 {
			return 0, false
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		hash = 37*hash + uint32(c)
	}
	return hash, name != ""
}

// A MissingError says that a key has no such subkey or value. It unwraps to
// fs.ErrNotExist.
type MissingError struct{ What, Key, Name string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("the key %s has no %s %s", printed(e.Key), e.What, printed(e.Name))
}

// Unwrap is fs.ErrNotExist.
func (e *MissingError) Unwrap() error { return fs.ErrNotExist }

// printed is a name in a message.
func printed(name string) string { return fmt.Sprintf("%.100q", name) }

// Walk calls do for the key and all below it, with the names from it down. What is
// damaged is told to problem and left out; an error of do ends it.
func (k *Key) Walk(do func(path []string, k *Key) error, problem func(error)) error {
	return k.walk(nil, map[uint32]bool{}, do, problem)
}

func (k *Key) walk(path []string, seen map[uint32]bool, do func([]string, *Key) error, problem func(error)) error {
	if seen[k.off] || len(path) > maxNesting {
		problem(ondisk.Corrupt("registry key", at(k.off), "it is found twice, or nested deeper than %d keys", maxNesting))
		return nil
	}
	seen[k.off] = true
	if err := do(path, k); err != nil {
		return err
	}
	for sub, err := range k.Subkeys() {
		if err != nil {
			problem(err)
			continue
		}
		if err := sub.walk(append(path, sub.name), seen, do, problem); err != nil {
			return err
		}
	}
	return nil
}
