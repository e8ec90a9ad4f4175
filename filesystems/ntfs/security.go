package ntfs

import (
	"cmp"
	"context"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
)

const (
	// maxDescriptor bounds a security descriptor, in bytes.
	maxDescriptor = 64 << 10
	// securityBytes bounds the descriptors that are kept.
	securityBytes = 2 << 20
)

// sdsHeader is what stands before each descriptor in $SDS, and is the data of
// an entry of $SII.
type sdsHeader []byte

func (h sdsHeader) id() uint32     { return le.Uint32(h[4:]) }
func (h sdsHeader) offset() int64  { return int64(le.Uint64(h[8:])) }
func (h sdsHeader) length() uint32 { return le.Uint32(h[16:]) }

const sdsHeaderSize = 20

// A security is $Secure: the descriptors that files share, by number.
type security struct {
	mu    sync.Mutex // guards sii and sds while they are opened
	sii   *index
	sds   *stream
	cache *block.Cache[uint32, []byte]
}

// openSecurity finds $Secure's index and stream, once.
func (fs *FileSystem) openSecurity(ctx context.Context) (*security, error) {
	s := &fs.security
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sii != nil {
		return s, nil
	}
	f, err := fs.openRecord(ctx, fileSecure)
	if err != nil {
		return nil, err
	}
	name, _ := encodeName(nil, "$SDS")
	sds, err := f.mustFind(ctx, typeData, name)
	if err != nil {
		return nil, err
	}
	name, _ = encodeName(nil, "$SII")
	sii, err := f.openIndex(ctx, name)
	if err != nil {
		return nil, err
	}
	s.sds, s.cache = sds, block.NewCache[uint32, []byte](securityBytes)
	s.sii = sii
	return s, nil
}

// descriptor is the file's security descriptor, self-relative; nil where it has
// none. It must not be changed.
func (n *inode) descriptor(ctx context.Context) ([]byte, error) {
	// Volumes of NTFS 1.2, and a few system files, keep it in the record.
	var s stream
	ok, err := n.f.find(ctx, typeSecurityDescriptor, nil, &s)
	if err != nil {
		return nil, err
	}
	if ok {
		if s.size > maxDescriptor {
			return nil, n.f.corrupt("a security descriptor of %d bytes", s.size)
		}
		if s.resident() {
			return s.value, nil
		}
		b := make([]byte, s.size)
		return b, s.readFull(ctx, b, 0)
	}
	id := n.info.securityID()
	if id == 0 {
		return nil, nil
	}
	sec, err := n.f.fs.openSecurity(ctx)
	if err != nil {
		if isErrno(err) {
			err = n.f.fs.corruptRecord(fileSecure, "$Secure is not in use")
		}
		return nil, err
	}
	if b, ok := sec.cache.Peek(id); ok {
		return b, nil
	}
	return sec.cache.Get(ctx, id, func(ctx context.Context) ([]byte, int64, error) {
		b, err := sec.read(ctx, id)
		return b, int64(len(b)) + 64, err
	})
}

// read finds a descriptor by its number in $SII and reads it from $SDS. A
// number that is not there has no descriptor.
func (s *security) read(ctx context.Context, id uint32) ([]byte, error) {
	f := s.sii.f
	var h sdsHeader
	err := s.sii.search(ctx, func(key []byte) (int, error) {
		if len(key) < 4 {
			return 0, f.corrupt("an entry of $SII with a key of %d bytes", len(key))
		}
		return cmp.Compare(id, le.Uint32(key)), nil
	}, func(e indexEntry) (bool, error) {
		off, n := e.dataOffset(), e.dataLength()
		if n < sdsHeaderSize || off+n > len(e) {
			return false, f.corrupt("an entry of $SII with data of %d bytes at %d of %d", n, off, len(e))
		}
		h = sdsHeader(e[off:][:n])
		return false, nil
	})
	if err != nil || h == nil {
		return nil, err
	}
	if h.length() < sdsHeaderSize || h.length() > maxDescriptor || h.offset() < 0 {
		return nil, f.corrupt("the security descriptor %d has %d bytes at %d of $SDS", id, h.length(), h.offset())
	}
	b := make([]byte, h.length())
	if err := s.sds.readFull(ctx, b, h.offset()); err != nil {
		return nil, err
	}
	if got := sdsHeader(b).id(); got != id {
		return nil, f.corrupt("the security descriptor %d is numbered %d in $SDS", id, got)
	}
	return b[sdsHeaderSize:], nil
}
