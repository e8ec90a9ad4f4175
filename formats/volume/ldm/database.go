package ldm

import (
	"context"
	"errors"
	"strings"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A database is what the records say.
type database struct {
	sequence   uint64
	volumes    []volume
	components []component
	partitions []partition
	disks      map[uint64]diskRecord // by object id
}

type volume struct {
	id         uint64
	name, hint string
	guid       string
	kind       byte
	size       uint64 // sectors
}

type component struct {
	id, parent uint64
	kind       byte
	parts      uint64
	chunk      uint64 // sectors
	columns    uint64
}

type partition struct {
	id, parent, disk, index uint64
	name                    string
	start, offset, size     uint64 // sectors: in the disk's data, in the component
}

type diskRecord struct{ name, guid string }

// readDatabase reads the database of a disk.
func (x *disk) readDatabase(ctx context.Context, warn func(error)) (*database, error) {
	base := x.priv.config
	b, err := read(ctx, x.device.Dev, base, x.priv.configSize)
	if err != nil {
		return nil, err
	}
	at, err := x.findVMDB(b)
	if err != nil {
		return nil, err
	}
	v := b[at:]
	db := &database{sequence: be64(v, vmdbCommitted), disks: make(map[uint64]diskRecord)}
	if status := be16(v, vmdbStatus); status != statusClean || be64(v, vmdbPending) != db.sequence {
		warn(ondisk.Corrupt("LDM database", base+at, "it was being changed: its last complete state is shown"))
	}
	size, first := int64(be32(v, vmdbBlockSize)), int64(be32(v, vmdbFirst))
	if size < minVBLK || size > maxVBLK || first > int64(len(v)) {
		return nil, ondisk.Corrupt("LDM database", base+at, "blocks of %d bytes from byte %d on", size, first)
	}
	return db, db.readBlocks(v[first:], size, base+at+first)
}

// findVMDB finds the VMDB in a database, by one of its tables of contents.
func (x *disk) findVMDB(b []byte) (int64, error) {
	sectors := int64(len(b)) / x.sector
	for _, toc := range []int64{1, 2, sectors - 2, sectors - 1} {
		off := toc * x.sector
		if off < 0 || off+512 > int64(len(b)) || string(b[off:off+int64(len(tocMagic))]) != tocMagic {
			continue
		}
		for i := range 2 {
			e := b[off+int64(tocFirst+tocEntry*i):]
			if text(e[:tocNameLen]) != tocConfig {
				continue
			}
			start := be64(e, tocStart)
			if start >= uint64(sectors) {
				continue
			}
			at := int64(start) * x.sector
			if at+vmdbSize <= int64(len(b)) && string(b[at:at+int64(len(vmdbMagic))]) == vmdbMagic {
				return at, nil
			}
		}
	}
	return 0, ondisk.Corrupt("LDM database", x.priv.config, "no table of contents leads to it")
}

// readBlocks reads the records, which may take several blocks.
func (db *database) readBlocks(b []byte, size, off int64) error {
	type long struct {
		parts [][]byte
		left  int
		off   int64
	}
	longs := map[uint32]*long{}
	for at := int64(0); at+size <= int64(len(b)); at += size {
		k := b[at : at+size]
		if string(k[:len(vblkMagic)]) != vblkMagic {
			break
		}
		n, count, body := int(be16(k, vblkIndex)), int(be16(k, vblkCount)), k[vblkHeader:]
		if count <= 1 {
			if err := db.record(body, off+at); err != nil {
				return err
			}
			continue
		}
		id := be32(k, vblkRecord)
		l := longs[id]
		if l == nil {
			l = &long{parts: make([][]byte, count), left: count, off: off + at}
			longs[id] = l
		}
		if n >= len(l.parts) || count != len(l.parts) || l.parts[n] != nil {
			return ondisk.Corrupt("LDM record", off+at, "part %d of %d", n, count)
		}
		l.parts[n] = body
		if l.left--; l.left == 0 {
			var whole []byte
			for _, p := range l.parts {
				whole = append(whole, p...)
			}
			delete(longs, id)
			if err := db.record(whole, l.off); err != nil {
				return err
			}
		}
	}
	for _, l := range longs {
		return ondisk.Corrupt("LDM record", l.off, "%d of its %d parts are missing", l.left, len(l.parts))
	}
	return nil
}

// record reads one.
func (db *database) record(b []byte, off int64) error {
	flags, kind := b[recFlags], b[recType]
	f := &fields{b: b[recHeader:]}
	switch kind {
	case typeVolume:
		db.volumes = append(db.volumes, f.volume(flags))
	case typeComponent:
		db.components = append(db.components, f.component(flags))
	case typePartition:
		db.partitions = append(db.partitions, f.partition(flags))
	case typeDisk3, typeDisk4:
		id, name := f.number(), f.text()
		d := diskRecord{name: name}
		if kind == typeDisk3 {
			d.guid = strings.ToLower(f.text())
		} else {
			d.guid = guid(f.take(16))
		}
		db.disks[id] = d
	case 0, typeGroup3, typeGroup4:
	default:
		return ondisk.Unsupported("dynamic disk", "a record of the type %#x", kind)
	}
	if f.err != nil {
		return ondisk.Corrupt("LDM record", off, "type %#x: %v", kind, f.err)
	}
	return nil
}

// fields are those of a record, one after another.
type fields struct {
	b   []byte
	err error
}

var errFields = errors.New("it ends within a field")

// take is the next n bytes; zeros where there are fewer, which err says.
func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.err, f.b = errFields, nil
		return make([]byte, n)
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

// sized is a field that begins with its length.
func (f *fields) sized() []byte { return f.take(int(f.take(1)[0])) }
func (f *fields) text() string  { return text(f.sized()) }

// number is a sized one, of at most eight bytes.
func (f *fields) number() (v uint64) {
	b := f.sized()
	if len(b) > 8 {
		f.err = errors.New("a number of more than eight bytes")
		return 0
	}
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

func (f *fields) volume(flags byte) (v volume) {
	v.id, v.name = f.number(), f.text()
	f.sized() // its type as text
	f.sized()
	f.take(volumeStateLen)
	v.kind = f.take(1)[0]
	f.take(1 + 1 + 3 + 1) // its number, flags
	f.number()            // of components
	f.take(8 + 8)         // commit ids
	v.size = f.number()
	f.take(4 + 1) // the type of its partition
	v.guid = guid(f.take(16))
	if flags&volumeID1 != 0 {
		f.sized()
	}
	if flags&volumeID2 != 0 {
		f.sized()
	}
	if flags&volumeSize2 != 0 {
		f.sized()
	}
	if flags&volumeHint != 0 {
		v.hint = f.text()
	}
	return v
}

func (f *fields) component(flags byte) (c component) {
	c.id = f.number()
	f.sized() // its name
	f.sized() // its state
	c.kind = f.take(1)[0]
	f.take(4)
	c.parts = f.number()
	f.take(8 + 8)
	c.parent = f.number()
	f.take(1)
	if flags&componentChunk != 0 {
		c.chunk, c.columns = f.number(), f.number()
	}
	return c
}

func (f *fields) partition(flags byte) (p partition) {
	p.id, p.name = f.number(), f.text()
	f.take(4 + 8)
	p.start, p.offset = be64(f.take(8), 0), be64(f.take(8), 0)
	p.size, p.parent, p.disk = f.number(), f.number(), f.number()
	if flags&partitionIndex != 0 {
		p.index = f.number()
	}
	return p
}
