package jbd2

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
)

// debugfsJournal is a journal that debugfs wrote, cut behind its transactions.
// Its homes are within the device of recoverWritten.
func debugfsJournal(f *testing.F) []byte {
	f.Helper()
	images.NeedTool(f, "mke2fs", "debugfs")
	path := filepath.Join(f.TempDir(), "img")
	jbd2test.Run(f, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit", path, "16M")
	payload := path + ".payload"
	if err := os.WriteFile(payload, bytes.Repeat([]byte{0xC0, 0x3B, 0x39, 0x98}, 512), 0o600); err != nil {
		f.Fatal(err)
	}
	cmd := exec.Command("debugfs", "-w", "-f", "/dev/stdin", path)
	cmd.Stdin = strings.NewReader("jo -v 3 -c\njw -b 40-41 " + payload + "\njw -r 40\njw -b 50-51 " + payload + "\njc\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Fatalf("debugfs: %v: %s", err, out)
	}
	whole := jbd2test.Journal(f, path, openFile(f, path), testBlock)
	b := make([]byte, 40*testBlock)
	if err := block.ReadFull(f.Context(), whole, b, 0); err != nil {
		f.Fatal(err)
	}
	sb := superblock(b)
	put32(sb, 0x10, uint32(len(b)/testBlock))
	sb.setChecksum(blockChecksum(^uint32(0), sb[:superblockSize], superblockChecksumOff))
	if _, r, err := recoverWritten(f, b); err != nil || r.Transactions == 0 {
		f.Fatalf("the seed recovers with %+v, %v", r, err)
	}
	return b
}

// fuzzPiece is how much of a block a fuzz input holds: the rest is zeros.
const fuzzPiece = 96

// pack makes a fuzz input of a journal.
func pack(b []byte) (pieces []byte) {
	for at := testBlock; at < len(b); at += testBlock {
		pieces = append(pieces, b[at:at+fuzzPiece]...)
	}
	return pieces
}

// unpack makes a journal of a fuzz input. Its checksums are made right but for
// the blocks whose last byte in the input is odd, so that an input gets further
// than to the first of them.
func unpack(compat, incompat, sequence uint32, start uint16, pieces []byte) []byte {
	n := int64(len(pieces)/fuzzPiece) + 1
	l := newLog(n, compat, incompat, sequence, 1)
	superblock(l.b).setStart(uint32(start))
	if l.format.tail > 0 {
		superblock(l.b).setChecksum(blockChecksum(^uint32(0), l.b[:superblockSize], superblockChecksumOff))
	}
	for i := range n - 1 {
		copy(l.b[(i+1)*testBlock:], pieces[i*fuzzPiece:][:fuzzPiece])
	}
	crc := ^uint32(0)
	for i := int64(1); i < n; i++ {
		b := l.b[i*testBlock:][:testBlock]
		if header(b).magic() != Magic || pieces[i*fuzzPiece-1]&1 != 0 {
			continue
		}
		switch header(b).kind() {
		case typeDescriptor:
			at := headerSize
			var tags []tag
			_ = l.format.each(b, func(_ int64, t tag) error { tags = append(tags, t); return nil })
			for k, t := range tags {
				pos := 1 + (i+int64(k))%(n-1)
				t.checksum = l.format.cut(dataChecksum(l.seed, header(b).sequence(), l.b[pos*testBlock:][:testBlock]))
				if l.format.put(b[at:], t); t.flags&tagSameUUID == 0 {
					at += tagUUIDSize
				}
				at += l.format.size
			}
			l.seal(b)
			crc = crc32BE(crc, b)
			for k := range tags {
				crc = crc32BE(crc, l.b[(1+(i+int64(k))%(n-1))*testBlock:][:testBlock])
			}
		case typeRevoke:
			l.seal(b)
		case typeCommit:
			if l.v1 {
				commit(b).setVersion1(crc)
			} else {
				commit(b).setChecksum(blockChecksum(l.seed, b, commitChecksumOff))
			}
			crc = ^uint32(0)
		}
	}
	return l.b
}

func FuzzRecover(f *testing.F) {
	for _, c := range allFormats {
		l := newLog(24, c[0], c[1], 7, 18)
		l.write(write{30, blockOf('a', false)}, write{31, blockOf('b', true)})
		l.commit()
		l.revoke(30)
		l.write(write{31, blockOf('x', false)})
		l.commit()
		f.Add(c[0], c[1], uint32(7), uint16(18), pack(l.b))
	}
	j := debugfsJournal(f)
	sb := superblock(j)
	f.Add(sb.compat(), sb.incompat(), sb.sequence(), uint16(sb.start()), pack(j))
	f.Fuzz(func(t *testing.T, compat, incompat, sequence uint32, start uint16, pieces []byte) {
		if len(pieces) < fuzzPiece || len(pieces) > 256*fuzzPiece {
			return
		}
		b := unpack(compat, incompat, sequence, start, pieces)
		blocks := len(b) / testBlock
		o, r, err := recoverWritten(t, b)
		if err != nil {
			return
		}
		if r.Blocks != o.Len() || r.Blocks > blocks || r.Transactions > blocks {
			t.Errorf("replay %+v, overlay of %d blocks, journal of %d", r, o.Len(), blocks)
		}
		all := make([]byte, o.Size())
		if err := block.ReadFull(t.Context(), o, all, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestUnpack: the seeds of the fuzz target recover, so that it begins where
// recovery succeeds.
func TestUnpack(t *testing.T) {
	forAllFormats(t, func(t *testing.T, compat, incompat uint32) {
		l := newLog(24, compat, incompat, 7, 18)
		l.write(write{30, blockOf('a', false)}, write{31, blockOf('b', true)})
		l.commit()
		_, r, err := recoverWritten(t, unpack(compat, incompat, 7, 18, pack(l.b)))
		if err != nil || r.Transactions != 1 || r.Blocks != 2 {
			t.Errorf("replay %+v, %v; want one transaction of two blocks", r, err)
		}
	})
}
