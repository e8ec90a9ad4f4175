package files

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"strings"

	"github.com/guestctl/guestctl/vfs"
)

// Algorithms are the names that NewHash takes.
func Algorithms() []string {
	return []string{"sha256", "md5", "sha1", "sha224", "sha384", "sha512"}
}

// NewHash is the maker of a checksum by its name.
func NewHash(name string) (func() hash.Hash, error) {
	switch name {
	case "sha256":
		return sha256.New, nil
	case "md5":
		return md5.New, nil
	case "sha1":
		return sha1.New, nil
	case "sha224":
		return sha256.New224, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("no checksum %q: there are %s", name, strings.Join(Algorithms(), ", "))
}

// ChecksumOptions are the choices of Checksum.
type ChecksumOptions struct {
	Hash      func() hash.Hash // nil: SHA-256
	Recursive bool             // the regular files below a directory
	Workers   int              // 0: GOMAXPROCS
	Problem   func(error)
	Progress  func(bytes int64) // called with the bytes hashed since, by several goroutines; may be nil
}

// A Sum is the checksum of one file.
type Sum struct {
	Path string // in the guest: "/etc/passwd"
	Size int64
	Hex  string
}

// Line is what sha256sum prints: the name relative to the root, so that
// `sha256sum -c` checks it in the folder where the guest is mounted or copied
// to. A name with a backslash or a line break is escaped as coreutils do.
func (s Sum) Line() string {
	name := strings.TrimPrefix(s.Path, "/")
	if strings.ContainsAny(name, "\\\n\r") {
		name = strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(name)
		return "\\" + s.Hex + "  " + name
	}
	return s.Hex + "  " + name
}

// Checksum hashes the file at path, or with Recursive the regular files below
// it, in the order of Walk. A symlink at path is followed. A file that cannot
// be read to its end gets no Sum and is handed to Problem.
func Checksum(ctx context.Context, ns *vfs.Namespace, path string, opt ChecksumOptions, each func(Sum) error) error {
	from, err := Resolve(ctx, ns, path, true)
	if err != nil {
		return err
	}
	if !opt.Recursive || !from.isDir() {
		if err := Regular(from); err != nil {
			return err
		}
	}
	c := &checksummer{opt: opt}
	if c.opt.Hash == nil {
		c.opt.Hash = sha256.New
	}
	walk := func(ctx context.Context, visit func(*Entry) error) error {
		return Walk(ctx, ns, from, WalkOptions{MaxDepth: -1}, visit)
	}
	return bulk(ctx, plan{workers: opt.Workers, work: c.hash}, walk, func(it *item) error {
		switch sum := it.result.(type) {
		case string:
			return each(Sum{Path: it.Path, Size: it.Attr.Size, Hex: sum})
		case error:
			opt.Problem(sum)
		default:
			if it.Err != nil {
				opt.Problem(it.Err)
			} else if it.err != nil {
				opt.Problem(it.err)
			}
		}
		return nil
	})
}

type checksummer struct{ opt ChecksumOptions }

// hash answers the sum in hex, or an error.
func (c *checksummer) hash(ctx context.Context, it *item) any {
	if it.err != nil {
		return it.err
	}
	h := c.opt.Hash()
	if it.small {
		h.Write(it.data)
		c.progress(int64(len(it.data)))
		return hex.EncodeToString(h.Sum(nil))
	}
	zeros := make([]byte, 64<<10)
	err := stream(ctx, it.Inode, 0, it.Attr.Size, 1<<20, func(s *segment) error {
		if s.err != nil {
			return &Error{Op: "read", Path: it.Path, Err: atByte(s.off, s.err)}
		}
		for n := s.n; s.hole && n > 0; n -= int64(len(zeros)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			h.Write(zeros[:min(n, int64(len(zeros)))])
		}
		h.Write(s.p)
		c.progress(s.n)
		return nil
	})
	if err != nil {
		return err
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *checksummer) progress(n int64) {
	if c.opt.Progress != nil {
		c.opt.Progress(n)
	}
}

// noHoles is a minHole with which stream tells no holes.
const noHoles = math.MaxInt64
