package ova

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	tarName  = "OVA tar"
	offMagic = 257
	magic    = "ustar"
	tarBlock = 512
	// maxMembers bounds those of the tar, and probeMembers those among which
	// the description must be.
	maxMembers   = 4096
	probeMembers = 8
)

// member is a file in the tar.
type member struct {
	name   string
	off, n int64
}

// reader reads a device in order, as archive/tar wants it.
type reader struct {
	ctx context.Context
	dev block.Device
	pos int64
}

func (r *reader) Read(p []byte) (int, error) {
	if r.pos >= r.dev.Size() {
		return 0, io.EOF
	}
	n, err := r.dev.ReadAt(r.ctx, p, r.pos)
	r.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (r *reader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.pos
	case io.SeekEnd:
		off += r.dev.Size()
	}
	if off < 0 {
		return 0, fmt.Errorf("seek to %d", off)
	}
	r.pos = off
	return off, nil
}

// isTar says whether b, the beginning of a file, has the magic of a tar.
func isTar(b []byte) bool {
	return len(b) >= tarBlock && string(b[offMagic:offMagic+len(magic)]) == magic
}

// members lists the files of the tar, at most most of them.
func members(ctx context.Context, src block.Device, most int) ([]member, error) {
	in := &reader{ctx: ctx, dev: src}
	r := tar.NewReader(in)
	var all []member
	for range most {
		at := in.pos
		h, err := r.Next()
		switch {
		case err == io.EOF:
			return all, nil
		case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
			return all, ondisk.Corrupt(tarName, at, "%v", err)
		case err != nil:
			return all, err
		case h.Typeflag != tar.TypeReg:
			continue
		}
		// A file with holes does not lie as it is.
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return all, ondisk.Unsupported("OVA", "the sparse file %q in the tar", h.Name)
			}
		}
		if !ondisk.Fits(in.pos, h.Size, src.Size()) {
			return all, ondisk.Corrupt(tarName, at, "the file %q of %d bytes is cut short", h.Name, h.Size)
		}
		all = append(all, member{path.Clean(h.Name), in.pos, h.Size})
	}
	if most == maxMembers {
		return all, ondisk.Unsupported("OVA", "a tar of more than %d files", maxMembers)
	}
	return all, nil
}

// description is the first member that is one.
func description(all []member) (member, bool) {
	for _, m := range all {
		if strings.EqualFold(path.Ext(m.name), ".ovf") {
			return m, true
		}
	}
	return member{}, false
}

// isEnvelope says whether b begins an OVF description: its root element is
// Envelope, in any namespace.
func isEnvelope(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	for {
		b = bytes.TrimLeft(b, " \t\r\n")
		var end string
		switch {
		case bytes.HasPrefix(b, []byte("<?")):
			end = "?>"
		case bytes.HasPrefix(b, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(b, []byte("<")):
			name := b[1:min(len(b), 64)]
			if i := bytes.IndexAny(name, " \t\r\n>"); i >= 0 {
				name = name[:i]
			}
			_, local, ok := bytes.Cut(name, []byte(":"))
			if !ok {
				local = name
			}
			return string(local) == "Envelope"
		default:
			return false
		}
		_, rest, ok := bytes.Cut(b, []byte(end))
		if !ok {
			return false
		}
		b = rest
	}
}
